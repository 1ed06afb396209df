//! Bronze: what came in, as it stands in the log.

use tidemill_domain::Timestamp;

use crate::declare::table;

table! {
    /// An event of the log.
    BronzeEvent<'a> is Bronze / "events"
    partitioned by ["year", "month", "day"] clustered by ["partition", "raw_seq", "index"] looked up by ["id"]
    {
        /// Partition of the log.
        partition: i32,
        /// Sequence of its batch in `RAW`.
        raw_seq: i64,
        /// Its line in the batch, from 0.
        index: i32,
        /// When ingestion took it in.
        ingested_at: Timestamp,
        /// Who produced it.
        source: &'a str,
        /// What happened.
        r#type: &'a str,
        /// Identifier, unique within the source.
        id: &'a str,
        /// When it happened.
        time: Timestamp,
        /// The history that its sender says it belongs to.
        backfill: Option<&'a str>,
        /// The event as the log has it, a line of JSON.
        event: &'a str,
        /// Year of `ingested_at`, UTC.
        year: i32,
        /// Month of `ingested_at`.
        month: i32,
        /// Day of `ingested_at`.
        day: i32,
    }
}

table! {
    /// A body of a dead letter: an event or a message that was given up.
    RejectedBody<'a> is Bronze / "rejected"
    partitioned by ["year", "month", "day"] clustered by ["code"]
    {
        /// Sequence of the letter in `DLQ`.
        dlq_seq: i64,
        /// Place of the body in the letter, from 0.
        index: i32,
        /// How many events had this body; of a letter that keeps none, how many it counts.
        count: i64,
        /// When the letter was stored.
        rejected_at: Timestamp,
        /// Name of the letter.
        letter: &'a str,
        /// Who gave it up.
        service: &'a str,
        /// Stable code of the reason.
        code: &'a str,
        /// The reason in words.
        reason: &'a str,
        /// JSON Pointer to what is wrong.
        pointer: Option<&'a str>,
        /// The stream that it came from.
        stream: Option<&'a str>,
        /// Its sequence there.
        stream_seq: Option<i64>,
        /// The source that the event claims, or who sent it.
        source: &'a str,
        /// The event's id, where it has one.
        event_id: Option<&'a str>,
        /// The letter whose event was sent again and failed once more.
        redriven_from: Option<i64>,
        /// The body, where it is UTF-8.
        body: Option<&'a str>,
        /// The body in base64, where it is not.
        body_base64: Option<&'a str>,
        /// Year of `rejected_at`, UTC.
        year: i32,
        /// Month of `rejected_at`.
        month: i32,
        /// Day of `rejected_at`.
        day: i32,
    }
}
