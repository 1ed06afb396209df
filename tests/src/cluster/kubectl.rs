//! The cluster, as `kubectl` shows and changes it.

use std::{collections::BTreeMap, future::Future, time::Duration};

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::command::Call;
use crate::error::Error;

const INTERVAL: Duration = Duration::from_secs(1);
/// How long the API may go unanswered while something is waited for.
const REQUEST: &str = "--request-timeout=20s";

/// `kubectl`, in a namespace or in none.
#[derive(Debug, Clone, Default)]
pub(super) struct Kubectl {
    namespace: Option<String>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Its name.
    pub(super) name: String,
    /// Whether its kubelet reports, and nothing is wrong.
    pub(super) ready: bool,
    /// Whether pods may come to it.
    pub(super) schedulable: bool,
}

impl Kubectl {
    /// In a namespace.
    pub(super) fn of(namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()) }
    }

    /// A call with these arguments.
    pub(super) fn call<A: Into<String>>(&self, arguments: impl IntoIterator<Item = A>) -> Call {
        let scope = self.namespace.iter().flat_map(|name| ["--namespace".to_owned(), name.clone()]);
        Call::new("kubectl").args(scope).args(arguments)
    }

    /// What `kubectl get` finds, as JSON.
    pub(super) async fn get(&self, what: &[&str]) -> Result<Value, Error> {
        let call = self.call(["get"]).args(what.iter().copied()).args([REQUEST, "--output=json"]);
        let line = call.line();
        serde_json::from_str(&call.output().await?).map_err(Error::program(line))
    }

    /// The items of a list.
    pub(super) async fn list(&self, what: &[&str]) -> Result<Vec<Value>, Error> {
        let mut list = self.get(what).await?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Ok(Vec::new()),
        }
    }

    /// The API's answer at a path.
    pub(super) async fn raw(&self, path: &str) -> Result<Value, Error> {
        let call = self.call(["get", "--raw", path, REQUEST]);
        let line = call.line();
        serde_json::from_str(&call.output().await?).map_err(Error::program(line))
    }

    /// The cluster's nodes.
    pub(super) async fn nodes(&self) -> Result<Vec<Node>, Error> {
        Ok(self.list(&["nodes"]).await?.iter().map(node).collect())
    }

    /// Whether the cluster knows resources of an API group.
    pub(super) async fn has_api(&self, group: &str) -> Result<bool, Error> {
        let found = self.call(["api-resources", "--output=name", &format!("--api-group={group}")]).output().await?;
        Ok(found.lines().any(|name| name.ends_with(group)))
    }
}

fn node(item: &Value) -> Node {
    let taints = item["spec"]["taints"].as_array().map(Vec::as_slice).unwrap_or_default();
    Node {
        name: text(&item["metadata"]["name"]),
        ready: has_condition(item, "Ready"),
        schedulable: item["spec"]["unschedulable"] != true
            && !taints.iter().any(|taint| taint["effect"] == "NoSchedule" || taint["effect"] == "NoExecute"),
    }
}

/// A text of an object; empty where it has none.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Whether a condition of an object holds.
pub(super) fn has_condition(object: &Value, name: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == name && condition["status"] == "True")
}

/// An object's labels.
pub(super) fn labels(object: &Value) -> BTreeMap<String, String> {
    let labels = object["metadata"]["labels"].as_object();
    labels.into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// Thousandths of a core, or mebibytes, of a quantity such as `12m`, `3481234n`
/// or `17404Ki`; the unit is the caller's affair.
pub(super) fn quantity(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 8] = [
        ("Ki", 1.0 / 1024.0),
        ("Mi", 1.0),
        ("Gi", 1024.0),
        ("n", 1e-6),
        ("u", 1e-3),
        ("m", 1.0),
        ("k", 1e3 / 1_048_576.0),
        ("M", 1e6 / 1_048_576.0),
    ];
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    // Without a unit it is whole cores; no server gives memory so.
    let (digits, factor) = unit.unwrap_or((text, 1000.0));
    Some(digits.parse::<f64>().ok()? * factor)
}

/// Asks again and again until `look` finds what is waited for. What it finds
/// wanting is in the error, if it does not come about in time.
pub(super) async fn until<T, F>(what: &str, deadline: Duration, mut look: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, String>>,
{
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(last) if begun.elapsed() > deadline => {
                return Err(Error::Deadline { what: what.to_owned(), deadline, last });
            }
            Err(_) => sleep(INTERVAL).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_read_in_every_unit() {
        assert_eq!(quantity("12m"), Some(12.0));
        assert_eq!(quantity("2"), Some(2000.0));
        assert_eq!(quantity("3481234n").map(f64::round), Some(3.0));
        assert_eq!(quantity("17408Ki"), Some(17.0));
        assert_eq!(quantity("1Gi"), Some(1024.0));
        assert_eq!(quantity("many"), None);
    }

    #[test]
    fn a_node_without_its_kubelet_is_neither_ready_nor_schedulable() {
        let mut item = json!({
            "metadata": {"name": "node-1"},
            "spec": {},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        assert_eq!(node(&item), Node { name: "node-1".into(), ready: true, schedulable: true });
        item["status"]["conditions"][0]["status"] = "Unknown".into();
        item["spec"]["taints"] = json!([{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]);
        assert_eq!(node(&item), Node { name: "node-1".into(), ready: false, schedulable: false });
    }
}
