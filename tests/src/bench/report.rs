//! The figures of a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    generator::{LoadReport, Quantiles},
    machine::{Machine, rounded},
    overload::OverloadFigures,
    suite::PartsUsage,
};

/// The last line of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// `sqlite` or `postgres`.
    pub store: String,
    /// Events a second of the reference job, from the first request until the
    /// books balanced, 1,000 events a request.
    pub batched_events_per_s: f64,
    /// Events a second in requests of one event, from the first request until
    /// the books balanced.
    pub single_events_per_s: f64,
    /// `batched_events_per_s` by what JetStream alone relays of the same bytes.
    pub jetstream_ratio: f64,
    /// From when an event was to be sent until the live stream showed it, at half
    /// the sustainable rate.
    pub visible_ms: Option<Quantiles>,
    /// From when an order was to be sent until Slack had its alert, at that rate.
    pub slack_ms: Option<Quantiles>,
    /// Processor seconds for a million events of the reference job, by part, and
    /// in `total`.
    pub cpu_s_per_million: BTreeMap<String, f64>,
    /// The most memory of each part.
    pub peak_rss_mb: BTreeMap<String, f64>,
    /// Bytes of log and stores for an event of the reference job.
    pub disk_bytes_per_event: f64,
    /// Whether the books balanced after every load.
    pub balanced: bool,
    /// Whether every total was right after every load.
    pub equals_truth: bool,
    /// What JetStream alone relays.
    pub jetstream_events_per_s: f64,
    /// Of its server and its client.
    pub jetstream_cpu_s_per_million: f64,
    /// Events a second of the synthetic shop, batched.
    pub shop_events_per_s: f64,
    /// Events a second that were acknowledged, in requests of one.
    pub single_acknowledged_per_s: f64,
    /// Processor seconds for a million events of the shop in requests of one, by part;
    /// not in runs of earlier releases.
    #[serde(default)]
    pub single_cpu_s_per_million: BTreeMap<String, f64>,
    /// From the request of one event until its answer, with all connections busy.
    pub single_accepted_ms: Option<Quantiles>,
    /// Events a second at which latencies were measured.
    pub latency_rate: u64,
    /// Bytes of an event of the reference job, as it is sent.
    pub event_bytes: f64,
    /// Messages that NATS took in for a request of the reference job.
    pub nats_in_per_request: f64,
    /// Messages that NATS gave out for one.
    pub nats_out_per_request: f64,
    /// Three times what the suite can sustain; not in runs of earlier releases.
    #[serde(default)]
    pub overload: Option<OverloadFigures>,
    /// What the machine could do.
    pub machine: Machine,
}

/// What the reference job took.
pub(super) struct JobFigures {
    pub(super) cpu_s_per_million: BTreeMap<String, f64>,
    pub(super) peak_rss_mb: BTreeMap<String, f64>,
    pub(super) disk_bytes_per_event: f64,
    pub(super) event_bytes: f64,
    pub(super) nats_per_request: (f64, f64),
}

impl JobFigures {
    pub(super) fn of(load: &LoadReport, before: &PartsUsage, after: &PartsUsage) -> Self {
        let events = float(load.sent);
        let requests = float(load.sent.div_ceil(load.batch));
        let mut cpu: BTreeMap<String, f64> = BTreeMap::new();
        let mut memory = BTreeMap::new();
        for ((part, then), (_, now)) in before.parts.iter().zip(&after.parts) {
            cpu.insert((*part).to_owned(), rounded((now.cpu_s - then.cpu_s) * 1e6 / events));
            memory.insert((*part).to_owned(), rounded(float(now.peak_rss) / f64::from(1 << 20)));
        }
        cpu.insert("generator".into(), rounded(load.cpu_s.unwrap_or_default() * 1e6 / events));
        let total = cpu.values().sum::<f64>();
        cpu.insert("total".into(), rounded(total));
        let per_request = |then: u64, now: u64| rounded(float(now.saturating_sub(then)) / requests);
        Self {
            cpu_s_per_million: cpu,
            peak_rss_mb: memory,
            disk_bytes_per_event: rounded(float(after.disk.saturating_sub(before.disk)) / events),
            event_bytes: rounded(float(load.bytes) / events),
            nats_per_request: (
                per_request(before.messages.0, after.messages.0),
                per_request(before.messages.1, after.messages.1),
            ),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts and bytes of a run are exact")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

impl Figures {
    /// Whether every event is accounted for, and every number right.
    pub fn is_good(&self) -> bool {
        self.balanced && self.equals_truth
    }

    /// Tells a person.
    pub fn told(&self) -> String {
        let mut lines = vec![
            format!(
                "{} on {} cores of {}, {} (load {:.1})",
                self.store,
                self.machine.cores,
                self.machine.cpu,
                if self.machine.is_quiet() { "quiet" } else { "shared with others" },
                self.machine.load
            ),
            format!(
                "batched    {:.0} events/s, {:.1} % of JetStream alone ({:.0})",
                self.batched_events_per_s,
                self.jetstream_ratio * 100.0,
                self.jetstream_events_per_s
            ),
            format!(
                "shop       {:.0} events/s batched; one a request {:.0} events/s ({:.0} acknowledged)",
                self.shop_events_per_s, self.single_events_per_s, self.single_acknowledged_per_s
            ),
        ];
        for (what, quantiles) in [("visible", self.visible_ms), ("slack", self.slack_ms)] {
            if let Some(Quantiles { p50, p95, p99, p999, count, .. }) = quantiles {
                lines.push(format!(
                    "{what:10} p50 {p50:.0} ms, p95 {p95:.0}, p99 {p99:.0}, p99.9 {p999:.0} ({count} at {} events/s)",
                    self.latency_rate
                ));
            }
        }
        let parts = |values: &BTreeMap<String, f64>| {
            values.iter().map(|(part, value)| format!("{part} {value:.1}")).collect::<Vec<_>>().join(", ")
        };
        lines.push(format!("cpu s/M    {}", parts(&self.cpu_s_per_million)));
        lines.push(format!("one each   {}", parts(&self.single_cpu_s_per_million)));
        lines.push(format!("peak MB    {}", parts(&self.peak_rss_mb)));
        lines.push(format!(
            "disk       {:.0} bytes an event of {:.0}; NATS {:.1} messages in and {:.1} out for a request",
            self.disk_bytes_per_event, self.event_bytes, self.nats_in_per_request, self.nats_out_per_request
        ));
        if let Some(overload) = &self.overload {
            lines.push(format!(
                "overload   {} events/s offered, {:.0} taken in; {} requests turned away; balanced {:.1} s behind the \
                 last one; cpu s/M {:.1}",
                overload.offered_per_s,
                overload.acknowledged_per_s,
                overload.turned_away,
                overload.recovered_s,
                overload.cpu_s_per_million.get("total").unwrap_or(&0.0),
            ));
        }
        lines.push(format!("balanced {}, equals the truth {}", self.balanced, self.equals_truth));
        lines.join("\n")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The figures of a run that never was.
    pub(in super::super) fn sample(store: &str, batched_events_per_s: f64) -> Figures {
        let quantiles = Quantiles { p50: 90.0, p95: 200.0, p99: 400.0, p999: 900.0, max: 950.0, count: 1_000 };
        let parts = BTreeMap::from([("nats".to_owned(), 2.5), ("total".to_owned(), 8.0)]);
        let machine = Machine { cpu: "a processor".into(), cores: 2, calibration_s: 0.4, fsync_ms: 0.8, load: 0.1 };
        Figures {
            store: store.into(),
            batched_events_per_s,
            single_events_per_s: 1_200.0,
            jetstream_ratio: 0.3,
            visible_ms: Some(quantiles),
            slack_ms: None,
            cpu_s_per_million: parts.clone(),
            peak_rss_mb: parts.clone(),
            disk_bytes_per_event: 310.5,
            balanced: true,
            equals_truth: true,
            jetstream_events_per_s: 700_000.0,
            jetstream_cpu_s_per_million: 2.0,
            shop_events_per_s: 4_000.0,
            single_acknowledged_per_s: 1_300.0,
            single_cpu_s_per_million: parts.clone(),
            single_accepted_ms: Some(quantiles),
            latency_rate: 2_000,
            event_bytes: 314.0,
            nats_in_per_request: 40.0,
            nats_out_per_request: 60.0,
            overload: None,
            machine,
        }
    }

    /// Who reads the last line relies on these names.
    #[test]
    fn the_last_line_has_what_is_promised() {
        let line = serde_json::to_string(&sample("sqlite", 9_000.0)).expect("JSON");
        assert!(!line.contains('\n'));
        let told: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        for name in ["batched_events_per_s", "single_events_per_s", "jetstream_ratio", "disk_bytes_per_event"] {
            assert!(told[name].is_number(), "{name}: {line}");
        }
        for name in ["p50", "p95", "p99", "p999"] {
            assert!(told["visible_ms"][name].is_number(), "{name}: {line}");
        }
        assert!(told["slack_ms"].is_null() && told["cpu_s_per_million"]["total"].is_number(), "{line}");
        assert!(told["peak_rss_mb"]["nats"].is_number() && told["machine"]["cores"] == 2, "{line}");
        assert_eq!((&told["balanced"], &told["equals_truth"]), (&true.into(), &true.into()));
        let read: Figures = serde_json::from_str(&line).expect("it reads back");
        assert!(read.is_good() && !Figures { equals_truth: false, ..read }.is_good());
    }

    /// What is told for a million events follows from what was taken between two
    /// moments.
    #[test]
    fn a_part_is_told_what_it_took_between() {
        let usage = |cpu_s, peak_rss, messages, disk| PartsUsage {
            parts: vec![("nats", super::super::usage::Usage { cpu_s, peak_rss })],
            messages,
            disk,
        };
        let load: LoadReport = serde_json::from_value(serde_json::json!({
            "sent": 2_000, "rate": null, "batch": 1_000, "started_ms": 0, "acknowledged_per_s": 1.0,
            "events_per_s": 1.0, "send_seconds": 1.0, "seconds": 1.0, "repeated_requests": 0, "accepted_ms": null, "visible_ms": null, "bytes": 600_000,
            "cpu_s": 0.01, "balanced": true, "equals_truth": true,
        }))
        .expect("a report");
        let job = JobFigures::of(&load, &usage(1.0, 1 << 20, (10, 10), 500), &usage(1.5, 3 << 20, (90, 50), 8_500));
        assert_eq!(job.cpu_s_per_million["nats"], 250.0);
        assert_eq!((job.cpu_s_per_million["generator"], job.cpu_s_per_million["total"]), (5.0, 255.0));
        assert_eq!((job.peak_rss_mb["nats"], job.disk_bytes_per_event, job.event_bytes), (3.0, 4.0, 300.0));
        assert_eq!(job.nats_per_request, (40.0, 20.0));
    }
}
