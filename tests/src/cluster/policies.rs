//! Connections that the NetworkPolicies forbid, tried on the cluster: each must
//! fail, while one beside it that is allowed succeeds.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    command::Call,
    kubectl::until,
    release::{Release, object},
};
use crate::{error::Error, journal::Journal};

/// A pod that belongs to nobody.
const STRANGER: &str = "stranger";
const START: Duration = Duration::from_secs(60);
/// Policies come into force a moment after the pod.
const SETTLE: Duration = Duration::from_secs(20);
/// Seconds after which a connection counts as refused.
const PATIENCE: u32 = 4;

/// Where a stranger may not go.
const FORBIDDEN: [(&str, u16); 6] = [
    ("nats", 4222),
    ("postgres", 5432),
    ("influxdb", 8086),
    ("enrichment", 7071),
    ("aggregation", 7072),
    ("alert", 7073),
];
/// Where everybody of the namespace may.
const ALLOWED: [(&str, u16); 3] = [("ingestion", 7070), ("recommendation", 7074), ("reporting", 7080)];
/// Where a database may not go: nowhere.
const FROM_POSTGRES: [(&str, u16); 3] = [("nats", 4222), ("ingestion", 7070), ("influxdb", 8086)];

/// Answers how many connections were refused; one that was not is a problem.
pub(super) async fn refuse(release: &Release, journal: &Journal) -> Result<u64, Error> {
    start_stranger(release).await?;
    // It shows that this pod's network works, and that names are known.
    for (component, port) in ALLOWED {
        until(&format!("a stranger reaches {component}"), SETTLE, || async {
            let connected = connect(release, STRANGER, component, port).await.map_err(|e| e.to_string())?;
            connected.then_some(()).ok_or_else(|| "refused".to_owned())
        })
        .await?;
    }
    let postgres = format!("{}-0", object("postgres"));
    let pairs = FORBIDDEN.iter().map(|to| (STRANGER, to)).chain(FROM_POSTGRES.iter().map(|to| (&*postgres, to)));
    let mut refused = 0;
    for (from, (component, port)) in pairs {
        if connect(release, from, component, *port).await? {
            journal.problem(format_args!(
                "{from} reaches {component}:{port}: does the cluster's network enforce NetworkPolicies?"
            ));
        } else {
            refused += 1;
        }
    }
    release.kubectl.call(["delete", "pod", STRANGER, "--now"]).output().await?;
    journal.note(format_args!("{refused} forbidden connections were refused, {} allowed ones not", ALLOWED.len()));
    Ok(refused)
}

/// Starts a pod that has a shell: PostgreSQL's image is on the cluster, and has.
async fn start_stranger(release: &Release) -> Result<(), Error> {
    let server = release.kubectl.get(&["statefulset", &object("postgres")]).await?;
    let pod = stranger(&server["spec"]["template"]["spec"]["containers"][0]["image"]);
    release.kubectl.call(["apply", "--filename=-"]).input(pod.to_string()).output().await?;
    let wait =
        ["wait", "--for=condition=Ready", &format!("pod/{STRANGER}"), &format!("--timeout={}s", START.as_secs())];
    release.kubectl.call(wait).within(START * 2).output().await?;
    Ok(())
}

fn stranger(image: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": STRANGER},
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 999, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "shell",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "600"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    })
}

/// Whether a pod that has bash can open a connection to a component.
async fn connect(release: &Release, pod: &str, component: &str, port: u16) -> Result<bool, Error> {
    // bash ends with the connection's fate, and says it, so that a failure of
    // kubectl is not taken for a refusal.
    let script = format!(
        "if timeout {PATIENCE} bash -c '</dev/tcp/{}/{port}' 2>/dev/null; then echo open; else echo refused; fi",
        object(component)
    );
    let call: Call = release.kubectl.call(["exec", pod, "--", "bash", "-c", &script]);
    let line = call.line();
    match call.output().await?.trim() {
        "open" => Ok(true),
        "refused" => Ok(false),
        other => Err(Error::program(line)(other)),
    }
}
