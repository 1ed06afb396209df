//! The form of a page: its version, each id of an item once, the sessions, and a
//! checksum (XXH3) of all before it. Integers are in LEB128.

use std::{collections::HashMap, rc::Rc};

use tidemill_domain::Partition;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    interaction::{InteractionKind, MAX_ITEM_BYTES},
    sessions::{SessionItem, VisitorSession},
    visitor::VisitorKey,
};

const VERSION: u8 = 1;

/// A page that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It is of a later release.
    #[error("a page has form {0}, which this release does not know")]
    Version(u8),
    /// It is cut off or damaged.
    #[error("a page is damaged")]
    Damaged,
}

/// A page that is being written.
#[derive(Debug, Default)]
pub(crate) struct Page {
    names: HashMap<String, u64>,
    dictionary: Vec<u8>,
    sessions: Vec<u8>,
}

/// A session as it was read: without items, and these by their ids.
pub(crate) struct StoredSession {
    pub(crate) session: VisitorSession,
    pub(crate) items: Vec<(Rc<str>, SessionItem)>,
}

impl Page {
    pub(crate) fn push<'a>(&mut self, session: &VisitorSession, name: impl Fn(u32) -> &'a str) {
        self.sessions.extend_from_slice(&session.visitor.0.to_le_bytes());
        put(&mut self.sessions, session.born);
        put_signed(&mut self.sessions, session.end);
        put(&mut self.sessions, session.items.len() as u64);
        for item in &session.items {
            let next = self.names.len() as u64;
            let name = name(item.item);
            let number = *self.names.entry(name.to_owned()).or_insert_with(|| {
                put(&mut self.dictionary, name.len() as u64);
                self.dictionary.extend_from_slice(name.as_bytes());
                next
            });
            put(&mut self.sessions, number << 2 | item.kind as u64);
            put_signed(&mut self.sessions, session.end.wrapping_sub(item.at));
            put(&mut self.sessions, item.ordinal - session.born);
            put(&mut self.sessions, u64::from(item.times));
        }
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut page = vec![VERSION];
        put(&mut page, self.names.len() as u64);
        page.extend_from_slice(&self.dictionary);
        page.extend_from_slice(&self.sessions);
        page.extend_from_slice(&xxh3_64(&page).to_le_bytes());
        page
    }

    pub(crate) fn decode(page: &[u8], partition: Partition) -> Result<Vec<StoredSession>, SnapshotError> {
        let (content, checksum) = page.split_last_chunk().ok_or(SnapshotError::Damaged)?;
        let mut rest = Reader(content);
        match rest.bytes(1)? {
            [VERSION] if xxh3_64(content) == u64::from_le_bytes(*checksum) => {}
            [VERSION] => return Err(SnapshotError::Damaged),
            other => return Err(SnapshotError::Version(other[0])),
        }
        let count = rest.length()?;
        let names = (0..count).map(|_| rest.name()).collect::<Result<Vec<Rc<str>>, _>>()?;
        let mut sessions = Vec::new();
        while !rest.0.is_empty() {
            sessions.push(rest.session(&names, partition)?);
        }
        Ok(sessions)
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        #[allow(clippy::cast_possible_truncation, reason = "its lowest seven bits")]
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    #[allow(clippy::cast_possible_truncation, reason = "below 128")]
    out.push(number as u8);
}

/// Small numbers of either sign are short (zigzag).
fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
}

/// What is still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], SnapshotError> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(SnapshotError::Damaged)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64, SnapshotError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.bytes(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(SnapshotError::Damaged)
    }

    fn signed(&mut self) -> Result<i64, SnapshotError> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// A count of things of which each takes at least a byte.
    fn length(&mut self) -> Result<usize, SnapshotError> {
        usize::try_from(self.number()?).ok().filter(|length| *length <= self.0.len()).ok_or(SnapshotError::Damaged)
    }

    fn name(&mut self) -> Result<Rc<str>, SnapshotError> {
        let length = self.length()?;
        let name = std::str::from_utf8(self.bytes(length)?).map_err(|_| SnapshotError::Damaged)?;
        if name.is_empty() || length > MAX_ITEM_BYTES { Err(SnapshotError::Damaged) } else { Ok(name.into()) }
    }

    fn session(&mut self, names: &[Rc<str>], partition: Partition) -> Result<StoredSession, SnapshotError> {
        let visitor = self.bytes(8)?.try_into().map_err(|_| SnapshotError::Damaged)?;
        let (born, end) = (self.number()?, self.signed()?);
        let count = self.length()?;
        if count == 0 {
            return Err(SnapshotError::Damaged);
        }
        let items = (0..count).map(|_| self.item(names, born, end)).collect::<Result<_, _>>()?;
        let visitor = VisitorKey(u64::from_le_bytes(visitor));
        let session = VisitorSession { partition, visitor, born, end, items: Vec::with_capacity(count), orders: 0 };
        Ok(StoredSession { session, items })
    }

    fn item(&mut self, names: &[Rc<str>], born: u64, end: i64) -> Result<(Rc<str>, SessionItem), SnapshotError> {
        let first = self.number()?;
        let name = usize::try_from(first >> 2).ok().and_then(|name| names.get(name)).ok_or(SnapshotError::Damaged)?;
        let kind = match first & 3 {
            0 => InteractionKind::View,
            1 => InteractionKind::Cart,
            2 => InteractionKind::Order,
            _ => return Err(SnapshotError::Damaged),
        };
        let at = end.wrapping_sub(self.signed()?);
        let ordinal = born.checked_add(self.number()?).ok_or(SnapshotError::Damaged)?;
        let times = u16::try_from(self.number()?).ok().filter(|times| *times > 0).ok_or(SnapshotError::Damaged)?;
        Ok((Rc::clone(name), SessionItem { item: 0, kind, times, at, ordinal }))
    }
}
