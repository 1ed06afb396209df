//! What a run has to put right before it ends, however it ends: namespaces,
//! cordoned nodes, nodes without power.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{kubectl::Kubectl, nodes::on_node};
use crate::journal::Journal;

/// How long a namespace may take to go: its pods end in order.
const GONE: Duration = Duration::from_secs(240);

/// What is to be put right.
#[derive(Debug, Default)]
pub(super) struct Debris(Mutex<Things>);

#[derive(Debug, Default)]
struct Things {
    namespaces: BTreeSet<String>,
    cordoned: BTreeSet<String>,
    killed: BTreeSet<String>,
}

impl Debris {
    /// A namespace was made.
    pub(super) fn namespace(&self, name: &str) {
        self.things().namespaces.insert(name.to_owned());
    }

    /// A node takes no pods.
    pub(super) fn cordoned(&self, node: &str) {
        self.things().cordoned.insert(node.to_owned());
    }

    /// It does again.
    pub(super) fn uncordoned(&self, node: &str) {
        self.things().cordoned.remove(node);
    }

    /// A node has no power.
    pub(super) fn killed(&self, node: &str) {
        self.things().killed.insert(node.to_owned());
    }

    /// It has again.
    pub(super) fn started(&self, node: &str) {
        self.things().killed.remove(node);
    }

    /// Removes a namespace, with all in it.
    pub(super) async fn remove_namespace(&self, name: &str, journal: &Journal) {
        let call = Kubectl::default().call(["delete", "namespace", name, "--ignore-not-found"]);
        match call.within(GONE).output().await {
            Ok(_) => drop(self.things().namespaces.remove(name)),
            Err(error) => journal.note(error),
        }
    }

    /// Puts everything right, as far as that is possible; what is not is told.
    pub(super) async fn clear(&self, start_node: Option<&[String]>, journal: &Journal) {
        let Things { namespaces, cordoned, killed } = std::mem::take(&mut *self.things());
        for node in killed {
            let started = match on_node(start_node.unwrap_or_default(), &node) {
                Ok(call) => call.within(GONE).output().await,
                Err(error) => Err(error),
            };
            if let Err(error) = started {
                journal.note(format_args!("{node} is still without power: {error}"));
            }
        }
        for node in cordoned {
            if let Err(error) = Kubectl::default().call(["uncordon", &node]).output().await {
                journal.note(format_args!("{node} is still cordoned: {error}"));
            }
        }
        for name in namespaces {
            journal.note(format_args!("removing the namespace {name}"));
            self.remove_namespace(&name, journal).await;
        }
    }

    fn things(&self) -> MutexGuard<'_, Things> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
