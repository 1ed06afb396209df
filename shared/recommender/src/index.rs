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

    /// An estimate of the memory that it takes, in bytes. It looks at every session.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let visitor = size_of::<(VisitorKey, Vec<u32>)>() + 1;
        let slots: usize = self.visitors.values().map(|slots| slots.capacity() * size_of::<u32>() + 16).sum();
        self.sessions.bytes()
            + self.items.bytes()
            + self.visitors.capacity() * visitor
            + slots
            + self.partitions.values().map(LogWindow::bytes).sum::<usize>()
    }

    /// The items of a visitor's current session, oldest first: of the latest one
    /// in each partition. Empty if the visitor is not known. Whether it is still
    /// going on is to be seen by the time of its last item.
    #[must_use]
    pub fn recent(&self, visitor: &str) -> Vec<Recent> {
        let mut found: Vec<_> = self
            .current(VisitorKey::of(visitor))
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

    /// The slots of a visitor's latest session in each partition.
    pub(crate) fn current(&self, visitor: VisitorKey) -> impl Iterator<Item = u32> {
        let slots = self.visitors.get(&visitor).map_or(&[][..], Vec::as_slice);
        let partition = |slot: u32| self.sessions.get(slot).map(|session| session.partition);
        slots
            .iter()
            .enumerate()
            .filter(move |(at, slot)| slots[at + 1..].iter().all(|&later| partition(later) != partition(**slot)))
            .map(|(_, &slot)| slot)
    }

    /// A session that is referred to.
    pub(crate) fn session(&self, slot: u32) -> Option<&VisitorSession> {
        self.sessions.get(slot)
    }
}
