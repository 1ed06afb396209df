//! How much questions may take.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How much a question may take.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SqlLimits {
    /// Seconds until its answer is there.
    pub seconds: u64,
    /// Rows of an answer.
    pub rows: usize,
    /// Bytes of an answer in memory.
    pub answer_bytes: usize,
    /// Bytes of memory of all questions together; what needs more goes to disk.
    pub memory_bytes: usize,
    /// Bytes on disk of all questions together.
    pub spill_bytes: u64,
    /// The folder for that; without it, the system's for temporary files.
    pub spill_folder: Option<PathBuf>,
    /// Questions that are answered at once.
    pub at_once: usize,
    /// Threads at most that wait for files.
    pub blocking_threads: usize,
}

impl Default for SqlLimits {
    fn default() -> Self {
        Self {
            seconds: 60,
            rows: 100_000,
            answer_bytes: 64 << 20,
            memory_bytes: 512 << 20,
            spill_bytes: 8 << 30,
            spill_folder: None,
            at_once: 2,
            blocking_threads: 512,
        }
    }
}
