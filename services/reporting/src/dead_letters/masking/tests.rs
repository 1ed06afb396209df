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
            let error = serde_json::from_str::<serde_json::Value>(&masked).err().map(|error| error.to_string());
            prop_assert_eq!(error, None, "{} {}", json, masked);
        }
    }
}
