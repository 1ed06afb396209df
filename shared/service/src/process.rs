//! The whole of a service's `main`.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    Context, HttpConfig, StartError, Starting, TelemetryConfig, config, probe, raise_limit, telemetry::Telemetry,
};

/// How long a service may take to drain; a pod's grace period is longer.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

/// A service of the suite. A process runs one, and the all-in-one several.
pub trait Service {
    /// Its name, for instance `ingestion`.
    const NAME: &'static str;
    /// Its settings.
    type Config: ServiceConfig;

    /// Starts the service. Answers when it serves, or with what is wrong in its
    /// settings. It waits for dependencies that are away. Its tasks live in the
    /// context, and end with it.
    fn start(config: Self::Config, context: Context) -> Starting;

    /// What is wrong with the settings, and with the files of definitions that
    /// they name. It starts nothing.
    fn check(config: &Self::Config) -> Result<(), StartError>;
}

/// The configuration of a service.
pub trait ServiceConfig: DeserializeOwned + JsonSchema {
    /// Its section `http`.
    fn http(&self) -> &HttpConfig;

    /// Its section `telemetry`.
    fn telemetry(&self) -> &TelemetryConfig;
}

#[derive(Parser)]
#[command(
    version,
    about = "One service of the Tidemill suite",
    after_help = "Settings come from the file, then from environment variables\n\
                  TIDEMILL_<SECTION>__<KEY>, for instance:\n\n  \
                  TIDEMILL_HTTP__LISTEN=0.0.0.0:7070 TIDEMILL_NATS__URL=nats://nats:4222 ..."
)]
struct ServiceArguments {
    /// TOML file with the settings.
    #[arg(long, env = "TIDEMILL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the JSON Schema of the settings, and end.
    #[arg(long)]
    print_config_schema: bool,
    /// Ask the service that runs with these settings whether it is ready, and
    /// end: with 0 if it is, else with 1 and its reasons.
    #[arg(long)]
    health: bool,
}

/// Runs one service until SIGTERM, SIGQUIT or Ctrl-C, or until it fails. Exits 0 after an
/// orderly end, 1 after a failure and 2 for a wrong configuration.
pub fn main<S: Service>() -> ExitCode {
    let arguments = ServiceArguments::parse();
    if arguments.print_config_schema {
        return print_schema::<S::Config>();
    }
    let config: S::Config = match config::load(arguments.config.as_deref()) {
        Ok(config) => config,
        Err(error) => return complain(S::NAME, &error, 2),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return complain(S::NAME, &error, 1),
    };
    if arguments.health {
        return match runtime.block_on(probe::ready(config.http().readiness())) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => complain(S::NAME, &reason, 1),
        };
    }
    runtime.block_on(run::<S>(config))
}

#[allow(clippy::print_stderr, reason = "there is no log yet")]
fn complain(service: &str, error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    eprintln!("tidemill-{service}: {error}");
    ExitCode::from(code)
}

#[allow(clippy::print_stdout, reason = "what the option is for")]
fn print_schema<C: JsonSchema>() -> ExitCode {
    match serde_json::to_string_pretty(&schema_for!(C)) {
        Ok(schema) => {
            println!("{schema}");
            ExitCode::SUCCESS
        }
        Err(error) => complain("config", &error, 1),
    }
}

async fn run<S: Service>(config: S::Config) -> ExitCode {
    let service = S::NAME;
    install_crypto();
    raise_limit();
    let telemetry = match Telemetry::init(config.telemetry(), &[service]) {
        Ok(telemetry) => telemetry,
        Err(error) => return complain(service, &error, 2),
    };
    let context = Context::new(service);
    let stop = stop_on_signal(context.clone());
    let started = S::start(config, context.clone()).await;
    if let Err(error) = &started {
        tracing::error!(service, %error, "the service cannot start");
        context.shutdown.cancel();
    }
    context.shutdown.cancelled().await;
    tracing::info!(service, "draining");
    let drained = context.drained(DRAIN_DEADLINE).await;
    if !drained {
        tracing::error!(service, seconds = DRAIN_DEADLINE.as_secs(), "not drained in time");
    }
    stop.abort();
    telemetry.shutdown().await;
    if started.is_ok() && drained && context.failure().is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Chooses the TLS implementation of the process; a second call is harmless.
pub fn install_crypto() {
    // It fails if one was chosen before, and that one serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn stop_on_signal(context: Context) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        // Some supervisors quit a server that is to end in order.
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::quit())) {
            (Ok(mut terminate), Ok(mut interrupt), Ok(mut quit)) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    _ = quit.recv() => {}
                }
                context.shutdown.cancel();
            }
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => {
                tracing::error!(%error, "signals cannot be received");
            }
        }
    })
}
