use proptest::prelude::*;
use serde_json::json;

use super::*;

fn refused(text: &str) -> (&'static str, String) {
    let error = parse(text.as_bytes(), 64).expect_err(text);
    (error.code().as_str(), error.pointer().unwrap_or_default().to_owned())
}

#[test]
fn reads_json_as_it_is() {
    let text = r#" {"a":[1,-2,3.50,1e3,true,null],"b\"1":{"~/":"é\ud83d\ude00 2"},"c":18446744073709551615} "#;
    let value = parse(text.as_bytes(), 64).expect("valid");
    let expected = json!({"a":[1,-2,3.5,1000.0,true,null],"b\"1":{"~/":"é😀 2"},"c":u64::MAX});
    assert_eq!(value, expected);
}

#[test]
fn refuses_what_readers_disagree_on_and_says_where() {
    assert_eq!(refused(r#"{"a":{"b":1,"c":2,"b":1}}"#), ("duplicate_key", "/a/b".into()));
    assert_eq!(refused(r#"{"a":1,"\u0061":2}"#), ("duplicate_key", "/a".into()));
    assert_eq!(refused(r#"{"a":[0,"\ud800"]}"#), ("malformed_json", "/a/1".into()));
    assert_eq!(refused(r#"{"a":[0,"x\u0000y"]}"#), ("null_character", "/a/1".into()));
    assert_eq!(refused(r#"{"a":{"\u0000":1}}"#), ("null_character", "/a/\0".into()));
    assert_eq!(refused(r#"{"a/b":{"c~d":NaN}}"#), ("malformed_json", "/a~1b/c~0d".into()));
    assert_eq!(refused(r#"[Infinity]"#), ("malformed_json", "/0".into()));
    assert_eq!(refused(r#"{"a":1} {"a":1}"#), ("malformed_json", "".into()));
    assert_eq!(refused(r#"{"a":[1,2"#), ("malformed_json", "/a/2".into()));
    assert_eq!(refused("\u{feff}{}").0, "malformed_json");
    assert_eq!(parse(b"\"\xff\"", 64).expect_err("not UTF-8").code().as_str(), "malformed_json");
}

#[test]
fn what_was_found_is_said_in_plain_words() {
    for (text, told) in [
        ("nope", "found 'o' at line 1 column 2, in a word that is none of true, false and null"),
        ("{\n \"a\": NaN}", "found 'N' at line 2 column 7, where a value must begin"),
        ("€", "found '€' at line 1 column 1, where a value must begin"),
        ("{} {}", "found '{' at line 1 column 4, behind the end of the value"),
        ("", "the text ends too early, at line 1 column 0"),
        ("{\"a\":", "the text ends too early, at line 1 column 5"),
        ("{1:2}", "key must be a string at line 1 column 2"),
    ] {
        assert_eq!(parse(text.as_bytes(), 64).expect_err(text).to_string(), told);
    }
}

#[test]
fn nesting_ends_at_the_limit() {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let deepest = serde_json::from_str(&nested(64)).expect("JSON");
    assert_eq!(parse(nested(64).as_bytes(), 64), Ok(deepest));
    assert_eq!(refused(&nested(65)), ("too_deep", "/0".repeat(64)));
    assert_eq!(refused(&nested(10_000)).0, "too_deep");
}

#[test]
fn numbers_keep_their_value_or_are_refused() {
    for exact in ["0.1", "1.50", "-0.0", "1e3", "1E+20", "123456.789012", "0.30000000000000004", "1e-7", "100.00"] {
        let value: Value = serde_json::from_str(exact).expect("JSON");
        assert_eq!(parse(exact.as_bytes(), 1), Ok(value));
    }
    // As PHP and C write the floats that they have.
    for (written, read) in
        [("29.949999999999999", "29.95"), ("0.10000000000000001", "0.1"), ("1.0000000000000000555e-1", "0.1")]
    {
        assert_eq!(parse(written.as_bytes(), 1).map(|value| value.to_string()).as_deref(), Ok(read));
    }
    for changed in ["123456789012.123456", "0.1000000000000000001", "18446744073709551616", "1.00000000000000000001"] {
        assert_eq!(refused(&format!(r#"{{"s":"-1\"","n":{changed}}}"#)), ("imprecise_number", "/n".into()));
    }
    assert_eq!(refused(r#"{"n":1e400}"#), ("malformed_json", "/n".into()));
}

/// Any text but one with U+0000.
fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| text.replace('\0', "0"))
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(text(), inner, 0..6)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(value in any_json()) {
        let text = serde_json::to_vec_pretty(&value).expect("serialises");
        prop_assert_eq!(parse(&text, 64).expect("valid"), value);
    }

    #[test]
    fn it_accepts_no_more_than_serde_json_does(text in proptest::collection::vec(any::<u8>(), 0..64)) {
        if parse(&text, 64).is_ok() {
            prop_assert_eq!(serde_json::from_slice::<Value>(&text).map(drop).map_err(|e| e.to_string()), Ok(()));
        }
    }
}
