//! Why a run cannot be held. What it finds out is in its verdict.

use std::{fmt, path::PathBuf, time::Duration};

/// Why a run cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be used.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The services have not been built.
    #[error(
        "{missing} not found in {folder}; build the services with `cargo build --workspace --bins`",
        folder = folder.display()
    )]
    Binaries {
        /// Where they were looked for.
        folder: PathBuf,
        /// Their names.
        missing: String,
    },
    /// A program cannot be run.
    #[error("{program}: {reason}")]
    Program {
        /// Its name.
        program: String,
        /// Why.
        reason: String,
    },
    /// A line of the data set is not what its lines are.
    #[error("the data set, line {line}: {reason}")]
    Data {
        /// Its number in the file, the header being 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Something did not come about.
    #[error("{what}: not within {} s; {last}", deadline.as_secs())]
    Deadline {
        /// What was waited for.
        what: String,
        /// For how long.
        deadline: Duration,
        /// What was seen last.
        last: String,
    },
    /// The suite refused what it has to take.
    #[error("{0}")]
    Refused(String),
    /// Somebody pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// For `map_err` on what the system says of a file.
    pub(crate) fn file<E: fmt::Display>(path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |reason| Self::File { path, reason: reason.to_string() }
    }

    /// For `map_err` on what the system says of a program.
    pub(crate) fn program<E: fmt::Display>(program: impl Into<String>) -> impl FnOnce(E) -> Self {
        let program = program.into();
        move |reason| Self::Program { program, reason: reason.to_string() }
    }
}
