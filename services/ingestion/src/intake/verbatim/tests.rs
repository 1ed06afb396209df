use super::*;
use crate::intake::tree::Tree;

fn defaults() -> Defaults<fn() -> String> {
    Defaults { now: Timestamp::EPOCH, new_id: || "new".into(), clientip: None, backfill: None, redriven: None }
}

/// The line of an event; `None` where it is to be written anew.
fn line(text: &str, defaults: &Defaults<fn() -> String>, decided: Option<&str>) -> Option<String> {
    let mut tree = Tree::default();
    let mut event = VerbatimEvent::of(tree.read(text.as_bytes(), 64)?)?;
    event.complete(defaults);
    event.partition_by(decided.map(|text| Cow::Owned(text.to_owned())));
    event.traced(event.traceparent);
    let mut out = Vec::new();
    event.write(&mut out);
    Some(String::from_utf8(out).expect("UTF-8"))
}

const WHOLE: &str = r#"{"data":{"price":12.50,"note":"\u00e9 \"x\""},"type":"a","id":"1","source":"s","time":"2026-01-02T03:04:05Z","specversion":"1.0"}"#;

#[test]
fn a_whole_event_is_its_own_line() {
    assert_eq!(line(WHOLE, &defaults(), None).as_deref(), Some(WHOLE));
    let more = r#"{"type":"a","id":"1","source":"s","time":"2026-01-02T03:04:05.600Z","specversion":"1.0","subject":"c","partitionkey":"k","clientip":"2001:db8::1","backfill":"b","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","datacontenttype":"application/json","tenant":"a\/b","n":3,"t":true,"data":null}"#;
    assert_eq!(line(more, &defaults(), Some("k")).as_deref(), Some(more));
}

#[test]
fn an_attribute_may_have_the_escapes_that_it_needs() {
    let quoted = r#"{"type":"a","id":"\"1\\","source":"s \" é","time":"2026-01-02T03:04:05Z","specversion":"1.0"}"#;
    assert_eq!(line(quoted, &defaults(), None).as_deref(), Some(quoted));
    let keyed = line(quoted, &defaults(), Some("\"")).expect("a line");
    assert_eq!(line(&keyed, &defaults(), Some("\"")), Some(keyed));
}

#[test]
fn what_it_does_not_say_comes_behind_it() {
    let bare = r#"{"type":"a","source":"s"}"#;
    let filled = r#"{"type":"a","source":"s","specversion":"1.0","id":"new","time":"1970-01-01T00:00:00Z""#;
    assert_eq!(line(bare, &defaults(), None), Some(format!("{filled}}}")));
    let all = Defaults {
        clientip: Some([192, 0, 2, 1].into()),
        backfill: Some(r#"a "b""#.parse().expect("a name")),
        ..defaults()
    };
    let more = r#","clientip":"192.0.2.1","backfill":"a \"b\"","partitionkey":"o\\1""#;
    assert_eq!(line(bare, &all, Some(r"o\1")), Some(format!("{filled}{more}}}")));
}

#[test]
fn a_member_that_is_replaced_or_says_nothing_is_left_out() {
    let sent = r#"{"id":null,"type":"a","time":"2026-01-02T04:04:05+01:00","source":"s","partitionkey":"mine","specversion":"1.0","more":null,"data":null}"#;
    let kept = r#"{"type":"a","source":"s","specversion":"1.0","data":null,"time":"2026-01-02T03:04:05Z","id":"new","partitionkey":"o-1"}"#;
    assert_eq!(line(sent, &defaults(), Some("o-1")).as_deref(), Some(kept));
}

#[test]
fn a_line_has_no_blanks_but_in_texts() {
    let spaced = "\t{ \"id\" : \"1 2\",\r\n\"type\":\"a\" , \"source\": \"s\", \"specversion\" :\"1.0\",
        \"time\":\"2026-01-02T03:04:05Z\", \"data\": { \"a b\" : [ 1 , \"\\\" : , \\\\\" , { } ] } }\n";
    let kept = r#"{"id":"1 2","type":"a","source":"s","specversion":"1.0","time":"2026-01-02T03:04:05Z","data":{"a b":[1,"\" : , \\",{}]}}"#;
    assert_eq!(line(spaced, &defaults(), None).as_deref(), Some(kept));
}

#[test]
fn what_is_to_be_written_anew_or_refused_is_none_of_these() {
    assert!(line(r#"{"type":"a","source":"s"}"#, &defaults(), None).is_some());
    for member in [
        r#""id":7"#,
        r#""id":"""#,
        r#""id":"a\/b""#,
        r#""specversion":"0.3""#,
        r#""specversion":1.0"#,
        r#""time":"today""#,
        r#""time":5"#,
        r#""subject":"\u0061""#,
        r#""sentat":"2026-01-02T03:04:05Z""#,
        r#""clientip":"::ffff:192.0.2.1""#,
        r#""clientip":"here""#,
        r#""clientip":"""#,
        r#""traceparent":"00""#,
        r#""enriched":{}"#,
        r#""redriven":"x""#,
        r#""data_base64":"e30=""#,
        r#""data_base64":null"#,
        r#""datacontenttype":"text/plain""#,
        r#""Name":"x""#,
        r#""a":1.5"#,
        r#""a":[]"#,
        r#""data":1e3"#,
        r#""data":-0"#,
        r#""data":0.1234567890123456"#,
        r#""type":"b""#,
        r#""backfill":true"#,
        r#""partitionkey":"\/""#,
    ] {
        let text = format!(r#"{{"type":"a","source":"s",{member}}}"#);
        assert_eq!(line(&text, &defaults(), None), None, "{text}");
    }
    assert_eq!(line(r#"{"type":"a","source":null}"#, &defaults(), None), None);
    assert_eq!(line("[]", &defaults(), None), None);
}

#[test]
fn a_line_has_room_for_all_that_is_added() {
    let longest = "\"".repeat(200);
    let all = Defaults {
        clientip: Some("2001:db8:1111:2222:3333:4444:5555:6666".parse().expect("an address")),
        backfill: Some(longest[..100].parse().expect("a name")),
        ..defaults()
    };
    let bare = r#"{"type":"a","source":"s"}"#;
    let line = line(bare, &all, Some(&longest)).expect("a line");
    // An id and a trace are added too.
    assert!(line.len() + 36 + 72 - bare.len() <= MOST_ADDED, "{}", line.len());
}
