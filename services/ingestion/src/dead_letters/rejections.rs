//! The rejected events of a request: all are counted, the first told in full,
//! and those that failed alike gathered for one dead letter.

use std::{collections::HashMap, ops::Range};

use bytes::Bytes;
use tidemill_domain::{Code, EventId, SourceName};
use tidemill_events::{Body, TraceParent};
use tidemill_service::{LISTED, Unlisted};

use crate::{error::Error, limits::Admission};

/// Bytes of an event that a letter keeps.
pub(crate) const MAX_BODY: usize = 64 << 10;
/// What a group, a body or a verdict takes beside its texts, roughly.
const OVERHEAD: usize = 512;

/// What a rejected event says of itself, as far as that can be read.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct ClaimedIdentity {
    pub(crate) id: Option<EventId>,
    pub(crate) source: Option<SourceName>,
    pub(crate) trace: Option<TraceParent>,
}

/// Rejected events.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    total: usize,
    listed: Vec<Listed>,
    unlisted: Unlisted,
    groups: Vec<FailureGroup>,
    by_failure: HashMap<FailureKey, usize>,
}

/// A rejected event that is told in full.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Its place in the request.
    pub(crate) index: usize,
    pub(crate) id: Option<EventId>,
    pub(crate) error: Error,
    /// Its group, and its body there.
    place: (usize, usize),
}

/// How events failed: what is equal here is one dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FailureKey {
    pub(crate) code: Code,
    pub(crate) pointer: Option<String>,
    pub(crate) reason: String,
    pub(crate) source: Option<SourceName>,
}

/// Events that failed alike.
#[derive(Debug)]
pub(crate) struct FailureGroup {
    pub(crate) failure: FailureKey,
    /// What the first of them says of itself.
    pub(crate) first: ClaimedIdentity,
    /// The distinct bodies, in the order of their first events.
    pub(crate) bodies: Vec<Body>,
    /// Whether each of them is kept, once that is decided.
    kept: Vec<bool>,
    by_body: HashMap<Bytes, usize>,
}

impl Rejections {
    /// How many there are.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// How many of them are not kept.
    pub(crate) fn not_kept(&self) -> u64 {
        let of = |group: &FailureGroup| -> u64 {
            group.bodies.iter().zip(&group.kept).filter(|(_, kept)| !**kept).map(|(body, _)| body.count).sum()
        };
        self.groups.iter().map(of).sum()
    }

    /// The first ones, each with whether it is kept.
    pub(crate) fn listed(&self) -> impl ExactSizeIterator<Item = (&Listed, bool)> {
        self.listed.iter().map(|listed| (listed, self.groups[listed.place.0].kept[listed.place.1]))
    }

    /// The others.
    pub(crate) fn unlisted(&self) -> &Unlisted {
        &self.unlisted
    }

    /// Those that failed alike, together.
    pub(crate) fn groups(&self) -> &[FailureGroup] {
        &self.groups
    }

    /// Bodies of a group are not kept.
    pub(crate) fn drop_bodies(&mut self, group: usize, bodies: Range<usize>) {
        self.groups[group].kept[bodies].fill(false);
    }

    /// Adds an event, and charges for what is held of it.
    pub(crate) fn add(
        &mut self,
        index: usize,
        claim: ClaimedIdentity,
        error: Error,
        body: Bytes,
        admission: &mut Admission,
    ) -> Result<(), Error> {
        let (code, reason) = (error.code(), error.to_string());
        let pointer = error.pointer().map(str::to_owned);
        let failure = FailureKey { code, pointer, reason, source: claim.source.clone() };
        let texts = failure.reason.len() + failure.pointer.as_ref().map_or(0, String::len);
        let group = match self.by_failure.get(&failure) {
            Some(group) => *group,
            None => {
                // In the map and in the list.
                admission.charge(2 * (OVERHEAD + texts))?;
                self.by_failure.insert(failure.clone(), self.groups.len());
                let first = claim.clone();
                let (bodies, kept, by_body) = Default::default();
                self.groups.push(FailureGroup { failure, first, bodies, kept, by_body });
                self.groups.len() - 1
            }
        };
        let body = self.groups[group].add(body, admission)?;
        self.total += 1;
        if self.listed.len() < LISTED {
            // The error, and the problem that the answer makes of it.
            admission.charge(2 * (OVERHEAD + texts + error.fields_len()))?;
            self.listed.push(Listed { index, id: claim.id, error, place: (group, body) });
        } else {
            admission.charge(size_of::<usize>() * 4)?;
            self.unlisted.add(code.as_str(), index);
        }
        Ok(())
    }
}

impl FailureGroup {
    /// Adds a body; answers which of the distinct ones it is.
    fn add(&mut self, bytes: Bytes, admission: &mut Admission) -> Result<usize, Error> {
        if let Some(known) = self.by_body.get(&bytes) {
            self.bodies[*known].count += 1;
            return Ok(*known);
        }
        admission.charge(OVERHEAD)?;
        self.by_body.insert(bytes.clone(), self.bodies.len());
        self.bodies.push(Body { count: 1, bytes });
        self.kept.push(true);
        Ok(self.bodies.len() - 1)
    }
}

#[cfg(test)]
mod tests;
