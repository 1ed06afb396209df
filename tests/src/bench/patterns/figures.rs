//! The figures of a run.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};
use tidemill::profile::SuiteProfile;

use super::{super::machine::Machine, page, picture, probes::ProbeTimes, reprocessing::Reprocessing};
use crate::error::Error;

/// The last line of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PatternRun {
    /// `online-retail`, or `made` lines of the same kind.
    pub workload: String,
    /// `sqlite` or `postgres`.
    pub store: String,
    /// What the machine could do.
    pub machine: Machine,
    /// Each pattern at each size.
    pub patterns: Vec<PatternFigures>,
}

/// What a pattern came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PatternFigures {
    /// The profile that ran.
    pub pattern: SuiteProfile,
    /// How often each line was sent.
    pub times: u32,
    /// Events in all.
    pub events: u64,
    /// Bytes of one, as it was sent.
    pub event_bytes: f64,
    /// Seconds until the last event was taken in.
    pub sent_s: f64,
    /// Seconds until the books balanced, where there is a stream.
    pub live_s: Option<f64>,
    /// Seconds until gold had all events, where there are tables.
    pub tables_s: Option<f64>,
    /// From an event until its number, of single events afterwards.
    pub visible_ms: ProbeTimes,
    /// Processor seconds until then, by part.
    pub cpu_s: BTreeMap<String, f64>,
    /// All of them, for a million events.
    pub cpu_s_per_million: f64,
    /// The most memory of each part.
    pub peak_rss_mb: BTreeMap<String, f64>,
    /// Of log, stores and tables.
    pub disk_mb: f64,
    /// The same for an event.
    pub disk_bytes_per_event: f64,
    /// What it took to make all numbers once more.
    pub reprocessing: Reprocessing,
    /// Whether all numbers were right, cell for cell.
    pub exact: bool,
}

impl PatternFigures {
    /// Whether every number is right.
    pub fn is_good(&self) -> bool {
        self.exact && self.reprocessing.equal
    }

    /// The most memory of all parts together.
    pub(super) fn memory_mb(&self) -> f64 {
        self.peak_rss_mb.values().sum()
    }

    /// Seconds until all numbers that the pattern has were there.
    pub(super) fn settled_s(&self) -> f64 {
        self.live_s.unwrap_or_default().max(self.tables_s.unwrap_or_default())
    }

    /// A line for people.
    pub(super) fn told(&self) -> String {
        format!(
            "{} at {} times: {} events in {:.1} s, visible after {:.0} ms, {:.1} cpu s/M, {:.0} MB of memory, \
             {:.0} MB on disk, made once more in {:.1} s; exact {}",
            self.pattern.name(),
            self.times,
            self.events,
            self.settled_s(),
            self.visible_ms.p50,
            self.cpu_s_per_million,
            self.memory_mb(),
            self.disk_mb,
            self.reprocessing.seconds,
            self.is_good()
        )
    }
}

impl PatternRun {
    /// Whether every number was right.
    pub fn is_good(&self) -> bool {
        self.patterns.iter().all(PatternFigures::is_good)
    }

    /// A table in Markdown.
    pub fn table(&self) -> String {
        let mut lines = vec![
            "| pattern | events | all numbers there | event to number, p50 and worst | CPU s for a million | memory \
             | disk for an event | made once more | CPU s for that | exact |"
                .to_owned(),
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |".into(),
        ];
        for one in &self.patterns {
            lines.push(format!(
                "| {} | {} | {:.1} s | {:.2} s, {:.2} s | {:.1} | {:.0} MB | {:.0} bytes | {:.1} s | {:.1} | {} |",
                one.pattern.name(),
                one.events,
                one.settled_s(),
                one.visible_ms.p50 / 1_000.0,
                one.visible_ms.max / 1_000.0,
                one.cpu_s_per_million,
                one.memory_mb(),
                one.disk_bytes_per_event,
                one.reprocessing.seconds,
                one.reprocessing.cpu_s,
                if one.is_good() { "yes" } else { "no" },
            ));
        }
        lines.join("\n")
    }
}

/// Writes the run into a file, its picture beside it, and its table into the page.
pub(super) fn keep(file: &Path, run: &PatternRun) -> Result<(), Error> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
    }
    let text = serde_json::to_string_pretty(run).map_err(Error::program("the figures"))?;
    std::fs::write(file, text + "\n").map_err(Error::file(file))?;
    let drawn = file.with_extension("svg");
    std::fs::write(&drawn, picture::svg(run)).map_err(Error::file(&drawn))?;
    page::keep(file, run)
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::reprocessing::ReprocessingWay, *};

    /// The figures of a run that never was.
    pub(in super::super) fn sample() -> PatternRun {
        let machine = Machine { cpu: "a processor".into(), cores: 2, calibration_s: 0.4, fsync_ms: 0.8, load: 0.1 };
        let of = |pattern, times: u32| PatternFigures {
            pattern,
            times,
            events: u64::from(times) * 1_000,
            event_bytes: 300.0,
            sent_s: 1.0,
            live_s: Some(2.0),
            tables_s: None,
            visible_ms: ProbeTimes { p50: 90.0, max: 120.0, count: 20 },
            cpu_s: BTreeMap::from([("nats".to_owned(), 2.5)]),
            cpu_s_per_million: 8.0,
            peak_rss_mb: BTreeMap::from([("nats".to_owned(), 40.0), ("lake".to_owned(), 60.0)]),
            disk_mb: 12.0,
            disk_bytes_per_event: 310.5,
            reprocessing: Reprocessing { way: ReprocessingWay::Replay, seconds: 3.0, cpu_s: 4.0, equal: true },
            exact: true,
        };
        let profiles = [SuiteProfile::Medallion, SuiteProfile::Kappa, SuiteProfile::Lambda, SuiteProfile::Full];
        let patterns = [1, 10].into_iter().flat_map(|times| profiles.map(|profile| of(profile, times))).collect();
        PatternRun { workload: "made".into(), store: "sqlite".into(), machine, patterns }
    }

    /// Who reads the last line relies on these names.
    #[test]
    fn the_last_line_and_the_table_have_every_pattern() {
        let run = sample();
        let line = serde_json::to_string(&run).expect("JSON");
        let told: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let first = &told["patterns"][0];
        assert_eq!(
            (first["pattern"].as_str(), first["reprocessing"]["way"].as_str()),
            (Some("medallion"), Some("replay"))
        );
        for name in ["cpu_s_per_million", "disk_mb", "live_s", "disk_bytes_per_event"] {
            assert!(first[name].is_number(), "{name}: {line}");
        }
        let read: PatternRun = serde_json::from_str(&line).expect("it reads back");
        assert!(read.is_good());
        assert_eq!(run.table().lines().count(), 2 + run.patterns.len());
        assert!(
            run.table().contains("| medallion | 1000 | 2.0 s | 0.09 s, 0.12 s | 8.0 | 100 MB |"),
            "{}",
            run.table()
        );
    }

    #[test]
    fn one_wrong_number_makes_a_run_bad() {
        let mut run = sample();
        run.patterns[2].reprocessing.equal = false;
        assert!(!run.is_good());
    }
}
