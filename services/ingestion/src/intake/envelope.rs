//! An event of any format.

use serde_json::{Map, Value};

/// An event whose attributes are not looked at yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Envelope {
    pub(crate) attributes: Map<String, Value>,
    pub(crate) data: Option<Value>,
}

/// CloudEvents: without a content type, data is JSON.
pub(crate) fn is_json(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else { return true };
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media.ends_with("/json") || media.ends_with("+json")
}

/// Levels that are left to data that comes on its own: in the log it is a
/// member of its event, which is as deep however it was sent.
pub(super) fn within_event(depth: usize) -> usize {
    depth.saturating_sub(1)
}
