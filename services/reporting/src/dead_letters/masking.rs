//! Masks what is personal in a dead letter.
//!
//! A member is masked by its name: one that schemas mark with `x-personal`
//! ([`DeadLetter::personal`](tidemill_events::DeadLetter)), or one that is
//! personal in any shop ([`tidemill_events::personal`]). Any other text loses
//! what looks like an e-mail address or a card number. A body that is no JSON
//! is masked whole.

use std::{borrow::Cow, fmt, fmt::Write, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use tidemill_events::personal::Members;

#[cfg(test)]
mod tests;

/// What stands in place of what is masked.
pub(crate) const MASK: &str = "(masked)";
/// How deep objects and arrays may be nested: as deep as ingestion lets them,
/// unless it is set otherwise. A body that is deeper is masked whole.
const DEPTH: usize = 64;
/// Characters before and behind the `@` of an address.
const LOCAL: usize = 64;
const DOMAIN: usize = 255;
/// Digits of a card number (ISO/IEC 7812).
const CARD: Range<usize> = 13..20;

/// A body as text, without what is personal.
pub(crate) fn body(body: &[u8], personal: &Members) -> String {
    let masked = serde_json::from_slice(body).ok().and_then(|value: &RawValue| {
        let mut out = String::with_capacity(body.len());
        write_value(&mut out, value, personal, DEPTH)?;
        Some(out)
    });
    masked.unwrap_or_else(|| format!("{MASK}: {} bytes that are no JSON", body.len()))
}

/// A text without what looks like an e-mail address or a card number.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    let mut found = addresses(text);
    found.extend(cards(text));
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_by_key(|range| range.start);
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    for Range { start, end } in found {
        if start >= from {
            out.push_str(&text[from..start]);
            out.push_str(MASK);
        }
        from = from.max(end);
    }
    out.push_str(&text[from..]);
    Cow::Owned(out)
}

/// The members of an object as they stand there, repeated ones too.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Object(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// Writes a value, its numbers as they were written. `None` where it is nested
/// too deeply to be looked into.
fn write_value(out: &mut String, value: &RawValue, personal: &Members, depth: usize) -> Option<()> {
    let json = value.get();
    match json.as_bytes().first()? {
        b'{' => {
            let Object(members) = serde_json::from_str(json).ok()?;
            let depth = depth.checked_sub(1)?;
            out.push('{');
            for (place, (name, value)) in members.into_iter().enumerate() {
                out.push_str(if place > 0 { "," } else { "" });
                write_text(out, &text(&name));
                out.push(':');
                match personal.contains(&name) && value.get() != "null" {
                    true => write_text(out, MASK),
                    false => write_value(out, value, personal, depth)?,
                }
            }
            out.push('}');
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            let depth = depth.checked_sub(1)?;
            out.push('[');
            for (place, item) in items.into_iter().enumerate() {
                out.push_str(if place > 0 { "," } else { "" });
                write_value(out, item, personal, depth)?;
            }
            out.push(']');
        }
        b'"' => write_text(out, &text(&serde_json::from_str::<String>(json).ok()?)),
        _ => match text(json) {
            Cow::Borrowed(number) => out.push_str(number),
            Cow::Owned(masked) => write_text(out, &masked),
        },
    }
    Some(())
}

fn write_text(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{}", serde_json::Value::from(text));
}

/// The places of what looks like an e-mail address. In a URL, its `@` is `%40`.
fn addresses(text: &str) -> Vec<Range<usize>> {
    let (mut found, mut from) = (Vec::new(), 0);
    let signs = text.match_indices('@').chain(text.match_indices("%40"));
    let mut signs: Vec<(usize, usize)> = signs.map(|(at, sign)| (at, at + sign.len())).collect();
    signs.sort_unstable();
    for (at, after) in signs {
        if at < from {
            continue;
        }
        let is_local = |c: &char| c.is_alphanumeric() || "._%+-'".contains(*c);
        let local: usize = text[from..at].chars().rev().take(LOCAL).take_while(is_local).map(char::len_utf8).sum();
        let is_domain = |c: &char| c.is_alphanumeric() || ".-".contains(*c);
        let domain: usize = text[after..].chars().take(DOMAIN).take_while(is_domain).map(char::len_utf8).sum();
        if local > 0 && domain > 0 {
            found.push(at - local..after + domain);
            from = after + domain;
        }
    }
    found
}

/// The places of card numbers: digits that pass the check of Luhn, without a
/// break or in groups as on a card, with a space or a dash between them.
fn cards(text: &str) -> Vec<Range<usize>> {
    let (bytes, mut found, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let (groups, end) = groups(bytes, at);
        let mut first = 0;
        while first < groups.len() {
            let last = (first..groups.len()).rev().find(|last| {
                let groups = &groups[first..=*last];
                let span = groups[0].start..groups[groups.len() - 1].end;
                let digits = || bytes[span.clone()].iter().filter(|byte| byte.is_ascii_digit());
                span.len() < 2 * CARD.end
                    && are_on_a_card(groups)
                    && CARD.contains(&digits().count())
                    && luhn(digits().rev())
            });
            match last {
                Some(last) => {
                    found.push(groups[first].start..groups[last].end);
                    first = last + 1;
                }
                None => first += 1,
            }
        }
        at = end;
    }
    found
}

/// Four digits first, and then at most six at a time: numbers of orders and
/// articles are seldom so.
fn are_on_a_card(groups: &[Range<usize>]) -> bool {
    let (first, rest) = (groups[0].len(), &groups[1..]);
    rest.is_empty() || first == 4 && rest.iter().all(|group| (3..=6).contains(&group.len()))
}

/// Groups of digits from `at` on, as many as hang together, and where they end.
fn groups(bytes: &[u8], mut at: usize) -> (Vec<Range<usize>>, usize) {
    let mut groups = Vec::new();
    // A number that goes on for longer is looked at in parts.
    while groups.len() < 2 * CARD.end {
        let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        groups.push(at..at + digits);
        at += digits;
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b' ' | b'-'), Some(next)) if next.is_ascii_digit() => at += 1,
            _ => break,
        }
    }
    (groups, at)
}

/// The check of ISO/IEC 7812-1, annex B; from the last digit to the first.
fn luhn<'b>(digits: impl Iterator<Item = &'b u8>) -> bool {
    let sum: u32 = digits
        .enumerate()
        .map(|(place, byte)| match (place % 2, u32::from(byte - b'0')) {
            (0, digit) => digit,
            (_, digit) => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}
