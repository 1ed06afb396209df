use proptest::prelude::*;

use super::*;
use crate::intake::parse::parse;

fn value(json: JsonRef<'_>) -> Value {
    match json.kind() {
        JsonKind::Object => json
            .parts()
            .map(|member| (member.key().to_owned(), value(member)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        JsonKind::Array => json.parts().map(value).collect::<Vec<_>>().into(),
        JsonKind::Text | JsonKind::EscapedText => json.text().expect("a text").into_owned().into(),
        _ => json.to_value(),
    }
}

fn read(text: &str) -> Option<Value> {
    Tree::default().read(text.as_bytes(), 64).map(|read| value(read.json))
}

#[test]
fn reads_what_is_plain() {
    let text = r#" {"a":[1,-2,3.50,true,null,[],{}],"b":{"~/":"é\ud83d\ude00 2"},"c":999999999999999999,"d":-0.0} "#;
    assert_eq!(read(text), Some(parse(text.as_bytes(), 64).expect("valid")));
    let has_blanks = |text: &str| Tree::default().read(text.as_bytes(), 64).map(|read| read.has_blanks);
    assert_eq!(has_blanks(" {\"a\":\" \"} \n"), Some(false), "around it and in a text are none");
    assert_eq!([has_blanks("{ }"), has_blanks("[1, 2]"), has_blanks("{\"a\" :1}")], [Some(true); 3]);
}

#[test]
fn leaves_what_is_not_plain_to_the_strict_reader() {
    for text in [
        r#"{"a":1,"a":2}"#,
        r#"{"\u0061":1}"#,
        r#""\ud800""#,
        r#""\u0000""#,
        "\"\n\"",
        "1e3",
        "-0",
        "01",
        "1.",
        "1234567890123456789",
        "0.1234567890123456",
        "tru",
        "",
        "[1,]",
        "{,}",
        "[1 2]",
        "1 1",
        "\u{a0}1",
        "+1",
        "-",
        r#""\x""#,
        r#""\ud800\u0061""#,
    ] {
        assert_eq!(read(text), None, "{text}");
    }
    let many = |last: usize| {
        let members: Vec<String> = (0..40).chain([last]).map(|n| format!("\"{n}\":1")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert!(read(&many(40)).is_some() && read(&many(7)).is_none());
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    assert!(read(&nested(64)).is_some() && read(&nested(65)).is_none() && read(&nested(100_000)).is_none());
}

/// Texts that are JSON, or nearly.
fn text() -> impl Strategy<Value = String> {
    let tokens = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\n",
        "\"a\"",
        "\"b\"",
        "\"a\\u0062\"",
        "\"\\ud83d\\ude00\"",
        "\"é 0123456789\"",
        "\"x",
        "\"",
        "\\",
        "null",
        "true",
        "0",
        "-0",
        "12",
        "12.50",
        "0.1",
        "1e2",
        "99999999999999999999",
        "\"a\":",
        "\"a\":1,",
        "{\"a\":[1,2]}",
        "[{\"a\":null}]",
    ];
    proptest::collection::vec(proptest::sample::select(tokens.to_vec()), 0..12).prop_map(|tokens| tokens.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_it_reads_the_strict_reader_reads_as_the_same(text in text()) {
        if let Some(read) = read(&text) {
            prop_assert_eq!(parse(text.as_bytes(), 64).map_err(|error| error.to_string()), Ok(read));
        }
    }

    #[test]
    fn a_text_ends_where_it_does(text in "[ -~é\u{7f}]{0,40}", number in -999_999_999_999i64..999_999_999_999) {
        let written = serde_json::json!({"a": text, "n": number, "m": [number as f64 / 1000.0]}).to_string();
        prop_assert_eq!(read(&written), Some(parse(written.as_bytes(), 64).expect("valid")));
    }
}
