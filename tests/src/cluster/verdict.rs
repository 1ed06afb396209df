//! What came of a run.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{profiles::ProfilePath, scale_out::ScaleOut};

/// The last line of a run. What was skipped is null.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verdict {
    /// Seconds from `helm install` without values until every pod was ready.
    pub ready_s: Option<f64>,
    /// Whether `helm test` passed.
    pub helm_test: Option<bool>,
    /// Connections that the NetworkPolicies must refuse, and refused.
    pub refused_connections: Option<u64>,
    /// Whether uninstalls left what they say they leave, and nothing else.
    pub uninstalled: Option<bool>,
    /// From one profile to the next.
    pub profiles: Option<ProfilePath>,
    /// The same as `ready_s` with values-ha.yaml.
    pub ha_ready_s: Option<f64>,
    /// Most replicas that an autoscaler on CPU came to.
    pub hpa_max_replicas: Option<u64>,
    /// Most replicas that an autoscaler on lag came to.
    pub keda_max_replicas: Option<u64>,
    /// How many replicas a load needs.
    pub scale_out: Option<ScaleOut>,
    /// Whether every service went from 1 to 5 to 2 replicas.
    pub scaled: Option<bool>,
    /// Whether every service came to run another image tag.
    pub upgraded: Option<bool>,
    /// Whether a node could be drained, and was used again.
    pub drained: Option<bool>,
    /// Whether a node lost its power, and came back.
    pub node_killed: Option<bool>,
    /// Whether the suite, made anew from a backup, came to the same numbers.
    pub restored: Option<bool>,
    /// Services with a span in the trace that was read back.
    pub trace_services: Option<u64>,
    /// Longest time without an acknowledgement in each stage, in seconds.
    pub longest_pause_s: BTreeMap<String, f64>,
    /// Most memory of a pod at the end of the load, in MiB, by component.
    pub memory_mib: BTreeMap<String, f64>,
    /// The same right after the install without values, before any event.
    pub idle_memory_mib: BTreeMap<String, f64>,
    /// Containers of services that were started again: those of the node that
    /// lost its power, and crashes.
    pub restarts: Option<u64>,
    /// Distinct events that were sent; `counted + late + dead_lettered`, where
    /// nothing is lost.
    pub sent: Option<u64>,
    /// Events that the books have as received, repetitions included.
    pub received: Option<u64>,
    /// Events that are in the totals.
    pub counted: Option<u64>,
    /// Events that were recognised as seen before.
    pub duplicate: Option<u64>,
    /// Events past the allowed lateness.
    pub late: Option<u64>,
    /// Distinct events that are dead letters.
    pub dead_lettered: Option<u64>,
    /// Invoice lines that are missing in the totals, by day and country.
    pub lost: Option<u64>,
    /// Invoice lines that are in the totals too often, by day and country.
    pub double: Option<u64>,
    /// Whether every event of every source has exactly one outcome.
    pub balanced: Option<bool>,
    /// Whether totals, books, alerts and dead letters are what they must be.
    pub equals_truth: Option<bool>,
    /// How long the run took.
    pub seconds: f64,
    /// What was left out, and why.
    pub skipped: Vec<String>,
    /// What must not be.
    pub problems: Vec<String>,
}

impl Verdict {
    /// Whether nothing is lost, nothing twice and everything in order.
    pub fn is_good(&self) -> bool {
        self.lost.unwrap_or(0) == 0
            && self.double.unwrap_or(0) == 0
            && self.balanced != Some(false)
            && self.equals_truth != Some(false)
            && self.problems.is_empty()
    }
}
