//! The figures of the runs that were kept, a line each, and their picture.

use std::{io::Write, path::Path};

use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;

use super::{plot, report::Figures};
use crate::error::Error;

/// A run that was kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeptRun {
    /// When.
    pub date: Timestamp,
    /// Of which commit; `+` behind it means that files differed.
    pub commit: String,
    /// What came of it.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Appends a run to the file, and draws the picture beside it anew.
pub(super) fn keep(file: &Path, date: Timestamp, figures: &Figures) -> Result<(), Error> {
    let run = KeptRun { date, commit: commit(), figures: figures.clone() };
    let line = serde_json::to_string(&run).map_err(Error::file(file))?;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
    }
    let mut history = std::fs::File::options().create(true).append(true).open(file).map_err(Error::file(file))?;
    writeln!(history, "{line}").map_err(Error::file(file))?;
    draw(file)
}

/// Draws the picture of a history beside it.
pub(super) fn draw(file: &Path) -> Result<(), Error> {
    let text = std::fs::read_to_string(file).map_err(Error::file(file))?;
    let runs = read(&text).map_err(|e| Error::file(file)(e))?;
    let picture = file.with_extension("svg");
    std::fs::write(&picture, plot::svg(&runs)).map_err(Error::file(picture))
}

/// The runs of a history.
fn read(text: &str) -> Result<Vec<KeptRun>, serde_json::Error> {
    text.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str).collect()
}

pub(super) fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else { return "unknown".into() };
    let is_clean = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| changes.is_empty());
    if is_clean { commit } else { commit + "+" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A history that is kept has to be readable for as long as the project lives.
    #[test]
    fn the_history_of_the_project_can_be_read_and_its_picture_is_of_it() {
        let file = tidemill_testkit::crate_folder().join("../docs/performance/history.jsonl");
        let text = std::fs::read_to_string(&file).expect("the history");
        let runs = read(&text).expect("runs");
        let picture = std::fs::read_to_string(file.with_extension("svg")).expect("its picture");
        assert_eq!(picture, plot::svg(&runs), "draw it by `make bench BENCH_ARGS=--draw`");
    }
}
