use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

/// Any JSON, spaced in any way.
fn json() -> impl Strategy<Value = String> {
    let leaf = select(vec![
        "0",
        "-1.50e3",
        "true",
        "false",
        "null",
        "\"\"",
        "\"a b\"",
        "\"}],:{[\"",
        r#""\"}""#,
        r#""\\""#,
        r#""\u0041""#,
        "\"ä\"",
        r#""\ud800""#,
    ]);
    leaf.prop_map(String::from).prop_recursive(3, 24, 4, |inner| {
        let object = (vec((name(), inner.clone()), 0..4), space()).prop_map(|(members, space)| {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("{space}{name}{space}:{space}{value}{space}")).collect();
            format!("{{{space}{}}}", members.join(","))
        });
        let list = (vec(inner, 0..4), space())
            .prop_map(|(items, space)| format!("[{space}{}]", items.join(&format!("{space},{space}"))));
        prop_oneof![3 => object, 1 => list]
    })
}

fn name() -> impl Strategy<Value = &'static str> {
    select(vec!["\"a\"", "\"b\"", "\"\"", "\"a:b,c\"", r#""\u0061""#, r#""\"""#, r#""\ud800""#, "\"ä\""])
}

fn space() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", " ", "\n\t", "\r"])
}

proptest! {
    #[test]
    fn members_are_found_as_a_parser_finds_them(json in json()) {
        let raw: &RawValue = serde_json::from_str(&json).expect("is JSON");
        prop_assert_eq!(Data::of(Some(raw)), Data::of_any_form(raw.get()), "{}", json);
    }

    #[test]
    fn a_text_is_plain_as_a_parser_reads_it(json in json()) {
        let parsed = serde_json::from_str::<String>(&json).ok();
        if json.starts_with('"') {
            prop_assert_eq!(plain(&json).map(Cow::into_owned), parsed, "{}", json);
        }
    }
}

#[test]
fn a_member_within_a_member_is_found() {
    let raw: &RawValue = serde_json::from_str(r#"{"a":1,"b":{"c":{"d":[1, 2]},"e":5}}"#).expect("is JSON");
    let at = |path: &[&str]| Data::of(Some(raw)).at(&path.iter().map(|&name| name.into()).collect::<Vec<String>>());
    assert_eq!(at(&["b", "c", "d"]), Some("[1, 2]"));
    assert_eq!(at(&["b", "e"]), Some("5"));
    assert_eq!((at(&["a", "b"]), at(&["b", "x"]), at(&["x"])), (None, None, None));
    assert_eq!(Data::of(None), Data::default());
}
