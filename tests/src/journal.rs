//! What a run tells people: lines with the run's time on standard error and in
//! a file, a progress bar, and the list of what was wrong.

use std::{
    fmt::Display,
    fs::File,
    io::Write,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::error::Error;

/// Problems that are kept; a run with so many has failed long before.
const MAX_PROBLEMS: usize = 200;

/// The journal of a run; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    begun: Instant,
    bar: ProgressBar,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    file: File,
    problems: Vec<String>,
}

impl Journal {
    /// Writes `run.log` in `folder`.
    pub(crate) fn new(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("run.log");
        let file = File::create(&path).map_err(Error::file(path))?;
        let style = ProgressStyle::with_template("{prefix:>9} [{bar:40}] {human_pos}/{human_len} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let bar = ProgressBar::new(0).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(250));
        let written = Mutex::new(Written { file, problems: Vec::new() });
        Ok(Self(Arc::new(Inner { begun: Instant::now(), bar, written })))
    }

    /// How long the run has lasted.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.begun.elapsed()
    }

    /// A line for people.
    pub(crate) fn note(&self, text: impl Display) {
        let line = format!("{:9.3} {text}", self.elapsed().as_secs_f64());
        let mut written = self.written();
        // A full disk shows elsewhere soon enough.
        let _ = writeln!(written.file, "{line}");
        // Where standard error is closed there is nobody to tell.
        self.0.bar.suspend(|| {
            let _ = writeln!(std::io::stderr(), "{line}");
        });
    }

    /// Something that must not be: the run fails by it.
    pub(crate) fn problem(&self, text: impl Display) {
        self.note(format_args!("PROBLEM {text}"));
        let mut written = self.written();
        if written.problems.len() < MAX_PROBLEMS {
            written.problems.push(text.to_string());
        }
    }

    /// Everything that must not have been.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.written().problems.clone()
    }

    /// Begins to count towards `total`.
    pub(crate) fn count_to(&self, what: &'static str, total: u64) {
        self.0.bar.set_prefix(what);
        self.0.bar.set_length(total);
        self.0.bar.set_position(0);
    }

    /// How far it has come.
    pub(crate) fn position(&self, done: u64) {
        self.0.bar.set_position(done);
    }

    /// What is going on.
    pub(crate) fn message(&self, text: String) {
        self.0.bar.set_message(text);
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.0.bar.finish_and_clear();
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
