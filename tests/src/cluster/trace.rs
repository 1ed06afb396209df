//! One trace through every service, read back from Jaeger.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use serde_json::Value;

use super::kubectl::until;
use crate::{error::Error, journal::Journal, service::Service, shop::till::Traces};

/// Spans are exported with a little delay.
const PATIENCE: Duration = Duration::from_secs(150);

/// Looks for the latest orders' traces by their ids; answers how many of the
/// services have spans in the first one that all of them have.
pub(super) async fn read_back(jaeger: SocketAddr, traces: &Traces, journal: &Journal) -> Result<u64, Error> {
    let http = reqwest::Client::new();
    let ask = async |id: &str| -> Result<Value, String> {
        let request = http.get(format!("http://{jaeger}/api/traces/{id}")).timeout(Duration::from_secs(10));
        let answer = request.send().await.map_err(|e| e.to_string())?;
        // Not found is not found yet.
        if !answer.status().is_success() {
            return Ok(Value::Null);
        }
        answer.json().await.map_err(|e| e.to_string())
    };
    let (id, seen, spans) = until("a trace goes through every service", PATIENCE, || async {
        let mut fullest = "Jaeger has no trace of an order".to_owned();
        for trace in traces.latest() {
            let id = trace.trace_id_hex();
            let answer = ask(&id).await?;
            let (seen, spans) = parts(&answer);
            if seen.len() == Service::CHAIN.len() {
                return Ok((id, seen.join(", "), spans));
            }
            if !seen.is_empty() {
                fullest = format!("{id} has spans of {seen:?}");
            }
        }
        Err(fullest)
    })
    .await?;
    journal.note(format_args!("trace {id}: {spans} spans of {seen}"));
    Ok(u64::try_from(Service::CHAIN.len()).unwrap_or_default())
}

/// Our services that have a span in an answer's trace, and its spans.
fn parts(answer: &Value) -> (Vec<&str>, usize) {
    let trace = &answer["data"][0];
    let processes = trace["processes"].as_object();
    let names = processes.into_iter().flat_map(|all| all.values()).filter_map(|one| one["serviceName"].as_str());
    let ours: BTreeSet<&str> =
        names.filter(|name| Service::CHAIN.iter().any(|service| service.name() == *name)).collect();
    (ours.into_iter().collect(), trace["spans"].as_array().map_or(0, Vec::len))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn services_are_counted_once_and_others_not_at_all() {
        let process = |name: &str| json!({"serviceName": name});
        let trace = json!({"processes": {"p1": process("alert"), "p2": process("alert"), "p3": process("shop")}});
        assert_eq!(parts(&json!({"data": [trace]})), (vec!["alert"], 0));
        assert_eq!(parts(&json!({"data": null, "errors": [{"code": 404}]})), (vec![], 0));
    }
}
