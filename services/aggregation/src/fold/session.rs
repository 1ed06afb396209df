//! Which session an event belongs to.
//!
//! Two events of a group share a session if they lie less than a gap apart, or
//! are joined by a chain of events that do. That is a property of the set of
//! events, so the sessions are the same in whatever order events come: one may
//! begin a session, lengthen one at either end, or make one of two.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use tidemill_domain::Timestamp;
use tidemill_events::CellUpdate;

use super::cell::{Cell, CellId, Cells, GroupId};

/// Times from `from` until before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeSpan {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

impl TimeSpan {
    /// What an event at `time` covers: the sessions that touch this are its
    /// own.
    pub(crate) fn of(time: Timestamp, gap_millis: i64) -> Self {
        Self { from: time, to: time.plus_millis(gap_millis) }
    }

    pub(crate) fn hull(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), to: self.to.max(other.to) }
    }

    fn holds(self, other: Self) -> bool {
        self.from <= other.from && other.to <= self.to
    }
}

/// The sessions in memory, by group.
#[derive(Debug, Default)]
pub(crate) struct Sessions(HashMap<GroupId, SessionGroup>);

#[derive(Debug)]
struct SessionGroup {
    /// Every session that touches this span is in memory.
    known: TimeSpan,
    /// Sessions by their start. They do not touch each other.
    starts: BTreeMap<Timestamp, CellId>,
}

/// Where an event went.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) cell: CellId,
    /// A session that became part of it.
    pub(crate) absorbed: Option<Absorbed>,
}

/// A session that is no more.
#[derive(Debug)]
pub(crate) struct Absorbed {
    pub(crate) cell: CellId,
    /// What takes back that it was published, if it may have been.
    pub(crate) retraction: Option<CellUpdate>,
}

impl Sessions {
    /// The groups of `wanted` that are not in memory yet, and the span over which
    /// to read them from the store.
    pub(crate) fn missing(&self, wanted: &HashMap<GroupId, TimeSpan>) -> Option<(Vec<GroupId>, TimeSpan)> {
        let mut missing = (Vec::new(), None::<TimeSpan>);
        for (group, span) in wanted {
            let known = self.0.get(group).map(|group| group.known);
            if known.is_none_or(|known| !known.holds(*span)) {
                let span = known.map_or(*span, |known| known.hull(*span));
                missing.0.push(*group);
                missing.1 = Some(missing.1.map_or(span, |hull| hull.hull(span)));
            }
        }
        missing.1.map(|hull| (missing.0, hull))
    }

    /// These groups were read over this span.
    pub(crate) fn now_knows(&mut self, groups: &[GroupId], span: TimeSpan) {
        for group in groups {
            let group = self.0.entry(*group).or_insert_with(|| SessionGroup { known: span, starts: BTreeMap::new() });
            group.known = group.known.hull(span);
        }
    }

    /// A session that was read.
    pub(crate) fn insert(&mut self, group: GroupId, start: Timestamp, id: CellId) {
        if let Some(group) = self.0.get_mut(&group) {
            group.starts.insert(start, id);
        }
    }

    /// Finds or makes the session of an event, whose group is known there.
    pub(crate) fn place(
        &mut self,
        cells: &mut Cells,
        group: GroupId,
        time: Timestamp,
        gap_millis: i64,
        make: impl FnOnce() -> (CellId, Cell),
    ) -> Placed {
        let span = TimeSpan::of(time, gap_millis);
        let starts =
            &mut self.0.entry(group).or_insert_with(|| SessionGroup { known: span, starts: BTreeMap::new() }).starts;
        let holds = |id: &CellId| cells.get(id).is_some_and(|cell| time < cell.key.end);
        let before = starts.range(..=time).next_back().map(|(_, id)| *id).filter(holds);
        let behind = starts.range((Bound::Excluded(time), Bound::Unbounded)).next();
        let behind = behind.filter(|(start, _)| **start < span.to).map(|(start, id)| (*start, *id));
        let (id, absorbed) = match (before, behind) {
            (Some(before), None) => (before, None),
            (Some(before), Some((start, behind))) => {
                starts.remove(&start);
                (before, cells.remove(&behind).map(|cell| (behind, cell)))
            }
            (None, Some((start, behind))) => {
                starts.remove(&start);
                starts.insert(time, behind);
                (behind, None)
            }
            (None, None) => {
                let (id, cell) = make();
                starts.insert(time, id);
                cells.insert(id, cell);
                (id, None)
            }
        };
        let mut placed = Placed { cell: id, absorbed: None };
        if let Some(session) = cells.get_mut(&id) {
            session.key.start = session.key.start.min(time);
            session.key.end = session.key.end.max(span.to);
            if let Some((cell, other)) = absorbed {
                let retraction = other.settled.map(|start| other.retraction(start));
                session.absorb(other);
                placed.absorbed = Some(Absorbed { cell, retraction });
            }
        }
        placed
    }

    /// The cells of a group.
    pub(crate) fn cells(&self, group: &GroupId) -> impl Iterator<Item = CellId> {
        self.0.get(group).into_iter().flat_map(|group| group.starts.values().copied())
    }

    /// Leaves a group to the store.
    pub(crate) fn forget(&mut self, group: &GroupId) {
        self.0.remove(group);
    }

    /// Forgets the group if it turned out to have no session.
    pub(crate) fn forget_if_empty(&mut self, group: &GroupId) {
        if self.0.get(group).is_some_and(|group| group.starts.is_empty()) {
            self.0.remove(group);
        }
    }
}
