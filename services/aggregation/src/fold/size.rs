//! How much a partition's state takes.

/// How much a partition holds in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) cells: usize,
    pub(crate) values: usize,
    pub(crate) books: usize,
    pub(crate) sources: usize,
}

impl Size {
    /// About how many bytes that is: a cell with its keys and states takes
    /// some 700, a distinct value 16 in a table that is at worst half full, the
    /// rest about 150 each.
    pub(crate) fn bytes(self) -> usize {
        self.cells * 700 + self.values * 32 + (self.books + self.sources) * 150
    }
}
