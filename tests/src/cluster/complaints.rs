//! Asks pods why they are not ready, so that a failed run tells the reason.

use std::{process::Stdio, time::Duration};

use serde_json::Value;
use tokio::time::timeout;

use super::{
    forward::free_address,
    kubectl::{Kubectl, has_condition, text, until},
};

/// How long one pod is asked for.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest answer of a pod that is told, and the most lines of its log.
const MOST_BYTES: usize = 1_000;
const LOG_LINES: &str = "--tail=8";

/// What each of these pods that is not ready gives as its reason, and the end
/// of its log. What cannot be asked says so: this must not hide the failure
/// that it explains.
pub(super) async fn of(kubectl: &Kubectl, pods: &[Value]) -> String {
    let mut told = String::new();
    for pod in pods.iter().filter(|pod| !has_condition(pod, "Ready")) {
        let name = text(&pod["metadata"]["name"]);
        let reason = match operations_port(pod) {
            Some(port) => readiness(kubectl, &name, port).await,
            None => text(&pod["status"]["phase"]),
        };
        let log = kubectl.call(["logs", LOG_LINES, &name]).within(PATIENCE).output().await;
        let log = log.unwrap_or_else(|error| error.to_string());
        told.push_str(&format!("\n{name}: {}\n{}", cut(&reason), log.trim_end()));
    }
    told
}

/// Where a pod of a service answers `/readyz`.
fn operations_port(pod: &Value) -> Option<u16> {
    let containers = pod["spec"]["containers"].as_array()?;
    let mut ports = containers.iter().filter_map(|container| container["ports"].as_array()).flatten();
    let port = ports.find(|port| port["name"] == "operations")?;
    u16::try_from(port["containerPort"].as_u64()?).ok()
}

async fn readiness(kubectl: &Kubectl, pod: &str, port: u16) -> String {
    match timeout(PATIENCE, ask(kubectl, pod, port)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => error,
        Err(_) => "it does not say why it is not ready".into(),
    }
}

async fn ask(kubectl: &Kubectl, pod: &str, port: u16) -> Result<String, String> {
    let address = free_address().map_err(|error| error.to_string())?;
    let ports = format!("{}:{port}", address.port());
    let call = kubectl.call(["port-forward", "--address=127.0.0.1", &format!("pod/{pod}"), &ports]);
    let mut command = call.command();
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // It ends when it is dropped.
    let _forward = command.spawn().map_err(|error| error.to_string())?;
    let url = format!("http://{address}/readyz");
    let answer = until("an answer of the pod", PATIENCE, || async {
        reqwest::get(&url).await.map_err(|error| error.to_string())
    });
    let answer = answer.await.map_err(|error| error.to_string())?;
    answer.text().await.map_err(|error| error.to_string())
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MOST_BYTES)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_of_a_service_is_asked_where_it_answers() {
        let ports = json!([{"name": "http", "containerPort": 8080}, {"name": "operations", "containerPort": 9090}]);
        let pod = json!({"spec": {"containers": [{"name": "sidecar"}, {"ports": ports}]}});
        assert_eq!(operations_port(&pod), Some(9090));
        assert_eq!(operations_port(&json!({"spec": {"containers": [{"name": "nats"}]}})), None);
    }

    #[test]
    fn a_long_answer_is_cut_between_characters() {
        let long = "ü".repeat(MOST_BYTES);
        assert_eq!(cut(&long).len(), MOST_BYTES);
        assert_eq!(cut("short"), "short");
    }
}
