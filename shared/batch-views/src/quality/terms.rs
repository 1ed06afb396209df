//! What is asked of a table.

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub struct QualityTerms {
    /// A row with this score, or a higher one, is of high quality.
    pub high_score: f64,
    /// Rows of a folder up to which duplicates are looked for.
    pub most_rows: u64,
}
