//! Which events of a batch are duplicates.

/// A yes or no for each event of a batch, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Marks(Vec<u8>);

impl Marks {
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn get(&self, index: usize) -> bool {
        self.0.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }
}

impl FromIterator<bool> for Marks {
    fn from_iter<I: IntoIterator<Item = bool>>(marks: I) -> Self {
        let mut bytes = Vec::new();
        for (index, mark) in marks.into_iter().enumerate() {
            if index % 8 == 0 {
                bytes.push(0);
            }
            if let Some(last) = bytes.last_mut() {
                *last |= u8::from(mark) << (index % 8);
            }
        }
        Self(bytes)
    }
}
