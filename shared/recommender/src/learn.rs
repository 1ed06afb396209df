//! Learning, one interaction at a time.

use tidemill_domain::{Partition, Timestamp};

use crate::{
    index::Index,
    interaction::{Interaction, InteractionKind, MAX_ITEM_BYTES},
    sessions::{SessionItem, VisitorSession},
    visitor::VisitorKey,
};

impl Index {
    /// Learns the next interaction of a partition. It belongs to the visitor's
    /// latest visit there if their times are no further apart than the gap. That of
    /// kind `Order` is an order of one line.
    pub fn learn(&mut self, interaction: &Interaction<'_>) {
        let Interaction { partition, visitor, item, kind, at } = *interaction;
        if kind == InteractionKind::Order {
            return self.learn_order(partition, visitor, at, [item]);
        }
        let ordinal = self.count(partition);
        if is_item(item) {
            let slot = self.visit_of(interaction, ordinal);
            self.put(slot, interaction, ordinal);
        }
    }

    /// Learns the next interactions of a partition, which are the lines of one order.
    /// They are a session of their own, a basket, whatever else the visitor orders or
    /// looks at meanwhile: in which partition an order is makes no difference.
    pub fn learn_order<'a>(
        &mut self,
        partition: Partition,
        visitor: &str,
        at: Timestamp,
        lines: impl IntoIterator<Item = &'a str>,
    ) {
        let mut basket: Option<(u32, u64)> = None;
        for item in lines {
            let ordinal = self.count(partition);
            if !is_item(item) {
                continue;
            }
            let line = Interaction { partition, visitor, item, kind: InteractionKind::Order, at };
            // The lines before may all be out of reach by now, and the basket gone.
            let kept = basket.filter(|&(slot, born)| {
                self.sessions.get(slot).is_some_and(|session| (session.partition, session.born) == (partition, born))
            });
            let (slot, born) = kept.unwrap_or_else(|| (self.begin(&line, ordinal), ordinal));
            basket = Some((slot, born));
            self.put(slot, &line, ordinal);
        }
    }

    /// Passes the next interaction of a partition over, as that of a visitor who
    /// is forgotten. It takes its place, so that what is kept of the others does
    /// not depend on it.
    pub fn pass(&mut self, partition: Partition) {
        self.count(partition);
    }

    /// The ordinal of the next interaction. What is out of reach by it goes.
    fn count(&mut self, partition: Partition) -> u64 {
        let window = self.settings.interactions_per_partition as usize;
        let ordinal = self.partitions.entry(partition).or_default().next();
        while let Some((expired, slot)) = self.partitions.get_mut(&partition).and_then(|state| state.expired(window)) {
            let oldest = |session: &VisitorSession| {
                session.partition == partition && session.items.first().is_some_and(|item| item.ordinal == expired)
            };
            if self.sessions.get(slot).is_some_and(oldest) {
                self.take(slot, 0);
            }
        }
        ordinal
    }

    /// The slot of the visit that an interaction belongs to.
    fn visit_of(&mut self, interaction: &Interaction<'_>, ordinal: u64) -> u32 {
        let (partition, at) = (interaction.partition, interaction.at.millis());
        let gap = u64::from(self.settings.session_gap_seconds) * 1000;
        let slots = self.visitors.get(&VisitorKey::of(interaction.visitor)).map_or(&[][..], Vec::as_slice);
        let of = |slot: u32| self.sessions.get(slot).filter(|session| session.partition == partition);
        let latest = slots.iter().rev().find_map(|&slot| Some((slot, of(slot).filter(|visit| !visit.is_basket())?)));
        match latest {
            Some((slot, visit)) if visit.end.abs_diff(at) <= gap => slot,
            _ => self.begin(interaction, ordinal),
        }
    }

    /// Begins a session with an interaction that is to be put into it. The visitor's
    /// oldest one in the partition goes if there are too many.
    fn begin(&mut self, interaction: &Interaction<'_>, ordinal: u64) -> u32 {
        let (partition, visitor) = (interaction.partition, VisitorKey::of(interaction.visitor));
        let slots = self.visitors.get(&visitor).map_or(&[][..], Vec::as_slice);
        let here = |&slot: &u32| self.sessions.get(slot).is_some_and(|session| session.partition == partition);
        let mut of_visitor = slots.iter().copied().filter(here);
        let oldest = of_visitor.next();
        if 1 + of_visitor.count() >= self.settings.sessions_per_visitor as usize
            && let Some(oldest) = oldest
        {
            self.remove(oldest);
        }
        let end = interaction.at.millis();
        self.insert(VisitorSession { partition, visitor, born: ordinal, end, items: Vec::new(), orders: 0 })
    }

    /// Adds a session.
    pub(crate) fn insert(&mut self, session: VisitorSession) -> u32 {
        let (partition, visitor, born) = (session.partition, session.visitor, session.born);
        let slot = self.sessions.insert(session);
        self.visitors.entry(visitor).or_default().push(slot);
        self.partitions.entry(partition).or_default().begin(born, slot);
        slot
    }

    /// Puts an item into a session, or to its end if it is there.
    fn put(&mut self, slot: u32, interaction: &Interaction<'_>, ordinal: u64) {
        let at = interaction.at.millis();
        let item = self.items.number(interaction.item);
        let Some(session) = self.sessions.get_mut(slot) else { return };
        session.end = session.end.max(at);
        let mut put = SessionItem { item, kind: interaction.kind, times: 1, at, ordinal };
        if let Some(place) = session.items.iter().position(|other| other.item == item) {
            let before = session.items[place];
            (put.kind, put.times) = (put.kind.max(before.kind), before.times.saturating_add(1));
            self.take_out(slot, place);
        } else if session.items.len() >= self.settings.items_per_session as usize
            && let Some(oldest) = self.take_out(slot, 0)
        {
            self.items.tidy(oldest.item);
        }
        self.add(slot, put);
    }

    /// Adds an item behind the others of a session.
    pub(crate) fn add(&mut self, slot: u32, put: SessionItem) {
        self.sessions.push(slot, put);
        let Some(session) = self.sessions.get(slot) else { return };
        self.items.add(session.moment(&put), &put, slot);
        if let Some(state) = self.partitions.get_mut(&session.partition) {
            state.went_to(put.ordinal, slot);
            state.touch(session.born);
        }
    }

    /// Takes an item out of a session, which may be empty then.
    fn take_out(&mut self, slot: u32, place: usize) -> Option<SessionItem> {
        let taken = self.sessions.take(slot, place)?;
        let session = self.sessions.get(slot)?;
        self.items.remove(session.moment(&taken), &taken);
        if let Some(state) = self.partitions.get_mut(&session.partition) {
            state.touch(session.born);
        }
        Some(taken)
    }

    /// Takes an item out of a session, and the session away if that was its last one.
    fn take(&mut self, slot: u32, place: usize) {
        if let Some(taken) = self.take_out(slot, place) {
            self.items.tidy(taken.item);
        }
        if self.sessions.get(slot).is_some_and(|session| session.items.is_empty()) {
            self.remove(slot);
        }
    }

    /// Removes a session with its items.
    pub(crate) fn remove(&mut self, slot: u32) {
        while self.sessions.get(slot).is_some_and(|session| !session.items.is_empty()) {
            if let Some(taken) = self.take_out(slot, 0) {
                self.items.tidy(taken.item);
            }
        }
        let Some(session) = self.sessions.remove(slot) else { return };
        if let Some(slots) = self.visitors.get_mut(&session.visitor) {
            slots.retain(|&other| other != slot);
            if slots.is_empty() {
                self.visitors.remove(&session.visitor);
            }
        }
        if let Some(state) = self.partitions.get_mut(&session.partition) {
            state.end(session.born, slot);
        }
    }
}

/// Whether this may be an item's id.
fn is_item(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ITEM_BYTES
}
