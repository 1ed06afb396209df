//! How long it takes until a number shows an event: probes, which have totals of
//! their own, are watched in the live stream.
//!
//! A probe's window counts probes alone. When its count reaches the n-th, the
//! first n probes of that window are on the screen of whoever looks, and each has
//! taken as long as has passed since it was to be sent.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use serde::Deserialize;
use serde_json::Value;
use tidemill_domain::Timestamp;
use tokio::time::{Instant, sleep};

use super::{
    error::BenchError,
    events::{EventReader, ServerEvent},
    histogram::Histogram,
    metric::CheckedMetric,
    schedule::Schedule,
    writing::Generator,
};
use crate::client::{Client, LiveBytes};

/// Before a stream that broke is asked for anew.
const AGAIN: Duration = Duration::from_millis(500);

/// A live update.
#[derive(Deserialize)]
struct LiveMetrics {
    metric: String,
    points: Vec<WatchedPoint>,
}

#[derive(Deserialize)]
struct WatchedPoint {
    start: Timestamp,
    dimensions: BTreeMap<String, String>,
    values: BTreeMap<String, Value>,
}

/// The probes that have been seen.
#[derive(Debug)]
struct Seen {
    by_window: HashMap<Timestamp, u64>,
    visible: Histogram,
}

/// Watches for the probes of a load.
#[derive(Debug, Clone)]
pub(super) struct ProbeWatch {
    client: Client,
    generator: Arc<Generator>,
    metric: CheckedMetric,
    schedule: Schedule,
    seen: Arc<Mutex<Seen>>,
}

impl ProbeWatch {
    pub(super) fn new(client: Client, generator: Arc<Generator>, metric: CheckedMetric, schedule: Schedule) -> Self {
        let seen = Seen { by_window: HashMap::new(), visible: Histogram::new() };
        Self { client, generator, metric, schedule, seen: Arc::new(Mutex::new(seen)) }
    }

    /// How long each probe has taken that was seen so far.
    pub(super) fn visible(&self) -> Histogram {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).visible.clone()
    }

    /// Whether every probe was seen.
    pub(super) fn is_complete(&self) -> bool {
        let workload = &self.generator.workload;
        self.visible().count() >= workload.events.div_ceil(workload.probe_every.max(1))
    }

    /// Watches until every probe was seen, by a stream that was opened before the
    /// first was sent.
    pub(super) async fn run(self, opened: LiveBytes) {
        // A stream that breaks is opened anew, and what was missed is asked for.
        let mut ended = self.follow(opened).await;
        while ended.is_err() || !self.is_complete() {
            sleep(AGAIN).await;
            ended = self.follow_again().await;
        }
    }

    async fn follow_again(&self) -> Result<(), BenchError> {
        let stream = self.client.live().await?;
        self.catch_up().await?;
        self.follow(stream).await
    }

    async fn follow(&self, mut stream: LiveBytes) -> Result<(), BenchError> {
        let mut reader = EventReader::default();
        while let Some(piece) = stream.next().await {
            for event in reader.take(&piece?) {
                self.take(&event).await?;
            }
            if self.is_complete() {
                break;
            }
        }
        Ok(())
    }

    async fn take(&self, event: &ServerEvent) -> Result<(), BenchError> {
        let (dimension, value) = self.generator.workload.shape.probe_group();
        match event.name.as_str() {
            "reset" => self.catch_up().await,
            // Most updates have no probe: they are not taken apart.
            "metrics" if event.data.contains(value) => {
                let Ok(update) = serde_json::from_str::<LiveMetrics>(&event.data) else { return Ok(()) };
                if update.metric == self.metric.name {
                    for point in update.points {
                        if point.dimensions.get(dimension).is_some_and(|is| is == value) {
                            self.shows(point.start, &point.values);
                        }
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Asks for what the stream did not tell.
    async fn catch_up(&self) -> Result<(), BenchError> {
        let workload = &self.generator.workload;
        let (dimension, value) = workload.shape.probe_group();
        let last = self.metric.window_of(workload.time(workload.events.saturating_sub(1)));
        let range = (self.metric.window_of(workload.begin), last.plus_millis(self.metric.window_millis));
        let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let answer = self.metric.windows(&self.client, range, &format!("&{dimension}={value}")).await?;
        for point in answer.series.iter().flat_map(|series| &series.points) {
            if let Ok(start) = point.start.parse() {
                self.shows(start, &point.values);
            }
        }
        Ok(())
    }

    /// A window shows so many probes now.
    fn shows(&self, window: Timestamp, values: &BTreeMap<String, Value>) {
        let workload = &self.generator.workload;
        let Some(count) = values.get(workload.shape.row_measure()).and_then(Value::as_u64) else { return };
        let every = workload.probe_every.max(1);
        let probe = |time| workload.first_at(time).div_ceil(every);
        let (first, end) = (probe(window), probe(window.plus_millis(self.metric.window_millis)));
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Seen { by_window, visible } = &mut *seen;
        let before = by_window.entry(window).or_default();
        while *before < count.min(end.saturating_sub(first)) {
            let request = workload.of_probe(first + *before) / self.generator.batch;
            if let Some(due) = self.schedule.due(request) {
                visible.record(now.saturating_duration_since(due));
            }
            *before += 1;
        }
    }
}
