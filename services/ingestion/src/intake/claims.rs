//! What a rejected event says of itself.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::{envelope::Envelope, formats::Format};
use crate::dead_letters::rejections::ClaimedIdentity;

pub(super) fn claim(envelope: &Envelope) -> ClaimedIdentity {
    // As `normalise` reads them: an id may be a number.
    let text = |name| match envelope.attributes.get(name)? {
        Value::String(text) => Some(Cow::from(text)),
        Value::Number(number) if !number.is_f64() => Some(number.to_string().into()),
        _ => None,
    };
    ClaimedIdentity {
        id: text("id").and_then(|text| text.parse().ok()),
        source: text("source").and_then(|text| text.parse().ok()),
        trace: text("traceparent").and_then(|text| text.parse().ok()),
    }
}

/// What can be read of a text that is refused as JSON: more readers than ours
/// would take it, so it may well name its event.
pub(super) fn claim_of(format: &Format, text: &[u8]) -> ClaimedIdentity {
    if let Format::Binary(attributes) = format {
        return claim(&Envelope { attributes: attributes.clone(), data: None });
    }
    #[derive(Deserialize)]
    struct ClaimedTexts<'a> {
        #[serde(borrow)]
        id: Option<Cow<'a, str>>,
        #[serde(borrow)]
        source: Option<Cow<'a, str>>,
        #[serde(borrow)]
        traceparent: Option<Cow<'a, str>>,
    }
    let Ok(ClaimedTexts { id, source, traceparent }) = serde_json::from_slice(text) else {
        return ClaimedIdentity::default();
    };
    ClaimedIdentity {
        id: id.and_then(|text| text.parse().ok()),
        source: source.and_then(|text| text.parse().ok()),
        trace: traceparent.and_then(|text| text.parse().ok()),
    }
}
