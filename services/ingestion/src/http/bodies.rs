//! The bodies that the routes take, for `/openapi.json`.

use utoipa::{
    IntoParams, ToSchema,
    openapi::schema::{Object, ObjectBuilder, SchemaType, Type},
};

/// What identifies something: a text, or a whole number.
fn identifier() -> Object {
    ObjectBuilder::new().schema_type(SchemaType::Array(vec![Type::String, Type::Integer, Type::Null])).build()
}

/// What makes the events of a request history.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "it describes a header in /openapi.json; it is read by `backfill`")]
pub(super) struct BackfillHeader {
    /// The name of the history that all events of the request belong to, 1 to 100
    /// bytes; UTF-8 with percent signs for what is not ASCII. They are never
    /// late, and move no clock. One that has the attribute `backfill` keeps it.
    #[param(rename = "Tidemill-Backfill", example = "orders of 2025")]
    backfill: Option<String>,
}

/// An event as CloudEvents 1.0 has it. Further members are extensions: names
/// of lower-case letters and digits, and a string, boolean or integer each.
#[derive(ToSchema)]
#[schema(as = CloudEvent)]
#[allow(dead_code, reason = "it describes a body in /openapi.json; bodies are read by `formats`")]
pub(super) struct CloudEventSchema {
    /// `1.0`, also where it is missing.
    specversion: Option<String>,
    /// Unique within the source; one is assigned where it is missing. Send
    /// one: a repeated request is then counted once.
    #[schema(schema_with = identifier)]
    id: Option<String>,
    /// Who produced the event.
    source: String,
    /// What happened, for instance `order.placed`.
    r#type: String,
    /// When, in RFC 3339; now where it is missing.
    time: Option<String>,
    /// When it was sent, by the clock that told `time`; in RFC 3339. Where that
    /// clock is wrong, `time` is put right. What cannot be read says nothing.
    sentat: Option<serde_json::Value>,
    /// The name of the history that it belongs to, 1 to 100 bytes: it is never late,
    /// and moves no clock. Without it, `Tidemill-Backfill` of the request decides.
    backfill: Option<String>,
    /// What it is about; for a shop, the customer.
    #[schema(schema_with = identifier)]
    subject: Option<String>,
    /// The payload, as the type's schema has it.
    data: Option<serde_json::Value>,
}

/// A call as Segment's HTTP tracking API has it.
#[derive(ToSchema)]
#[schema(as = SegmentCall)]
#[allow(dead_code, reason = "it describes a body in /openapi.json; bodies are read by `segment`")]
pub(super) struct SegmentCallSchema {
    /// The event's name in Segment's e-commerce specification.
    event: String,
    #[schema(rename = "messageId", schema_with = identifier)]
    message_id: Option<String>,
    #[schema(rename = "userId", schema_with = identifier)]
    user_id: Option<String>,
    #[schema(rename = "anonymousId", schema_with = identifier)]
    anonymous_id: Option<String>,
    timestamp: Option<String>,
    /// When it was sent, by the clock that told `timestamp`.
    #[schema(rename = "sentAt")]
    sent_at: Option<serde_json::Value>,
    properties: Option<serde_json::Value>,
    context: Option<serde_json::Value>,
    /// The write key, where no header and no address has it. It is kept nowhere.
    #[schema(rename = "writeKey")]
    write_key: Option<String>,
}

/// A call as Segment's HTTP tracking API has it, other than `track`.
#[derive(ToSchema)]
#[schema(as = SegmentOtherCall)]
#[allow(dead_code, reason = "it describes a body in /openapi.json; bodies are read by `segment`")]
pub(super) struct SegmentOtherCallSchema {
    #[schema(rename = "messageId", schema_with = identifier)]
    message_id: Option<String>,
    #[schema(rename = "userId", schema_with = identifier)]
    user_id: Option<String>,
    #[schema(rename = "anonymousId", schema_with = identifier)]
    anonymous_id: Option<String>,
    timestamp: Option<String>,
    /// When it was sent, by the clock that told `timestamp`.
    #[schema(rename = "sentAt")]
    sent_at: Option<serde_json::Value>,
    /// Of `page` and `screen`: what it is called.
    name: Option<serde_json::Value>,
    /// Of `page` and `screen`.
    properties: Option<serde_json::Value>,
    /// Of `identify` and `group`: what is known of the customer or the group.
    traits: Option<serde_json::Value>,
    /// Of `group`.
    #[schema(rename = "groupId")]
    group_id: Option<serde_json::Value>,
    /// Of `alias`: the customer's former id.
    #[schema(rename = "previousId")]
    previous_id: Option<serde_json::Value>,
    context: Option<serde_json::Value>,
    /// The write key, where no header and no address has it. It is kept nowhere.
    #[schema(rename = "writeKey")]
    write_key: Option<String>,
}

/// Calls as Segment's HTTP tracking API has them.
#[derive(ToSchema)]
#[schema(as = SegmentBatch)]
#[allow(dead_code, reason = "it describes a body in /openapi.json; bodies are read by `segment`")]
pub(super) struct SegmentBatchSchema {
    batch: Vec<SegmentCallSchema>,
    /// When all of them were sent, by the clock that told their times.
    #[schema(rename = "sentAt")]
    sent_at: Option<serde_json::Value>,
    /// The write key, where no header and no address has it. It is kept nowhere.
    #[schema(rename = "writeKey")]
    write_key: Option<String>,
}
