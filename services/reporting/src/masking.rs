//! What of a dead letter is shown to whoever did not ask for all of it.
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

/// What stands in place of what is masked.
pub const MASK: &str = "(masked)";
/// Objects and arrays in each other that are looked into: as many as ingestion
/// takes in unless it is told otherwise. A body with more is masked whole.
const DEPTH: usize = 64;
/// Characters before and behind the `@` of an address.
const LOCAL: usize = 64;
const DOMAIN: usize = 255;
/// Digits of a card number (ISO/IEC 7812).
const CARD: Range<usize> = 13..20;

/// A body as text, without what is personal.
pub fn body(body: &[u8], personal: &Members) -> String {
    let masked = serde_json::from_slice(body).ok().and_then(|value: &RawValue| {
        let mut out = String::with_capacity(body.len());
        write_value(&mut out, value, personal, DEPTH)?;
        Some(out)
    });
    masked.unwrap_or_else(|| format!("{MASK}: {} bytes that are no JSON", body.len()))
}

/// A text without what looks like an e-mail address or a card number.
pub fn text(text: &str) -> Cow<'_, str> {
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

/// Where something stands that looks like an e-mail address; `%40` is what a
/// URL makes of its `@`.
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

/// Where a card number stands: digits that pass the check of Luhn, on end or in
/// groups as on a card, with a space or a dash between them.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(json: &str) -> String {
        body(json.as_bytes(), &Members::new(["Loyalty-No".to_owned()]))
    }

    #[test]
    fn personal_members_are_masked_wherever_they_stand() {
        for (json, expected) in [
            (r#"{"data":{"email":"anna"}}"#, r#"{"data":{"email":"(masked)"}}"#),
            (r#"{"customer_email":"anna","n":1.10}"#, r#"{"customer_email":"(masked)","n":1.10}"#),
            (r#"[{"shippingAddress":{"street":"1"}}]"#, r#"[{"shippingAddress":"(masked)"}]"#),
            (r#"{"phone":null,"loyalty_no":12}"#, r#"{"phone":null,"loyalty_no":"(masked)"}"#),
            (r#"{"email":"a","email":"b"}"#, r#"{"email":"(masked)","email":"(masked)"}"#),
            (r#"{"data_base64":"e30="}"#, r#"{"data_base64":"(masked)"}"#),
            (
                r#"{"order_id":"o-1","total":0.10000000000000000001}"#,
                r#"{"order_id":"o-1","total":0.10000000000000000001}"#,
            ),
        ] {
            assert_eq!(masked(json), expected);
        }
    }

    #[test]
    fn what_looks_personal_is_masked_in_any_text() {
        for (given, expected) in [
            ("mail anna.b+x@example.com now", "mail (masked) now"),
            ("<Anna@Example>", "<(masked)>"),
            ("?u=anna%40example.com&x", "?u=(masked)&x"),
            ("jörg@müller.example", "(masked)"),
            ("card 4111 1111 1111 1111.", "card (masked)."),
            ("4111-1111-1111-1111", "(masked)"),
            ("4111111111111111", "(masked)"),
            ("12 4111 1111 1111 1111 99", "12 (masked) 99"),
            ("4111111111111112", "4111111111111112"),
            ("3782 822463 10005", "(masked)"),
            ("order 411111-11111-11111", "order 411111-11111-11111"),
            ("@ home", "@ home"),
            ("a@ b", "a@ b"),
            ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z"),
        ] {
            assert_eq!(text(given), expected, "{given}");
        }
        assert_eq!(masked(r#"{"note":"anna\u0040example.com"}"#), r#"{"note":"(masked)"}"#);
        assert_eq!(masked(r#"{"anna@example.com":4111111111111111}"#), r#"{"(masked)":"(masked)"}"#);
    }

    #[test]
    fn what_cannot_be_looked_into_is_masked_whole() {
        let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
        for given in ["{\"email\":\"anna", "", "anna@example.com", "{}\n{}", &deep] {
            assert!(masked(given).starts_with("(masked): "), "{}", masked(given));
        }
        assert!(body(b"\xff", &Members::default()).contains("1 bytes"));
    }

    proptest! {
        #[test]
        fn no_address_and_no_card_is_left_in_any_text(
            before in "[a-z@%0-9 ,-]{0,40}", after in "([ ,;].{0,20})?", name in "[a-zé.+_-]{1,30}",
        ) {
            let address = format!("{name}@example.com");
            let hidden = text(&format!("{before} {address}{after}")).into_owned();
            prop_assert!(!hidden.contains(&address), "{}", hidden);
            let hidden = text(&format!("{name} 4111 1111 1111 1111{after}")).into_owned();
            prop_assert!(!hidden.contains("1111 1111"), "{}", hidden);
        }

        #[test]
        fn a_masked_body_is_json_where_the_body_was(json in "[\\[\\]{}:,\"a-z0-9@. ]{0,60}") {
            if serde_json::from_str::<serde_json::Value>(&json).is_ok() {
                let masked = body(json.as_bytes(), &Members::default());
                prop_assert!(serde_json::from_str::<serde_json::Value>(&masked).is_ok(), "{} {}", json, masked);
            }
        }
    }
}
