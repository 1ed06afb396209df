//! Sessions, each in a slot.

use tidemill_domain::Partition;

use crate::{interaction::InteractionKind, visitor::VisitorKey};

/// Where something stands among all interactions: by time, and where that is
/// equal by partition and ordinal. No two interactions have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    pub(crate) at: i64,
    place: u64,
}

impl Moment {
    pub(crate) const fn new(at: i64, partition: Partition, ordinal: u64) -> Self {
        // Ordinals of 2^48 interactions: nine years of a million a second.
        Self { at, place: ((partition.index() as u64) << 48) | ordinal }
    }
}

/// An item of a session, as of its latest interaction with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionItem {
    /// Its number in the index.
    pub(crate) item: u32,
    /// The most that was done with it.
    pub(crate) kind: InteractionKind,
    /// How often there was something with it.
    pub(crate) times: u16,
    /// When, in milliseconds since 1970.
    pub(crate) at: i64,
    /// Which interaction of the partition.
    pub(crate) ordinal: u64,
}

/// What a visitor did without a longer break, in one partition: a visit. Or what they
/// ordered by one order: a basket.
#[derive(Debug, Clone)]
pub(crate) struct VisitorSession {
    pub(crate) partition: Partition,
    pub(crate) visitor: VisitorKey,
    /// The ordinal of its first interaction, which names it within the partition.
    pub(crate) born: u64,
    /// The time of its latest interaction.
    pub(crate) end: i64,
    /// By ordinal, each item once.
    pub(crate) items: Vec<SessionItem>,
    /// How many of these are ordered: of a basket all, of a visit none.
    pub(crate) orders: u32,
}

impl VisitorSession {
    pub(crate) const fn is_basket(&self) -> bool {
        self.orders > 0
    }

    pub(crate) const fn moment(&self, of: &SessionItem) -> Moment {
        Moment::new(of.at, self.partition, of.ordinal)
    }
}

/// All sessions.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionSlots {
    slots: Vec<Option<VisitorSession>>,
    free: Vec<u32>,
    baskets: u64,
    /// Their items.
    items: u64,
    /// The interactions with these.
    interactions: u64,
}

impl SessionSlots {
    pub(crate) fn insert(&mut self, session: VisitorSession) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(session);
            return slot;
        }
        self.slots.push(Some(session));
        u32::try_from(self.slots.len() - 1).expect("a session takes more than a byte of memory")
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<VisitorSession> {
        let session = self.slots[slot as usize].take()?;
        self.free.push(slot);
        Some(session)
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&VisitorSession> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut VisitorSession> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Adds an item behind the others.
    pub(crate) fn push(&mut self, slot: u32, item: SessionItem) {
        let Some(session) = self.slots[slot as usize].as_mut() else { return };
        session.items.push(item);
        self.items += 1;
        self.interactions += u64::from(item.times);
        if item.kind == InteractionKind::Order {
            self.baskets += u64::from(session.orders == 0);
            session.orders += 1;
        }
    }

    /// Takes an item out.
    pub(crate) fn take(&mut self, slot: u32, place: usize) -> Option<SessionItem> {
        let session = self.slots[slot as usize].as_mut()?;
        let item = session.items.remove(place);
        self.items -= 1;
        self.interactions -= u64::from(item.times);
        if item.kind == InteractionKind::Order {
            session.orders -= 1;
            self.baskets -= u64::from(session.orders == 0);
        }
        Some(item)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many of them are baskets.
    pub(crate) const fn baskets(&self) -> u64 {
        self.baskets
    }

    /// How many interactions return to an item of their session, for each that does not.
    pub(crate) fn returns(&self) -> f64 {
        (self.interactions - self.items) as f64 / self.items.max(1) as f64
    }

    /// An estimate: a list has room for four items, and then for twice as many.
    pub(crate) fn bytes(&self) -> usize {
        let room = self.len() * 2 + usize::try_from(self.items).unwrap_or(usize::MAX);
        self.slots.capacity() * size_of::<Option<VisitorSession>>()
            + room.saturating_mul(size_of::<SessionItem>())
            + self.free.capacity() * size_of::<u32>()
    }
}
