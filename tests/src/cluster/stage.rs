//! The parts of a run, and which of them are wanted.

use clap::ValueEnum;

/// A part of a run. Those after `profiles` need the release of values-ha.yaml
/// and are under its load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Stage {
    /// `helm install` without values, `helm test`, `helm uninstall`.
    Install,
    /// Forbidden connections, in the release without values.
    Policies,
    /// From one profile to the next, under a load of its own.
    Profiles,
    /// `kubectl scale` of every service, 1 to 5 to 2.
    Scale,
    /// `helm upgrade` to another image tag.
    Upgrade,
    /// A HorizontalPodAutoscaler that reacts to CPU.
    Hpa,
    /// A ScaledObject that reacts to lag.
    Keda,
    /// The least replicas for once, twice and four times the load.
    ScaleOut,
    /// A trace through every service.
    Trace,
    /// `kubectl drain` of a node.
    Drain,
    /// A node without power, and its return.
    KillNode,
    /// A backup, and the suite made anew from it.
    Restore,
}

impl Stage {
    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Which parts are wanted.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// These alone; all where none is named.
    pub only: Vec<Stage>,
    /// Not these.
    pub skip: Vec<Stage>,
}

impl Selection {
    /// Whether a part is wanted.
    pub fn has(&self, stage: Stage) -> bool {
        (self.only.is_empty() || self.only.contains(&stage)) && !self.skip.contains(&stage)
    }

    /// Whether any part is wanted that is under load in the release of values-ha.yaml.
    pub fn has_load(&self) -> bool {
        Stage::value_variants().iter().any(|stage| *stage > Stage::Profiles && self.has(*stage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_done_and_what_is_skipped_is_not() {
        let all = Selection::default();
        assert!(Stage::value_variants().iter().all(|stage| all.has(*stage)) && all.has_load());
        let some = Selection { only: vec![Stage::Install, Stage::Profiles, Stage::Drain], skip: vec![Stage::Drain] };
        assert!(some.has(Stage::Profiles) && !some.has(Stage::Drain) && !some.has(Stage::Scale) && !some.has_load());
    }
}
