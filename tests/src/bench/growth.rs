//! What an event costs as one thing grows and the rest stays.

use std::{collections::BTreeMap, io::Write, path::Path};

use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;

use super::{curves, generator::Load, history::commit, report::JobFigures, scale::Scale};
use crate::error::Error;

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Growth {
    /// Partitions of the log
    Partitions,
    /// Customers, whom each total counts apart
    Customers,
    /// Bytes of an event beyond the 314 that it has
    Padding,
    /// Metrics that count every event
    Metrics,
    /// Rules that look at every event or total
    Rules,
    /// Hours of event time that the events are spread over
    Hours,
    /// Totals that aggregation keeps when it starts
    Totals,
}

impl Growth {
    /// All that grow.
    pub const ALL: [Self; 7] =
        [Self::Partitions, Self::Customers, Self::Padding, Self::Metrics, Self::Rules, Self::Hours, Self::Totals];

    /// How large it becomes.
    pub(super) const fn steps(self) -> &'static [u64] {
        match self {
            Self::Partitions => &[1, 4, 16, 64],
            Self::Customers => &[10, 1_000, 100_000, 1_000_000],
            Self::Padding => &[0, 700, 2_700, 9_700],
            Self::Metrics => &[1, 5, 10, 20],
            Self::Rules => &[1, 10, 100],
            Self::Hours => &[1, 24, 30 * 24, 365 * 24],
            Self::Totals => &[10_000, 100_000, 1_000_000],
        }
    }

    /// What grows, in words.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Partitions => "partitions",
            Self::Customers => "customers",
            Self::Padding => "bytes beyond the 314 of an event",
            Self::Metrics => "metrics of every event",
            Self::Rules => "rules",
            Self::Hours => "hours of event time",
            Self::Totals => "totals kept: seconds from start to count",
        }
    }

    /// How the suite is set up.
    pub(super) fn scale(self, step: u64) -> Scale {
        match self {
            Self::Partitions => Scale { partitions: Some(step), ..Scale::default() },
            Self::Metrics => Scale { metrics: step, ..Scale::default() },
            Self::Rules => Scale { rules: step, ..Scale::default() },
            Self::Customers | Self::Padding | Self::Hours | Self::Totals => Scale::default(),
        }
    }

    /// The load, of that many events.
    pub(super) fn load(self, step: u64, load: Load) -> Load {
        match self {
            Self::Customers => Load { customers: step, ..load },
            // As many as fit a body.
            Self::Padding => Load { padding: step, batch: 400, ..load },
            Self::Hours => Load { per_minute: Some((load.events / (step * 60)).max(1)), ..load },
            // Each is in a minute of its own, and so in a total of its own.
            Self::Totals => Load { events: step, per_minute: Some(1), ..load },
            Self::Partitions | Self::Metrics | Self::Rules => load,
        }
    }
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GrowthPoint {
    /// What grows.
    pub grows: Growth,
    /// How large it was.
    pub step: u64,
    /// Events of the load.
    pub events: u64,
    /// Events a second until the books balanced.
    pub events_per_s: f64,
    /// Processor seconds for a million events, by part, and in `total`.
    pub cpu_s_per_million: BTreeMap<String, f64>,
    /// The most memory of each part.
    pub peak_rss_mb: BTreeMap<String, f64>,
    /// Bytes of log and stores for an event.
    pub disk_bytes_per_event: f64,
    /// Whether the books balanced.
    pub balanced: bool,
    /// Whether every total was right.
    pub equals_truth: bool,
    /// What became of it when aggregation began anew, where that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<RestartFigures>,
}

/// Aggregation begins anew with what it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RestartFigures {
    /// Bytes of state in memory for each total there, before, as it estimates them.
    pub state_bytes_per_total: f64,
    /// From its start until events of all partitions were counted.
    pub seconds: f64,
    /// Processor seconds of it in that time.
    pub cpu_s: f64,
}

impl GrowthPoint {
    pub(super) fn new(grows: Growth, step: u64, job: JobFigures, load: &super::generator::LoadReport) -> Self {
        let JobFigures { cpu_s_per_million, peak_rss_mb, disk_bytes_per_event, .. } = job;
        Self {
            grows,
            step,
            events: load.sent,
            events_per_s: load.events_per_s,
            cpu_s_per_million,
            peak_rss_mb,
            disk_bytes_per_event,
            balanced: load.balanced,
            equals_truth: load.equals_truth,
            restart: None,
        }
    }

    /// Whether every event is accounted for, and every number right.
    pub const fn is_good(&self) -> bool {
        self.balanced && self.equals_truth
    }

    /// What the picture shows: the time of a new start where that was tried, else
    /// processor seconds.
    pub(super) fn shown(&self) -> f64 {
        let total = || self.cpu_s_per_million.get("total").copied().unwrap_or_default();
        self.restart.map_or_else(total, |restart| restart.seconds)
    }
}

/// The curves that are kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Curves {
    date: Timestamp,
    commit: String,
    store: String,
    pub(super) points: Vec<GrowthPoint>,
}

/// Keeps points in a file, and draws the picture beside it. Points of what grows here
/// take the place of those that were there.
pub(super) fn keep(file: &Path, date: Timestamp, store: &str, points: &[GrowthPoint]) -> Result<(), Error> {
    let grown: Vec<Growth> = points.iter().map(|point| point.grows).collect();
    let known = std::fs::read_to_string(file).ok().and_then(|text| serde_json::from_str::<Curves>(&text).ok());
    let kept = known.map(|curves| curves.points).unwrap_or_default();
    let kept = kept.into_iter().filter(|point| !grown.contains(&point.grows));
    let mut points: Vec<GrowthPoint> = kept.chain(points.iter().cloned()).collect();
    points.sort_by_key(|point| (point.grows, point.step));
    let curves = Curves { date, commit: commit(), store: store.into(), points };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
    }
    let text = serde_json::to_string_pretty(&curves).map_err(Error::file(file))?;
    let mut out = std::fs::File::create(file).map_err(Error::file(file))?;
    writeln!(out, "{text}").map_err(Error::file(file))?;
    let picture = file.with_extension("svg");
    std::fs::write(&picture, curves::svg(&curves.points)).map_err(Error::file(picture))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(grows: Growth, step: u64, total: f64) -> GrowthPoint {
        GrowthPoint {
            grows,
            step,
            events: 1_000,
            events_per_s: 10.0,
            cpu_s_per_million: BTreeMap::from([("nats".into(), total / 2.0), ("total".into(), total)]),
            peak_rss_mb: BTreeMap::new(),
            disk_bytes_per_event: 100.0,
            balanced: true,
            equals_truth: true,
            restart: None,
        }
    }

    #[test]
    fn where_it_began_anew_the_time_of_that_is_shown() {
        let restart = RestartFigures { state_bytes_per_total: 300.0, seconds: 1.5, cpu_s: 0.25 };
        let point = GrowthPoint { restart: Some(restart), ..point(Growth::Totals, 10, 8.0) };
        assert_eq!(point.shown(), 1.5);
        let read: GrowthPoint =
            serde_json::from_str(&serde_json::to_string(&point).expect("JSON")).expect("it reads back");
        assert_eq!(read, point);
    }

    #[test]
    fn points_of_one_kind_take_the_place_of_older_ones_and_leave_the_others() {
        let folder = tidemill_testkit::tempdir();
        let file = folder.path().join("deep").join("growth.json");
        let first =
            [point(Growth::Rules, 1, 8.0), point(Growth::Partitions, 4, 9.0), point(Growth::Partitions, 1, 7.0)];
        keep(&file, Timestamp::EPOCH, "sqlite", &first).expect("keeps");
        keep(&file, Timestamp::EPOCH, "sqlite", &[point(Growth::Rules, 10, 20.0)]).expect("keeps");
        let text = std::fs::read_to_string(&file).expect("the file");
        let curves: Curves = serde_json::from_str(&text).expect("curves");
        let kept: Vec<_> = curves.points.iter().map(|point| (point.grows, point.step)).collect();
        assert_eq!(kept, [(Growth::Partitions, 1), (Growth::Partitions, 4), (Growth::Rules, 10)]);
        let picture = std::fs::read_to_string(file.with_extension("svg")).expect("a picture");
        assert_eq!(picture.matches("<circle").count(), 3, "{picture}");
        assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
    }
}
