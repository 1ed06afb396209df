//! Logs and traces of a process.
//!
//! Each service writes its own spans with `tracing`. In the all-in-one several
//! services share a process, and so one tracer. The exporter here tells the
//! services apart by the span's target (the crate that made it), so that Jaeger
//! shows each under its own `service.name`.

mod labels;
mod lines;

use std::{
    collections::HashMap,
    io::{IsTerminal, Write},
    time::Duration,
};

use opentelemetry::{
    KeyValue, Value,
    trace::{Link, SpanKind, TraceId, TracerProvider},
};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    propagation::TraceContextPropagator,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler, SamplingResult, SdkTracerProvider, ShouldSample, SpanData,
        SpanExporter as _,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

pub use labels::{CodeLabel, OutcomeLabel, PartitionLabel};

use crate::StartError;

/// Libraries that tell each step of theirs as an event of interest: that of Delta
/// tables does for each version that it reads.
const QUIET: &str = "buoyant_kernel=warn,deltalake_core=warn";

/// Spans that may wait for export; more are dropped and counted by the SDK.
const MAX_QUEUED_SPANS: usize = 32_768;

/// Section `telemetry`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// OTLP gRPC endpoint of the trace collector, for instance
    /// `http://jaeger:4317`. Without one no traces are exported.
    pub otlp_endpoint: Option<String>,
    /// Share of requests without a trace of their own that are traced, 0 to 1.
    pub sample_ratio: f64,
    /// Log filter, for instance `info` or `info,tidemill_bus=debug`. Libraries
    /// are heard up to `info`, whatever it says: below it they tell passwords.
    pub log: String,
    /// How each line is written.
    pub log_format: LogFormat,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { otlp_endpoint: None, sample_ratio: 0.05, log: "info".into(), log_format: LogFormat::Auto }
    }
}

/// What is wrong with a log filter, for instance `info,tidemill_alert=loud`.
///
/// # Errors
/// The reason, with the filter.
pub fn check_filter(text: &str) -> Result<(), String> {
    filter(text).map(drop)
}

fn filter(text: &str) -> Result<EnvFilter, String> {
    // What is said of the same target later goes first.
    EnvFilter::try_new(format!("{QUIET},{text}")).map_err(|error| format!("{text:?} is no log filter: {error}"))
}

/// Keeps telemetry running; [`shutdown`](Self::shutdown) exports what is left.
pub struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Sets up logs and traces for a process that holds `services`. To be
    /// called once, in a tokio runtime.
    pub fn init(config: &TelemetryConfig, services: &[&'static str]) -> Result<Self, StartError> {
        if !(0.0..=1.0).contains(&config.sample_ratio) {
            return Err(StartError::new("telemetry.sample_ratio must be between 0 and 1"));
        }
        let filter = filter(&config.log).map_err(|e| StartError::new(format!("telemetry.log: {e}")))?;
        let json = match config.log_format {
            LogFormat::Auto => !std::io::stderr().is_terminal(),
            LogFormat::Json => true,
            LogFormat::Text => false,
        };
        let format = lines_layer(json, filter, std::io::stderr);
        let provider =
            config.otlp_endpoint.as_deref().map(|endpoint| provider(config, endpoint, services)).transpose()?;
        let traces = provider.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("tidemill"))
                .with_target(true)
                .with_threads(false)
                .with_location(false)
                .with_tracked_inactivity(false)
                // Our spans only: a library's spans would belong to no trace.
                .with_filter(filter_fn(|metadata| {
                    metadata.is_span() && metadata.target().starts_with("tidemill")
                }))
        });
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        tracing_subscriber::registry()
            .with(format)
            .with(traces)
            .try_init()
            .map_err(|e| StartError::new(format!("telemetry: {e}")))?;
        Ok(Self(provider))
    }

    /// Exports what is left.
    pub async fn shutdown(self) {
        let Some(provider) = self.0 else { return };
        // It blocks until the exporter is done, and the exporter needs this
        // runtime.
        let done = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(Duration::from_secs(5))).await;
        if let Ok(Err(error)) = done {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// Writes each event to `out` as one line.
fn lines_layer<S, W>(json: bool, filter: EnvFilter, out: impl Fn() -> W + Send + Sync + 'static) -> impl Layer<S>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: Write,
{
    let filter = filter.and(filter_fn(lines::may_be_told));
    // Colours would be control characters of our own.
    let format =
        tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || lines::Lines { out: out(), json });
    if json {
        format.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed()
    } else {
        format.compact().with_filter(filter).boxed()
    }
}

fn provider(
    config: &TelemetryConfig,
    endpoint: &str,
    services: &[&'static str],
) -> Result<SdkTracerProvider, StartError> {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "local".into());
    let mut exporters = HashMap::new();
    for service in services {
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .map_err(|e| StartError::new(format!("telemetry.otlp_endpoint: {e}")))?;
        exporter.set_resource(
            &Resource::builder()
                .with_service_name(*service)
                .with_attribute(KeyValue::new("service.namespace", "tidemill"))
                .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
                .with_attribute(KeyValue::new(
                    "service.instance.id",
                    format!("{host}-{}-{service}", std::process::id()),
                ))
                .build(),
        );
        exporters.insert(*service, exporter);
    }
    let fallback = services.first().copied().unwrap_or_default();
    let processor = BatchSpanProcessor::builder(ByService { exporters, fallback })
        .with_batch_config(
            BatchConfigBuilder::default()
                .with_max_queue_size(MAX_QUEUED_SPANS)
                .with_max_export_batch_size(1024)
                .with_scheduled_delay(Duration::from_millis(500))
                .build(),
        )
        .build();
    Ok(SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(ByPriority(Sampler::TraceIdRatioBased(config.sample_ratio)))))
        .with_span_processor(processor)
        .build())
}

/// Samples every root span that asks for it by the attribute
/// `sampling.priority` (as OpenTracing named it), and others by the ratio.
#[derive(Debug, Clone)]
struct ByPriority(Sampler);

impl ShouldSample for ByPriority {
    fn should_sample(
        &self,
        parent: Option<&opentelemetry::Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let asked = attributes.iter().any(|a| a.key.as_str() == "sampling.priority" && a.value == Value::I64(1));
        let sampler = if asked { &Sampler::AlwaysOn } else { &self.0 };
        sampler.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

/// Exports each span under the name of the service that made it.
#[derive(Debug)]
struct ByService {
    exporters: HashMap<&'static str, opentelemetry_otlp::SpanExporter>,
    fallback: &'static str,
}

impl ByService {
    fn service_of(&self, span: &SpanData) -> &'static str {
        let target = span.attributes.iter().find(|a| a.key.as_str() == "target").map(|a| a.value.as_str());
        target
            .as_deref()
            .and_then(|target| target.strip_prefix("tidemill_"))
            .and_then(|rest| rest.split("::").next())
            .and_then(|service| self.exporters.get_key_value(service))
            .map_or(self.fallback, |(service, _)| service)
    }
}

impl opentelemetry_sdk::trace::SpanExporter for ByService {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let mut by_service: HashMap<&'static str, Vec<SpanData>> = HashMap::new();
        for span in batch {
            by_service.entry(self.service_of(&span)).or_default().push(span);
        }
        let mut result = Ok(());
        for (service, spans) in by_service {
            let exporter = self.exporters.get(service).ok_or_else(|| OTelSdkError::InternalFailure(service.into()))?;
            // One service's failure must not keep another's spans back.
            result = exporter.export(spans).await.and(result);
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporters.values().try_for_each(|exporter| exporter.shutdown_with_timeout(timeout))
    }
}
