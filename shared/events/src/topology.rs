//! Streams, subjects and durable consumers: the one place that spells them.

use std::{collections::BTreeSet, fmt, time::Duration};

use tidemill_domain::{GenerationName, Partition};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long the server remembers message ids: it drops a copy that comes
/// within.
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// A token of a subject that varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// What it is called.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// Some that there are.
    pub examples: &'static [&'static str],
}

const PARTITION: Parameter =
    Parameter { name: "partition", about: "Index of the partition, from 0.", examples: &["0", "7"] };

/// A JetStream stream of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamName {
    /// Batches of accepted events: the log.
    Raw,
    /// The same batches, enriched.
    Enriched,
    /// Window totals that changed.
    Metrics,
    /// Alert transitions.
    Alerts,
    /// Events past the allowed lateness.
    Late,
    /// Dead events.
    Dlq,
    /// Dead events on their way back to ingestion.
    Redrive,
    /// Events that the suite's own services tell, on their way to ingestion.
    Measured,
    /// What is known of customers: the latest of each.
    Profiles,
    /// Window totals of generations beside the live one.
    Generations,
}

impl StreamName {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Raw,
        Self::Enriched,
        Self::Metrics,
        Self::Alerts,
        Self::Late,
        Self::Dlq,
        Self::Redrive,
        Self::Measured,
        Self::Profiles,
        Self::Generations,
    ];

    /// The stream's name on the server.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "RAW",
            Self::Enriched => "ENRICHED",
            Self::Metrics => "METRICS",
            Self::Alerts => "ALERTS",
            Self::Late => "LATE",
            Self::Dlq => "DLQ",
            Self::Redrive => "REDRIVE",
            Self::Measured => "MEASURED",
            Self::Profiles => "PROFILES",
            Self::Generations => "GENERATIONS",
        }
    }

    /// The subjects that the stream takes in.
    pub const fn subjects(self) -> &'static str {
        match self {
            Self::Raw => "tm.raw.*",
            Self::Enriched => "tm.enriched.*",
            Self::Metrics => "tm.metrics.*",
            Self::Alerts => "tm.alerts.*",
            Self::Late => "tm.late.*",
            Self::Dlq => "tm.dlq.*.*",
            Self::Redrive => REDRIVE,
            Self::Measured => "tm.measured.*",
            Self::Profiles => "tm.profiles.*",
            Self::Generations => "tm.generations.*.*",
        }
    }

    /// What varies in its subjects, in order.
    pub const fn parameters(self) -> &'static [Parameter] {
        match self {
            Self::Raw | Self::Enriched | Self::Metrics | Self::Late => &[PARTITION],
            Self::Alerts => &[Parameter {
                name: "rule",
                about: "Name of the rule; what is not a letter, a digit, `_` or `-` is `_`.",
                examples: &["REVENUE_SPIKE", "FRAUD_DETECTION"],
            }],
            Self::Dlq => &[
                Parameter { name: "service", about: "Who gave it up.", examples: &["ingestion", "enrichment"] },
                Parameter {
                    name: "code",
                    about: "Stable code of the reason; what is not a letter, a digit, `_` or `-` is `_`.",
                    examples: &["schema_violation", "malformed_json"],
                },
            ],
            Self::Redrive => &[],
            Self::Measured => {
                &[Parameter { name: "service", about: "Who measured it.", examples: &["recommendation", "lake"] }]
            }
            Self::Profiles => &[Parameter {
                name: "customer",
                about: "First half of SHA-256 of `customer:` and the customer's id, in hexadecimal.",
                examples: &["0a1b2c3d4e5f60718293a4b5c6d7e8f9"],
            }],
            Self::Generations => {
                &[Parameter { name: "generation", about: "Name of the generation.", examples: &["v2"] }, PARTITION]
            }
        }
    }

    /// Its subjects with a name for what varies: `tm.raw.{partition}`.
    pub fn address(self) -> String {
        let named =
            |address: String, parameter: &Parameter| address.replacen('*', &format!("{{{}}}", parameter.name), 1);
        self.parameters().iter().fold(self.subjects().into(), named)
    }

    /// The part of the log's size that it may take: one in so many.
    pub const fn share(self) -> u64 {
        match self {
            Self::Raw => 1,
            Self::Enriched => 2,
            Self::Metrics | Self::Dlq => 4,
            Self::Late | Self::Profiles => 8,
            Self::Alerts | Self::Redrive | Self::Measured | Self::Generations => 16,
        }
    }

    /// The services that read it with a durable consumer.
    pub fn readers(self) -> BTreeSet<&'static str> {
        Durable::each(Partition::new(0)).into_iter().filter(|d| d.stream() == self).map(Durable::service).collect()
    }

    /// How long a message is kept.
    pub const fn max_age(self) -> Duration {
        match self {
            Self::Raw | Self::Metrics | Self::Redrive | Self::Measured | Self::Generations => DAY.saturating_mul(7),
            Self::Enriched => DAY,
            Self::Alerts | Self::Late | Self::Dlq | Self::Profiles => DAY.saturating_mul(30),
        }
    }

    /// Whether the stream can be made again from `RAW`, so that a write need
    /// not wait for the disk.
    pub const fn is_derived(self) -> bool {
        matches!(self, Self::Enriched | Self::Metrics | Self::Generations)
    }

    /// Whether a message takes the place of the one before it in its subject.
    pub const fn keeps_the_latest(self) -> bool {
        matches!(self, Self::Profiles)
    }

    /// Whether it forgets the oldest messages when it is full, and does not refuse new
    /// ones: those who write it can write them again.
    pub const fn forgets_when_full(self) -> bool {
        self.is_derived() || self.keeps_the_latest()
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The subject of a partition's batches in the log, whose last message tells
/// aggregation whether it has come to its end.
pub fn raw(partition: Partition) -> String {
    format!("tm.raw.{partition}")
}

/// The subject of a partition's enriched batches, whose last message tells
/// enrichment where it left off.
pub fn enriched(partition: Partition) -> String {
    format!("tm.enriched.{partition}")
}

/// The subject of a partition's totals, whose last message tells aggregation
/// what of it is missing after a crash of the machine.
pub fn metrics(partition: Partition) -> String {
    format!("tm.metrics.{partition}")
}

/// The subject of a generation's totals of one partition.
pub fn generations(generation: &GenerationName, partition: Partition) -> String {
    format!("tm.generations.{generation}.{partition}")
}

pub(crate) fn late(partition: Partition) -> String {
    format!("tm.late.{partition}")
}

/// The subject of requests to send dead letters again.
pub(crate) const REDRIVE: &str = "tm.redrive";

pub(crate) fn measured(service: &str) -> String {
    format!("tm.measured.{}", token(service))
}

/// The subject of what is known of a customer, by the customer's hash.
pub fn profiles(customer: &str) -> String {
    format!("tm.profiles.{}", token(customer))
}

pub(crate) fn alerts(rule: &str) -> String {
    format!("tm.alerts.{}", token(rule))
}

pub(crate) fn dlq(service: &str, code: &str) -> String {
    format!("tm.dlq.{}.{}", token(service), token(code))
}

/// A text as one token of a subject: what NATS gives a meaning becomes `_`.
fn token(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    if text.is_empty() { "_".into() } else { text.chars().map(plain).collect() }
}

/// A durable consumer of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// Ingestion reads requests to send dead letters again; its replicas share
    /// them.
    IngestionRedrive,
    /// Ingestion reads the events of the suite's own services; its replicas share
    /// them.
    IngestionMeasured,
    /// Enrichment reads one partition of `RAW`.
    Enrichment(Partition),
    /// Aggregation reads one partition of `ENRICHED`.
    Aggregation(Partition),
    /// Alert reads one partition of `ENRICHED` for event rules.
    AlertEvents(Partition),
    /// Alert reads `METRICS` for metric rules.
    AlertMetrics,
    /// Recommendation keeps what one partition of `ENRICHED` tells of visitors. Beside it
    /// each replica follows all partitions, by readers of its own.
    Recommendation(Partition),
    /// Reporting reads `METRICS` into its read model.
    ReportingMetrics,
    /// Reporting reads `GENERATIONS` into its read model. Nobody else reads them, so
    /// nothing that a generation counts has an effect outside.
    ReportingGenerations,
    /// Reporting reads `ALERTS` into its read model.
    ReportingAlerts,
    /// Reporting reads the headers of `RAW` for the books.
    ReportingRaw,
    /// Reporting reads the headers of `DLQ` for the books.
    ReportingDlq,
    /// The lake reads one partition of `RAW` into bronze.
    LakeBronze(Partition),
    /// The lake reads one partition of `ENRICHED` into silver.
    LakeSilver(Partition),
    /// The lake reads `DLQ` into bronze.
    LakeRejected,
}

impl Durable {
    /// One of each kind; those of one partition, where there is one for each.
    pub const fn each(partition: Partition) -> [Self; 15] {
        [
            Self::IngestionRedrive,
            Self::IngestionMeasured,
            Self::Enrichment(partition),
            Self::Aggregation(partition),
            Self::AlertEvents(partition),
            Self::AlertMetrics,
            Self::Recommendation(partition),
            Self::ReportingMetrics,
            Self::ReportingGenerations,
            Self::ReportingAlerts,
            Self::ReportingRaw,
            Self::ReportingDlq,
            Self::LakeBronze(partition),
            Self::LakeSilver(partition),
            Self::LakeRejected,
        ]
    }

    /// The stream it reads.
    pub const fn stream(self) -> StreamName {
        match self {
            Self::IngestionRedrive => StreamName::Redrive,
            Self::IngestionMeasured => StreamName::Measured,
            Self::Enrichment(_) | Self::ReportingRaw | Self::LakeBronze(_) => StreamName::Raw,
            Self::Aggregation(_) | Self::AlertEvents(_) | Self::Recommendation(_) | Self::LakeSilver(_) => {
                StreamName::Enriched
            }
            Self::AlertMetrics | Self::ReportingMetrics => StreamName::Metrics,
            Self::ReportingGenerations => StreamName::Generations,
            Self::ReportingAlerts => StreamName::Alerts,
            Self::ReportingDlq | Self::LakeRejected => StreamName::Dlq,
        }
    }

    /// The consumer's name on the server.
    pub fn name(self) -> String {
        match self {
            Self::IngestionRedrive => "ingestion-redrive".into(),
            Self::IngestionMeasured => "ingestion-measured".into(),
            Self::Enrichment(p) => format!("enrichment-{p}"),
            Self::Aggregation(p) => format!("aggregation-{p}"),
            Self::AlertEvents(p) => format!("alert-events-{p}"),
            Self::AlertMetrics => "alert-metrics".into(),
            Self::Recommendation(p) => format!("recommendation-{p}"),
            Self::ReportingMetrics => "reporting-metrics".into(),
            Self::ReportingGenerations => "reporting-generations".into(),
            Self::ReportingAlerts => "reporting-alerts".into(),
            Self::ReportingRaw => "reporting-raw".into(),
            Self::ReportingDlq => "reporting-dlq".into(),
            Self::LakeBronze(p) => format!("lake-bronze-{p}"),
            Self::LakeSilver(p) => format!("lake-silver-{p}"),
            Self::LakeRejected => "lake-rejected".into(),
        }
    }

    /// The subjects it takes out of its stream.
    pub fn filter(self) -> String {
        match self {
            Self::Enrichment(p) | Self::LakeBronze(p) => raw(p),
            Self::Aggregation(p) | Self::AlertEvents(p) | Self::Recommendation(p) | Self::LakeSilver(p) => enriched(p),
            other => other.stream().subjects().into(),
        }
    }

    /// Whether it wants headers alone: the books need no bodies.
    pub const fn headers_only(self) -> bool {
        matches!(self, Self::ReportingRaw | Self::ReportingDlq)
    }

    /// Whether its reader keeps its place in a store of its own, and asks for
    /// what comes behind that when it opens the consumer.
    pub const fn has_place_elsewhere(self) -> bool {
        !matches!(self, Self::IngestionRedrive | Self::IngestionMeasured | Self::AlertMetrics)
    }

    /// The service that owns it.
    pub const fn service(self) -> &'static str {
        match self {
            Self::IngestionRedrive | Self::IngestionMeasured => "ingestion",
            Self::Enrichment(_) => "enrichment",
            Self::Aggregation(_) => "aggregation",
            Self::AlertEvents(_) | Self::AlertMetrics => "alert",
            Self::Recommendation(_) => "recommendation",
            Self::ReportingMetrics
            | Self::ReportingGenerations
            | Self::ReportingAlerts
            | Self::ReportingRaw
            | Self::ReportingDlq => "reporting",
            Self::LakeBronze(_) | Self::LakeSilver(_) | Self::LakeRejected => "lake",
        }
    }
}

/// The key-value bucket in which instances announce themselves.
pub const MEMBERS_BUCKET: &str = "tm_members";

/// The key-value bucket of leases: which instance does which part of a
/// service's work.
pub const LEASES_BUCKET: &str = "tm_leases";

/// The key-value bucket in which readers of `ENRICHED` ask for batches that
/// they miss.
pub const REQUESTS_BUCKET: &str = "tm_requests";

#[cfg(test)]
mod tests;
