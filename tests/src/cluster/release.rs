//! A release of the chart in a namespace of its own: what runs, whether it is
//! ready, what it uses, and what an uninstall leaves.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use tidemill_service::Role;
use tokio::time::Instant;

use super::{
    complaints,
    helm::{Chart, Helm},
    kubectl::{Kubectl, has_condition, labels, quantity, text, until},
};
use crate::{error::Error, service::Service};

/// Every release's name: the chart's objects are then named after it alone.
pub(super) const NAME: &str = "tidemill";
/// How long a release may take until it is ready: images are there, and
/// volumes are made meanwhile.
pub(super) const READY: Duration = Duration::from_secs(420);
/// How long pods that were told to go may take: the chart's longest grace
/// period is 90 s.
const GONE: Duration = Duration::from_secs(180);

/// A release in its namespace.
#[derive(Debug, Clone)]
pub(super) struct Release {
    /// Where it is.
    pub(super) namespace: String,
    /// The same for questions.
    pub(super) kubectl: Kubectl,
    /// For changes of the release.
    pub(super) helm: Helm,
}

/// A pod of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pod {
    /// Its name.
    pub(super) name: String,
    /// What it is a pod of, for instance `ingestion` or `nats`.
    pub(super) component: String,
    /// Where it runs; empty where it runs nowhere yet.
    pub(super) node: String,
    /// Whether it can do its work and is to stay.
    pub(super) ready: bool,
    /// Images of its containers.
    pub(super) images: Vec<String>,
    /// How often its containers were started again.
    pub(super) restarts: u64,
}

impl Pod {
    fn of(item: &Value) -> Self {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let statuses = list(&item["status"]["containerStatuses"]);
        Self {
            name: text(&item["metadata"]["name"]),
            component: labels(item).remove("app.kubernetes.io/component").unwrap_or_default(),
            node: text(&item["spec"]["nodeName"]),
            ready: has_condition(item, "Ready") && item["metadata"]["deletionTimestamp"].is_null(),
            images: list(&item["spec"]["containers"]).iter().map(|container| text(&container["image"])).collect(),
            restarts: statuses.iter().filter_map(|status| status["restartCount"].as_u64()).sum(),
        }
    }

    /// Whether it is of one of our services.
    pub(super) fn is_ours(&self) -> bool {
        Service::ALL.iter().any(|service| service.name() == self.component)
    }
}

impl Release {
    /// In a new namespace.
    pub(super) async fn in_new_namespace(chart: &Chart, namespace: &str) -> Result<Self, Error> {
        Kubectl::default().call(["create", "namespace", namespace]).output().await?;
        Ok(Self {
            namespace: namespace.to_owned(),
            kubectl: Kubectl::of(namespace),
            helm: Helm::of(chart, NAME, namespace),
        })
    }

    /// Its pods.
    pub(super) async fn pods(&self) -> Result<Vec<Pod>, Error> {
        let items = self.kubectl.list(&["pods", "--selector", &selector()]).await?;
        Ok(items.iter().map(Pod::of).filter(|pod| pod.component != "test").collect())
    }

    /// Waits until everything is rolled out and ready; answers how long that
    /// took.
    pub(super) async fn ready(&self, deadline: Duration) -> Result<Duration, Error> {
        self.ready_but(deadline, &[]).await
    }

    /// The same, but for these components.
    pub(super) async fn ready_but(&self, deadline: Duration, except: &[&str]) -> Result<Duration, Error> {
        let begun = Instant::now();
        let ready = until("everything is ready", deadline, || async {
            let kinds = ["deployments,statefulsets", "--selector", &selector()];
            let items = self.kubectl.list(&kinds).await.map_err(|e| e.to_string())?;
            let wanting: Vec<String> = items
                .iter()
                .filter(|item| !except.contains(&labels(item)["app.kubernetes.io/component"].as_str()))
                .filter_map(unready)
                .collect();
            if items.is_empty() {
                return Err("there is nothing".into());
            }
            if wanting.is_empty() { Ok(()) } else { Err(wanting.join(", ")) }
        })
        .await;
        if let Err(Error::Deadline { what, deadline, last }) = ready {
            let pods = self.kubectl.list(&["pods", "--selector", &selector()]).await.unwrap_or_default();
            let last = last + &complaints::of(&self.kubectl, &pods).await;
            return Err(Error::Deadline { what, deadline, last });
        }
        ready?;
        Ok(begun.elapsed())
    }

    /// Waits until no pod is on its way out.
    pub(super) async fn calm(&self) -> Result<(), Error> {
        until("pods that were told to go are gone", GONE, || async {
            let items = self.kubectl.list(&["pods", "--selector", &selector()]).await.map_err(|e| e.to_string())?;
            let going = items.iter().filter(|item| !item["metadata"]["deletionTimestamp"].is_null()).count();
            if going == 0 { Ok(()) } else { Err(format!("{going} pods are going")) }
        })
        .await
    }

    /// Sets the number of replicas of services.
    pub(super) async fn scale(&self, services: &[Service], replicas: u32) -> Result<(), Error> {
        let names = services.iter().map(|service| format!("deployment/{}", object(service.name())));
        let replicas = format!("--replicas={replicas}");
        self.kubectl.call(["scale"]).args(names).args([replicas]).output().await?;
        Ok(())
    }

    /// How many replicas a service is to have now.
    pub(super) async fn replicas(&self, service: Service) -> Result<u64, Error> {
        let deployment = self.kubectl.get(&["deployment", &object(service.name())]).await?;
        Ok(deployment["spec"]["replicas"].as_u64().unwrap_or_default())
    }

    /// A value of a part's Secret.
    pub(super) async fn secret(&self, part: &str, key: &str) -> Result<String, Error> {
        let template = format!("--output=go-template={{{{index .data {key:?} | base64decode}}}}");
        self.kubectl.call(["get", "secret", &object(part), &template]).output().await
    }

    /// Its key of a role: the Secret that the chart makes has one `NAME KEY`.
    pub(super) async fn key(&self, role: Role) -> Result<String, Error> {
        let keys = self.secret("auth", role.as_str()).await?;
        Ok(keys.split_whitespace().last().unwrap_or_default().to_owned())
    }

    /// Thousandths of a core and MiB of each pod, as the metrics API has them.
    pub(super) async fn usage(&self) -> Result<BTreeMap<String, (f64, f64)>, Error> {
        let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods", self.namespace);
        let list = self.kubectl.raw(&path).await?;
        let pods = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let usage = |pod: &Value| {
            let containers = pod["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
            let sum = |name: &str| {
                let of = |container: &Value| quantity(container["usage"][name].as_str().unwrap_or_default());
                containers.iter().filter_map(of).sum::<f64>()
            };
            // Memory without a unit is in bytes, which no server gives.
            (text(&pod["metadata"]["name"]), (sum("cpu"), sum("memory")))
        };
        Ok(pods.iter().map(usage).collect())
    }

    /// Most memory of a pod of each component, in MiB with one decimal.
    pub(super) async fn memory(&self) -> Result<BTreeMap<String, f64>, Error> {
        let usage = self.usage().await?;
        let mut most: BTreeMap<String, f64> = BTreeMap::new();
        for pod in self.pods().await? {
            if let Some((_, memory)) = usage.get(&pod.name) {
                let most = most.entry(pod.component).or_default();
                *most = most.max((memory * 10.0).round() / 10.0);
            }
        }
        Ok(most)
    }

    /// Everything in the namespace that a namespace does not have by itself,
    /// as `kind/name`.
    pub(super) async fn contents(&self) -> Result<BTreeSet<String>, Error> {
        let kinds = self.kubectl.call(["api-resources", "--namespaced", "--verbs=list", "--output=name"]);
        let kinds = kinds.output().await?;
        let kinds: Vec<&str> = kinds.lines().filter(|kind| !is_passing(kind)).collect();
        let call = self.kubectl.call(["get", &kinds.join(","), "--output=name", "--ignore-not-found"]);
        let found = call.output().await?;
        let own = ["configmap/kube-root-ca.crt", "serviceaccount/default"];
        Ok(found.lines().filter(|name| !own.contains(name)).map(str::to_owned).collect())
    }

    /// Uninstalls, and answers the difference to what an uninstall should leave:
    /// objects too many, and objects too few.
    pub(super) async fn uninstall(&self, nats_servers: u64) -> Result<Vec<String>, Error> {
        self.helm.uninstall().await?;
        let should: BTreeSet<String> = left_by_uninstall(nats_servers);
        let look = || async {
            let left = self.contents().await.map_err(|e| e.to_string())?;
            let differ: Vec<String> = left.symmetric_difference(&should).cloned().collect();
            if differ.is_empty() { Ok(()) } else { Err(differ.join(" ")) }
        };
        // Pods and what belongs to them go a little later.
        match until("an uninstall", GONE, look).await {
            Ok(()) => Ok(Vec::new()),
            Err(Error::Deadline { last, .. }) => Ok(last.split(' ').map(str::to_owned).collect()),
            Err(error) => Err(error),
        }
    }
}

/// The name of a component's objects.
pub(super) fn object(component: &str) -> String {
    format!("{NAME}-{component}")
}

/// What selects a release's objects.
pub(super) fn selector() -> String {
    format!("app.kubernetes.io/instance={NAME}")
}

/// What selects a component's pods.
pub(super) fn selector_of(component: &str) -> String {
    format!("{},app.kubernetes.io/component={component}", selector())
}

/// What docs/kubernetes.md says that an uninstall leaves: the volumes, and the
/// secrets that open them.
fn left_by_uninstall(nats_servers: u64) -> BTreeSet<String> {
    let volumes = (0..nats_servers).map(|n| format!("nats-{n}")).chain(["postgres-0".into(), "influxdb-0".into()]);
    let volumes = volumes.map(|of| format!("persistentvolumeclaim/data-{}", object(&of)));
    let secrets = ["auth", "nats", "postgres", "influxdb"].map(|of| format!("secret/{}", object(of)));
    volumes.chain(secrets).collect()
}

/// Kinds that tell of others and go by themselves.
fn is_passing(kind: &str) -> bool {
    kind.starts_with("events") || kind.ends_with("metrics.k8s.io")
}

/// Why a Deployment or StatefulSet is not rolled out and ready.
fn unready(item: &Value) -> Option<String> {
    let status = |name: &str| item["status"][name].as_u64().unwrap_or_default();
    let wanted = item["spec"]["replicas"].as_u64().unwrap_or(1);
    let seen = item["status"]["observedGeneration"] == item["metadata"]["generation"];
    let (updated, ready, all) = (status("updatedReplicas"), status("readyReplicas"), status("replicas"));
    // A StatefulSet without an update does not count updated ones.
    let rolled_out = updated == wanted || item["status"]["currentRevision"] == item["status"]["updateRevision"];
    if seen && ready == wanted && all == wanted && (item["kind"] != "Deployment" || updated == wanted) && rolled_out {
        return None;
    }
    Some(format!("{}: {ready} of {wanted} ready, {updated} of {all} up to date", text(&item["metadata"]["name"])))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_roll_out_is_over_when_all_replicas_are_new_and_ready() {
        let mut item = json!({
            "kind": "Deployment",
            "metadata": {"name": "tidemill-alert", "generation": 2},
            "spec": {"replicas": 2},
            "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2},
        });
        assert_eq!(unready(&item), None);
        item["status"]["replicas"] = 3.into();
        assert_eq!(unready(&item).as_deref(), Some("tidemill-alert: 2 of 2 ready, 2 of 3 up to date"));
        item["status"]["replicas"] = 2.into();
        item["status"]["observedGeneration"] = 1.into();
        assert!(unready(&item).is_some());
    }

    #[test]
    fn a_pod_on_its_way_out_is_not_ready() {
        let mut item = json!({
            "metadata": {"name": "a", "labels": {"app.kubernetes.io/component": "alert"}},
            "spec": {"nodeName": "node-2", "containers": [{"image": "tidemill/alert:1"}]},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"restartCount": 3}],
            },
        });
        let pod = Pod::of(&item);
        assert!(pod.ready && pod.is_ours());
        assert_eq!((pod.restarts, pod.images, pod.node), (3, vec!["tidemill/alert:1".to_owned()], "node-2".to_owned()));
        item["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert!(!Pod::of(&item).ready);
    }

    #[test]
    fn three_servers_leave_three_volumes() {
        assert_eq!(left_by_uninstall(3).len(), 5 + 4);
        assert!(left_by_uninstall(1).contains("persistentvolumeclaim/data-tidemill-nats-0"));
    }
}
