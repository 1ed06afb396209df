//! A backup, and the suite made anew from it, as docs/operations.md tells an
//! operator to do it. The databases are taken under load and the log when it is
//! over, so that the stores are older than the log and have to catch up.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{process::Child, time::sleep};

use super::{
    command::Call,
    forward::free_address,
    kubectl::until,
    release::{READY, Release, object, selector},
};
use crate::{error::Error, journal::Journal, service::Service};

/// How long a dump, a backup or a restore may take.
const COPY: Duration = Duration::from_secs(300);
/// How long the load goes on after the databases were dumped.
const AHEAD: Duration = Duration::from_secs(20);
/// How long a port-forward may take.
const OPEN: Duration = Duration::from_secs(60);

/// What was in the databases at some time.
pub(super) struct Dump(String);

/// Whether the program is there that copies streams.
pub(super) async fn is_possible() -> bool {
    Call::new("nats").args(["--version"]).output().await.is_ok()
}

/// Dumps every database under load, and lets the log get ahead of it.
pub(super) async fn dump(release: &Release, journal: &Journal) -> Result<Dump, Error> {
    let call = in_postgres(release, &["pg_dumpall", "--username=postgres", "--clean", "--if-exists"]);
    let dump = call.within(COPY).output().await?;
    journal.note(format_args!("the databases are dumped: {:.1} MiB", mebibytes(dump.len())));
    sleep(AHEAD).await;
    Ok(Dump(dump))
}

/// Backs the log up, removes the release with its volumes and secrets, and
/// makes it anew from what was backed up. Nothing may be sent meanwhile.
pub(super) async fn anew(release: &Release, dump: Dump, folder: &Path, journal: &Journal) -> Result<(), Error> {
    let values = release.helm.values().await?;
    let kept = release.kubectl.call(["get", "secrets", "--selector", &selector(), "--output=json"]).output().await?;
    let streams = folder.join("streams");
    nats(release, &["backup", "account", "--force", "--consumers"], &streams).await?;
    journal.note("the log is backed up");

    release.helm.uninstall().await?;
    let everything = ["delete", "pvc,secret", "--selector", &selector(), "--wait", "--timeout=120s"];
    release.kubectl.call(everything).within(COPY).output().await?;
    journal.note("the release, its volumes and its secrets are gone");

    release.kubectl.call(["apply", "--filename=-"]).input(kept).output().await?;
    release.helm.install(None, merged(values.clone(), &at_rest())).await?;
    release.ready(READY).await?;
    let restore = in_postgres(release, &["psql", "--username=postgres", "--quiet", "--output=/dev/null"]);
    restore.input(dump.0).within(COPY).output().await?;
    nats(release, &["backup", "restore", "account"], &streams).await?;
    journal.note("databases and log are restored");

    release.helm.replace_values(values).await?;
    let took = release.ready(READY).await?;
    journal.note(format_args!("every service is ready on them after {:.1} s", took.as_secs_f64()));
    Ok(())
}

/// Values with which the servers run and no service does.
fn at_rest() -> Value {
    let none = json!({"autoscaling": {"enabled": false}, "keda": {"enabled": false}, "replicas": 0});
    let services = Service::SUITE.iter().map(|service| (service.name().to_owned(), none.clone()));
    json!({"services": Value::Object(services.collect())})
}

/// `above` over `below`, at every depth.
fn merged(mut below: Value, above: &Value) -> Value {
    match (below.as_object_mut(), above.as_object()) {
        (Some(map), Some(over)) => {
            for (key, value) in over {
                let under = map.remove(key).unwrap_or_default();
                map.insert(key.clone(), merged(under, value));
            }
            below
        }
        _ => above.clone(),
    }
}

/// A program in PostgreSQL's container; it takes what is given on its standard
/// input.
fn in_postgres(release: &Release, command: &[&str]) -> Call {
    let pod = format!("{}-0", object("postgres"));
    release.kubectl.call(["exec", "--stdin", &pod, "--"]).args(command.iter().copied())
}

/// The `nats` command line on a folder, through a forward that ends with it.
async fn nats(release: &Release, command: &[&str], folder: &Path) -> Result<(), Error> {
    let (address, _forward) = forward(release).await?;
    let call = Call::new("nats")
        .args(command.iter().copied())
        .args([folder.display().to_string()])
        // Not as arguments, which everybody on the machine can read.
        .env("NATS_URL", format!("nats://{address}"))
        .env("NATS_USER", "tidemill")
        .env("NATS_PASSWORD", release.secret("nats", "nats-password").await?);
    call.within(COPY).output().await.map(drop)
}

/// A way to the first NATS server, for as long as the process lives.
async fn forward(release: &Release) -> Result<(SocketAddr, Child), Error> {
    let address = free_address().map_err(Error::program("a port"))?;
    let pod = format!("pod/{}-0", object("nats"));
    let ports = format!("{}:4222", address.port());
    let host = format!("--address={}", Ipv4Addr::LOCALHOST);
    let call = release.kubectl.call(["port-forward", &host, &pod, &ports]);
    let mut command = call.command();
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().map_err(Error::program(call.line()))?;
    until("a port-forward to NATS", OPEN, || async {
        tokio::net::TcpStream::connect(address).await.map(drop).map_err(|error| error.to_string())
    })
    .await?;
    Ok((address, child))
}

/// Bytes in MiB, for people.
fn mebibytes(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_rest_goes_over_what_a_service_was_given() {
        let values = json!({
            "image": {"tag": "2"},
            "services": {"aggregation": {"autoscaling": {"enabled": true, "minReplicas": 2}}},
        });
        let values = merged(values, &at_rest());
        assert_eq!(values["image"]["tag"], "2");
        let aggregation = &values["services"]["aggregation"];
        assert_eq!(aggregation["autoscaling"], json!({"enabled": false, "minReplicas": 2}));
        assert_eq!((&aggregation["replicas"], &values["services"]["alert"]["replicas"]), (&json!(0), &json!(0)));
    }
}
