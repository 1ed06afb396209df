use proptest::prelude::*;

use super::*;

#[test]
fn numbers_become_international_where_the_country_is_known() {
    for (text, country, expected) in [
        ("+49 (0)30 / 123-456", None, "+4930123456"),
        ("(+49) 30 123456", None, "+4930123456"),
        ("0049 30 123456", None, "+4930123456"),
        ("030 123456", Some("DE"), "+4930123456"),
        ("030 123456", None, "030123456"),
        ("030 123456", Some("XX"), "030123456"),
        ("06 12 34 56 78", Some("FR"), "+33612345678"),
        ("06 12 34", Some("FR"), "061234"),
        ("02 1234567", Some("IT"), "+39021234567"),
        ("(212) 555-0100", Some("US"), "+12125550100"),
        ("1-212-555-0100 ext. 7", Some("US"), "+12125550100"),
        ("011 44 20 7946 0958", Some("US"), "+442079460958"),
        ("020 7946 0958 #12", Some("GB"), "+442079460958"),
        ("8 (912) 345-67-89", Some("RU"), "+79123456789"),
        ("912 345-67-89", Some("RU"), "+79123456789"),
        ("06 1 234 5678", Some("HU"), "+3612345678"),
        ("tel:+1-201-555-0123;ext=5", Some("DE"), "+12015550123"),
        ("110", Some("FR"), "110"),
        // Austria has numbers of four digits; with its code that is shorter than E.164 goes.
        ("0021", Some("AT"), "0021"),
    ] {
        assert_eq!(standard_phone(text, country).as_deref(), Some(expected), "{text} in {country:?}");
    }
    for nothing in ["", "-", "unknown", "+"] {
        assert_eq!(standard_phone(nothing, Some("DE")), None, "{nothing}");
    }
}

#[test]
fn an_address_is_told_from_what_is_none() {
    for address in ["a@b.de", "jane.doe+shop@mail.example.com", "müller@bücher.example", "o'neil@x-y.io"] {
        assert!(is_email(address), "{address}");
    }
    for other in [
        "",
        "a",
        "a@b",
        "@b.de",
        "a@",
        "a b@c.de",
        "a@b@c.de",
        "a@-b.de",
        "a@b..de",
        ".a@b.de",
        "a@b.de,c@d.de",
        "a@b.de.",
        "<a@b.de>",
    ] {
        assert!(!is_email(other), "{other}");
    }
    assert!(!is_email(&format!("{}@b.de", "a".repeat(65))));
    assert_eq!(standard_email("  Jane.Doe@Example.COM\n").as_deref(), Some("jane.doe@example.com"));
    assert_eq!(standard_email(" \t"), None);
}

proptest! {
    #[test]
    fn a_standard_form_stays_as_it_is(text in "\\PC{0,40}", digits in "[+0-9 ()./-]{0,24}", country in "[A-Z]{2}") {
        for text in [&text, &digits] {
            if let Some(email) = standard_email(text) {
                prop_assert_eq!(standard_email(&email), Some(email.clone()));
            }
            if let Some(phone) = standard_phone(text, Some(&country)) {
                let (sign, rest) = phone.split_at(usize::from(phone.starts_with('+')));
                prop_assert!(rest.bytes().all(|byte| byte.is_ascii_digit()), "{}", phone);
                if !sign.is_empty() {
                    prop_assert!(INTERNATIONAL.contains(&rest.len()), "{}", phone);
                    prop_assert_eq!(standard_phone(&phone, Some(&country)), Some(phone.clone()));
                }
            }
        }
    }
}
