use super::*;

#[test]
fn a_header_is_unquoted_first_and_then_percent_decoded_once() {
    for (value, text) in [
        ("plain", "plain"),
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro \u{20ac} \u{1f600}"),
        ("%41%2b+", "A++"),
        ("%2541", "%41"),
        ("100% %zz %4", "100% %zz %4"),
        (r#""with spaces""#, "with spaces"),
        (r#""a \"b\" \\ %20""#, r#"a "b" \  "#),
        (r#""%22""#, "\""),
        ("%22kept%22", "\"kept\""),
        (r#""""#, ""),
        // No quoted strings.
        ("\"", "\""),
        (r#""a" and "b""#, r#""a" and "b""#),
        (r#""a\""#, r#""a\""#),
        (r#"a "b""#, r#"a "b""#),
        (r"a\b", r"a\b"),
        ("(kept)", "(kept)"),
    ] {
        assert_eq!(decoded(value.as_bytes()).as_deref(), Some(text), "{value}");
    }
    // The second one is a longer way to write a space than there may be.
    for value in ["%ff", "%C0%A0", r#""%ED%A0%80""#] {
        assert_eq!(decoded(value.as_bytes()), None, "{value}");
    }
}
