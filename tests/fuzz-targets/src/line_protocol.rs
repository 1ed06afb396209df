//! Points as InfluxDB's line protocol
//! (<https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/>).

use std::collections::BTreeMap;

use tidemill_domain::Timestamp;
use tidemill_metrics_store::{FieldValue, Point, fuzzing};

/// Between the parts of an input: a measurement, then names and values in
/// turn. A name that begins with `#` is a field's.
const SEPARATOR: char = '\u{1f}';

/// A point is refused, or its line holds its tags and fields and nothing else,
/// whatever they are.
pub(crate) fn line_protocol(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let point = point(text);
    let Ok(line) = fuzzing::line(&point) else { return };
    let line = String::from_utf8(line).expect("of text comes text");
    let (measurement, tags, fields, time) = read(&line).unwrap_or_else(|| panic!("no line: {line:?}"));
    assert_eq!((measurement, time), (point.measurement, point.time.millis()), "{line:?}");
    let expected = point.tags.into_iter().filter(|(_, value)| !value.is_empty());
    assert_eq!(tags, expected.map(|(name, value)| (name, in_one_line(&value))).collect(), "{line:?}");
    assert_eq!(fields, point.fields, "{line:?}");
}

fn point(text: &str) -> Point {
    let mut parts = text.split(SEPARATOR);
    let measurement = parts.next().unwrap_or_default().to_owned();
    let (mut tags, mut fields) = (BTreeMap::new(), BTreeMap::new());
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        match name.strip_prefix('#') {
            None => drop(tags.insert(name.to_owned(), value.to_owned())),
            Some(name) => {
                let integer = value.parse().map(FieldValue::Integer);
                let float = || value.parse().map(FieldValue::Float);
                fields.extend(integer.or_else(|_| float()).ok().map(|value| (name.to_owned(), value)));
            }
        }
    }
    let time = Timestamp::saturating_from_millis(i64::try_from(text.len()).unwrap_or_default());
    Point { measurement, tags, fields, time }
}

/// Line protocol has no way to write the end of a line.
fn in_one_line(value: &str) -> String {
    value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

type Line = (String, BTreeMap<String, String>, BTreeMap<String, FieldValue>, i64);

/// Reads one line, as strictly as its description has it.
fn read(line: &str) -> Option<Line> {
    let line = line.strip_suffix('\n').filter(|line| !line.contains('\n'))?;
    let [head, fields, time] = <[&str; 3]>::try_from(split(line, ' ')).ok()?;
    let mut head = split(head, ',').into_iter();
    let measurement = unescape(head.next()?);
    let tags =
        head.map(|tag| pair(tag).map(|(name, value)| (name, fuzzing::read_tag(&value)))).collect::<Option<_>>()?;
    let field = |field| {
        let (name, value) = pair(field)?;
        let value = match value.strip_suffix('i') {
            Some(integer) => FieldValue::Integer(integer.parse().ok()?),
            None => FieldValue::Float(value.parse().ok().filter(|x: &f64| x.is_finite())?),
        };
        Some((name, value))
    };
    let fields = split(fields, ',').into_iter().map(field).collect::<Option<_>>()?;
    Some((measurement, tags, fields, time.parse().ok()?))
}

fn pair(text: &str) -> Option<(String, String)> {
    let [name, value] = <[&str; 2]>::try_from(split(text, '=')).ok()?;
    (!name.is_empty() && !value.is_empty()).then(|| (unescape(name), unescape(value)))
}

/// The parts between separators that no backslash stands before.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut before) = (Vec::new(), 0, None);
    for (at, c) in text.char_indices() {
        if c == separator && before != Some('\\') {
            parts.push(&text[start..at]);
            start = at + c.len_utf8();
        }
        before = Some(c);
    }
    parts.push(&text[start..]);
    parts
}

/// A backslash escapes a comma, an equals sign and a space; before anything
/// else it is itself.
fn unescape(text: &str) -> String {
    text.replace("\\,", ",").replace("\\=", "=").replace("\\ ", " ")
}
