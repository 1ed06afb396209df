//! One trace through every service, read back from Jaeger.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use serde_json::Value;

use super::kubectl::until;
use crate::{error::Error, journal::Journal, service::Service};

/// An order in twenty is traced, and spans are exported with a little delay.
const PATIENCE: Duration = Duration::from_secs(150);
/// Traces begin with the span of ingestion, and those of orders go furthest.
const QUERY: &str = "service=ingestion&operation=ingest%20order.placed&lookback=1h&limit=1500";

/// Answers how many of the services are in the trace that has most of them.
pub(super) async fn read_back(jaeger: SocketAddr, journal: &Journal) -> Result<u64, Error> {
    let http = reqwest::Client::new();
    let ask = async |path: String| -> Result<Value, String> {
        let answer = http.get(format!("http://{jaeger}{path}")).timeout(Duration::from_secs(10)).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status).map_err(|e| e.to_string())?;
        answer.json().await.map_err(|e| e.to_string())
    };
    let found = until("a trace goes through every service", PATIENCE, || async {
        let list = ask(format!("/api/traces?{QUERY}")).await?;
        let most = traces(&list).max_by_key(|trace| services(trace).len()).ok_or("Jaeger has no trace")?;
        let (id, seen) = (most["traceID"].as_str().unwrap_or_default().to_owned(), services(most));
        if seen.len() == Service::ALL.len() { Ok(id) } else { Err(format!("the fullest, {id}, has {seen:?}")) }
    })
    .await?;
    let list = ask(format!("/api/traces/{found}")).await.map_err(Error::program("Jaeger"))?;
    let trace = traces(&list).next().ok_or_else(|| Error::program("Jaeger")(format!("{found} is gone")))?;
    let (seen, spans) = (services(trace), trace["spans"].as_array().map_or(0, Vec::len));
    journal.note(format_args!("trace {found}: {spans} spans of {seen:?}"));
    Ok(u64::try_from(seen.len()).unwrap_or_default())
}

fn traces(list: &Value) -> impl Iterator<Item = &Value> {
    list["data"].as_array().into_iter().flatten()
}

/// Our services that have a span in a trace.
fn services(trace: &Value) -> BTreeSet<&str> {
    let processes = trace["processes"].as_object();
    let names = processes.into_iter().flat_map(|all| all.values()).filter_map(|one| one["serviceName"].as_str());
    names.filter(|name| Service::ALL.iter().any(|service| service.name() == *name)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn services_are_counted_once_and_others_not_at_all() {
        let process = |name: &str| json!({"serviceName": name});
        let trace = json!({"processes": {"p1": process("alert"), "p2": process("alert"), "p3": process("shop")}});
        assert_eq!(services(&trace), BTreeSet::from(["alert"]));
    }
}
