//! Which events of a batch are duplicates.

/// What an event is to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing like it came before.
    New,
    /// The same source and id came before.
    Duplicate,
    /// The same business key came before, under another source or id.
    Repeated,
}

/// A mark for each event of a batch, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Marks {
    /// One bit an event: whether it is a duplicate of either kind.
    duplicate: Vec<u8>,
    /// Whether it is a repetition. Ends with the last that is.
    repeated: Vec<u8>,
}

impl Marks {
    /// `repeated` is `None` in a batch that has none.
    pub(crate) fn from_bytes(duplicate: Vec<u8>, repeated: Option<Vec<u8>>) -> Self {
        Self { duplicate, repeated: repeated.unwrap_or_default() }
    }

    /// The bits of duplicates of either kind.
    pub(crate) fn duplicate_bytes(&self) -> &[u8] {
        &self.duplicate
    }

    /// The bits of repetitions, if there are any.
    pub(crate) fn repeated_bytes(&self) -> Option<&[u8]> {
        Some(&*self.repeated).filter(|bytes| !bytes.is_empty())
    }

    pub(crate) fn get(&self, index: usize) -> Mark {
        match (bit(&self.duplicate, index), bit(&self.repeated, index)) {
            (true, true) => Mark::Repeated,
            (true, false) => Mark::Duplicate,
            (false, _) => Mark::New,
        }
    }
}

fn bit(bytes: &[u8], index: usize) -> bool {
    bytes.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

fn set(bytes: &mut Vec<u8>, index: usize) {
    bytes.resize(bytes.len().max(index / 8 + 1), 0);
    bytes[index / 8] |= 1 << (index % 8);
}

impl FromIterator<Mark> for Marks {
    fn from_iter<I: IntoIterator<Item = Mark>>(marks: I) -> Self {
        let (mut all, mut count) = (Self::default(), 0);
        for (index, mark) in marks.into_iter().enumerate() {
            count = index + 1;
            if mark != Mark::New {
                set(&mut all.duplicate, index);
            }
            if mark == Mark::Repeated {
                set(&mut all.repeated, index);
            }
        }
        all.duplicate.resize(count.div_ceil(8), 0);
        all
    }
}
