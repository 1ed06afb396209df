//! What is told of callers.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};

use super::{Caller, Denied, keyring::Keyring};
use crate::Registry;

/// There are as many of these labels as keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKey {
    key: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCode {
    code: &'static str,
    needs: &'static str,
}

#[derive(Debug)]
pub(super) struct Telemetry {
    granted: Family<ByKey, Counter>,
    denied: Family<ByCode, Counter>,
    rotations: Counter,
}

impl Telemetry {
    pub(super) fn new(registry: &Registry) -> Self {
        let telemetry = Self { granted: Family::default(), denied: Family::default(), rotations: Counter::default() };
        registry.with(|registry| {
            let registry = registry.sub_registry_with_prefix("tidemill_access");
            registry.register("granted", "Requests let in, by the key's name", telemetry.granted.clone());
            registry.register("denied", "Requests not let in, by code and role needed", telemetry.denied.clone());
            registry.register("rotations", "Changes to the keys while running", telemetry.rotations.clone());
        });
        telemetry
    }

    pub(super) fn granted(&self, caller: &Caller) {
        self.granted.get_or_create(&ByKey { key: caller.name().into() }).inc();
    }

    pub(super) fn denied(&self, denied: &Denied) {
        self.denied.get_or_create(&ByCode { code: denied.code().as_str(), needs: denied.needs().as_str() }).inc();
        tracing::debug!(code = denied.code().as_str(), %denied, "a request was not let in");
    }

    /// Keys have changed. Names that are gone are no longer labels.
    pub(super) fn rotated(&self, before: &Keyring, now: &Keyring) {
        self.rotations.inc();
        for key in before.iter().filter(|key| now.named(&key.name).next().is_none()) {
            self.granted.remove(&ByKey { key: key.name.clone() });
        }
        tracing::info!(keys = now.iter().count(), "auth.folder has changed: these keys are valid from now on");
    }

    pub(super) fn locked() {
        tracing::error!("auth.folder has no key for this service any more: nobody is let in");
    }

    pub(super) fn broken(reason: &str) {
        tracing::error!(reason, "auth.folder cannot be read: the keys stay as they were");
    }
}
