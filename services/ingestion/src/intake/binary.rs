//! The binary mode of the HTTP binding (CloudEvents 1.0.2): attributes in headers,
//! data in the body.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName};
use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode;
use serde_json::{Map, Value};

use super::{
    envelope::{Envelope, is_json, within_event},
    frame,
    parse::parse,
};
use crate::error::{Error, clip};

/// The attributes that `ce-` headers hold.
pub(super) fn attributes(headers: &HeaderMap, content_type: Option<&str>) -> Result<Map<String, Value>, Error> {
    let mut attributes = Map::new();
    let named = |name: &HeaderName| name.as_str().strip_prefix("ce-").map(str::to_owned);
    for (name, value) in headers.iter().filter_map(|(name, value)| Some((named(name)?, value))) {
        let pointer = format!("/{}", clip(&name));
        let text = decoded(value.as_bytes()).ok_or_else(|| Error::invalid(&pointer, "not UTF-8"))?;
        if attributes.insert(name, text.into()).is_some() {
            return Err(Error::invalid(pointer, "occurs twice"));
        }
    }
    for name in ["data", "data_base64", "datacontenttype"] {
        if attributes.contains_key(name) {
            return Err(Error::invalid(format!("/{name}"), "has no ce- header"));
        }
    }
    if let Some(content_type) = content_type {
        attributes.insert("datacontenttype".into(), content_type.into());
    }
    Ok(attributes)
}

/// An event whose attributes are known, and whose data is the body.
pub(super) fn read(mut attributes: Map<String, Value>, body: &[u8], depth: usize) -> Result<Envelope, Error> {
    let content_type = attributes.get("datacontenttype").and_then(Value::as_str);
    let data = if body.is_empty() {
        None
    } else if is_json(content_type) {
        Some(parse(frame::unmarked(body), within_event(depth)).map_err(|e| e.within("/data"))?)
    } else {
        attributes.insert("data_base64".into(), STANDARD.encode(body).into());
        None
    };
    Ok(Envelope { attributes, data })
}

/// The text in a header (3.1.3.2): quotes are undone first, then percent signs,
/// once. What is no UTF-8 then is no text.
pub(super) fn decoded(value: &[u8]) -> Option<String> {
    Some(percent_decode(&unquoted(value)).decode_utf8().ok()?.into_owned())
}

/// What is in a quoted string (RFC 7230, 3.2.6); anything else as it is. Senders
/// by older versions of the binding quote what has spaces.
fn unquoted(value: &[u8]) -> Cow<'_, [u8]> {
    let quoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    quoted.and_then(unescaped).map_or(Cow::Borrowed(value), Cow::Owned)
}

/// `None` where the quotes around it are not the first and the last of one string.
fn unescaped(inner: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return None,
            b'\\' => text.push(*bytes.next()?),
            plain => text.push(*plain),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests;
