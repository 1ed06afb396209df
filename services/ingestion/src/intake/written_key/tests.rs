use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const KEY: &str = "key-of-the-shop-1";

fn found(body: &str) -> Option<String> {
    find(body.as_bytes())
}

fn without(text: &str) -> String {
    let kept = emptied(text.as_bytes()).unwrap_or_else(|| text.as_bytes().to_vec());
    String::from_utf8(kept).expect("stays UTF-8")
}

#[test]
fn a_key_is_found_at_the_top_level_alone() {
    let key = Some(KEY.to_owned());
    assert_eq!(found(&json!({"event": "x", "writeKey": KEY, "properties": {"a": [1]}}).to_string()), key);
    assert_eq!(found(&json!({"batch": [{"writeKey": "other"}], "writeKey": KEY}).to_string()), key);
    assert_eq!(found(&format!("\u{feff} {{\"writeKey\" : \"{KEY}\"}} ")), key);
    assert_eq!(found(r#"{"writeKey":"key-\u006ff-the-shop-1"}"#), key);
    for body in [
        "",
        "[]",
        "{",
        r#"{"writeKey":"key-of-the-shop-1""#,
        r#"{"writeKey":"key-of-the-shop-1"} x"#,
        r#"{"writeKey":"key-of-the-shop-1","writeKey":"key-of-the-shop-1"}"#,
        r#"{"writeKey":7}"#,
        r#"{"writeKey":null}"#,
        r#"{"WriteKey":"key-of-the-shop-1"}"#,
        r#"{"properties":{"writeKey":"key-of-the-shop-1"}}"#,
        r#"{"batch":[{"writeKey":"key-of-the-shop-1"}]}"#,
        r#"[{"writeKey":"key-of-the-shop-1"}]"#,
    ] {
        assert_eq!(found(body), None, "{body}");
    }
    assert_eq!(find(b"{\"writeKey\":\"key-of-the-shop-1\",\"x\":\"\xff\"}"), None);
    assert_eq!(found(&json!({"writeKey": "k".repeat(LONGEST)}).to_string()), None);
}

#[test]
fn a_key_is_emptied_in_any_text() {
    for (text, kept) in [
        (r#"{"writeKey":"K","a":1}"#, r#"{"writeKey":"","a":1}"#),
        (r#"{"a":{"writeKey" : "K"},"writeKey":"K"}"#, r#"{"a":{"writeKey" : ""},"writeKey":""}"#),
        (r#"{"writeKey":"a\"K","a":1}"#, r#"{"writeKey":"","a":1}"#),
        (r#"{"writeKey":12345,"a":1}"#, r#"{"writeKey":"","a":1}"#),
        ("{\"writeKey\":\"K", "{\"writeKey\":\""),
        ("{\"writeKey\":\"K\\", "{\"writeKey\":\""),
        (r#"{"event":"x,"writeKey":"K"}"#, r#"{"event":"x,"writeKey":""}"#),
        ("{'writeKey': 'K'}", "{'writeKey': ''}"),
        ("{writeKey: 'K'}", "{writeKey: ''}"),
        (r#"{"sent":"{\"writeKey\":\"K\",\"a\":1}"}"#, r#"{"sent":"{\"writeKey\":\"\",\"a\":1}"}"#),
    ] {
        assert_eq!(without(text), kept, "{text}");
        assert_eq!(emptied(kept.as_bytes()), None, "{kept}");
    }
    for text in [
        r#"{"a":"writeKey"}"#,
        r#"{"a":"the writeKey: x"}"#,
        r#"{"myWriteKey":"K"}"#,
        r#"{"writeKey":{"a":1}}"#,
        r#"{"writeKeys":["K"]}"#,
        r#"{"writeKey"#,
        r#"{"writeKey":"#,
        "",
    ] {
        assert_eq!(emptied(text.as_bytes()), None, "{text}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(Value::from),
        "[\\PC\"\\\\]{0,6}".prop_map(Value::from),
        Just(Value::from("writeKey")),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let name = prop_oneof![Just("writeKey".to_owned()), "[a-z\"\\\\:]{0,4}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn as_emptied(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(as_emptied).collect(),
        Value::Object(members) => {
            let member = |(name, value): (String, Value)| match (name.as_str(), value) {
                ("writeKey", Value::String(_) | Value::Number(_)) => (name, Value::from("")),
                (_, value) => (name, as_emptied(value)),
            };
            Value::Object(members.into_iter().map(member).collect())
        }
        other => other,
    }
}

proptest! {
    /// Of JSON nothing is changed but the members of that name.
    #[test]
    fn json_stays_json(value in any_json()) {
        let text = without(&value.to_string());
        let read: Value = serde_json::from_str(&text).expect("JSON");
        prop_assert_eq!(read, as_emptied(value));
    }

    /// Wherever a call is cut off, nothing of its key is left behind the name.
    #[test]
    fn a_text_that_is_cut_off_keeps_no_key(at in 0_usize..60) {
        let call = format!(r#"{{"event":"x","writeKey": "{KEY}","a":"b"}}"#);
        let text = without(&call[..at.min(call.len())]);
        prop_assert!(!text.contains("key-"), "{}", text);
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        find(&bytes);
        emptied(&bytes);
    }
}
