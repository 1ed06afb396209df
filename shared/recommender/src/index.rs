//! The index.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use tidemill_domain::{Partition, Timestamp};

use crate::{
    arithmetic::Halving,
    interaction::Recent,
    items::Items,
    log_window::LogWindow,
    sessions::{SessionSlots, VisitorSession},
    settings::{RecommenderSettings, SettingsError},
    visitor::VisitorKey,
};

/// The latest sessions, by visitor and by item. See the crate's documentation for
/// what it is a function of.
#[derive(Debug, Clone)]
pub struct Index {
    pub(crate) settings: RecommenderSettings,
    pub(crate) halving: Halving,
    pub(crate) sessions: SessionSlots,
    pub(crate) items: Items,
    /// The slots of each visitor's sessions; of those in one partition the oldest first.
    pub(crate) visitors: HashMap<VisitorKey, Vec<u32>, RandomState>,
    pub(crate) partitions: BTreeMap<Partition, LogWindow>,
}

impl Index {
    /// An empty index.
    ///
    /// # Errors
    /// If a setting is out of its range.
    pub fn new(settings: RecommenderSettings) -> Result<Self, SettingsError> {
        settings.validate()?;
        Ok(Self {
            halving: Halving::new(),
            sessions: SessionSlots::default(),
            items: Items::new(settings.weights.clone(), settings.trend_half_life_hours),
            visitors: HashMap::default(),
            partitions: BTreeMap::new(),
            settings,
        })
    }

    /// Its settings.
    #[must_use]
    pub const fn settings(&self) -> &RecommenderSettings {
        &self.settings
    }

    /// How many interactions of a partition were learnt or passed over.
    #[must_use]
    pub fn learnt(&self, partition: Partition) -> u64 {
        self.partitions.get(&partition).map_or(0, |state| state.learnt)
    }

    /// How many sessions it keeps.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// How many items these have.
    #[must_use]
    pub fn item_count(&self) -> usize {
        self.items.len()
    }

    /// How many visitors these are of; one in two partitions counts once.
    #[must_use]
    pub fn visitor_count(&self) -> usize {
        self.visitors.len()
    }

    /// An estimate of the memory that it takes, in bytes, from how much it has: nobody waits
    /// for it while all sessions are looked at.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let visitor = size_of::<(VisitorKey, Vec<u32>)>() + 1;
        // The least that an allocation takes, with its head.
        let slots = self.visitors.len() * 32;
        self.sessions.bytes()
            + self.items.bytes()
            + self.visitors.capacity() * visitor
            + slots
            + self.partitions.values().map(LogWindow::bytes).sum::<usize>()
    }

    /// The items of the visit that goes on at a time, oldest first, of somebody who
    /// is known by each of these visitors. It is the sessions, in any partition,
    /// between which and that time there is no break that is longer than the gap;
    /// what is later than `at` counts as now. Empty if there are none.
    #[must_use]
    pub fn recent(&self, visitors: &[&str], at: Timestamp) -> Vec<Recent> {
        let mut found: Vec<_> = self
            .going_on(visitors, at)
            .into_iter()
            .filter_map(|slot| self.sessions.get(slot))
            .flat_map(|session| session.items.iter().map(|item| (session.moment(item), item)))
            .collect();
        found.sort_unstable_by_key(|(moment, _)| *moment);
        let recent = |item: &crate::sessions::SessionItem| Recent {
            item: self.items.name(item.item).to_owned(),
            kind: item.kind,
            at: Timestamp::saturating_from_millis(item.at),
        };
        found.into_iter().map(|(_, item)| recent(item)).collect()
    }

    /// The slots of the sessions of a visit that goes on.
    pub(crate) fn going_on(&self, visitors: &[&str], at: Timestamp) -> Vec<u32> {
        let gap = i64::from(self.settings.session_gap_seconds) * 1000;
        let slots = visitors.iter().filter_map(|visitor| self.visitors.get(&VisitorKey::of(visitor))).flatten();
        let mut latest_first: Vec<(i64, u32)> =
            slots.filter_map(|&slot| Some((self.sessions.get(slot)?.end, slot))).collect();
        latest_first.sort_unstable_by_key(|&latest| std::cmp::Reverse(latest));
        let mut begin = at.millis();
        let mut going_on = Vec::new();
        for (end, slot) in latest_first {
            if end < begin.saturating_sub(gap) {
                break;
            }
            let items = self.sessions.get(slot).map_or(&[][..], |session| &session.items);
            begin = items.iter().map(|item| item.at).fold(begin, i64::min);
            going_on.push(slot);
        }
        going_on
    }

    /// A session that is referred to.
    pub(crate) fn session(&self, slot: u32) -> Option<&VisitorSession> {
        self.sessions.get(slot)
    }
}
