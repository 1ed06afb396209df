use serde::Deserialize;
use tidemill_domain::Timestamp;
use uuid::Uuid;

use super::*;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Colour {
    #[default]
    Red,
    DarkBlue,
    Green,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
struct Asked {
    text: Option<String>,
    #[serde(default)]
    list: Vec<String>,
    is_so: Option<bool>,
    number: Option<u64>,
    small: Option<u16>,
    since: Option<Timestamp>,
    id: Option<Uuid>,
    colour: Option<Colour>,
}

fn pairs(pairs: &[(&str, &str)]) -> ParameterPairs {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn told(given: &[(&str, &str)]) -> Vec<(String, String)> {
    let (_, errors) = read::<Asked>(&pairs(given), unknown);
    errors.into_iter().map(|error| (error.pointer, error.detail)).collect()
}

#[test]
fn what_is_given_is_read_in_its_type() {
    let id = Uuid::from_u128(7);
    let (asked, errors) = read::<Asked>(
        &pairs(&[
            ("text", "a=&ü"),
            ("is_so", "true"),
            ("number", "18446744073709551615"),
            ("small", "7"),
            ("since", "1970-01-01T00:00:00Z"),
            ("id", &id.to_string()),
            ("colour", "dark_blue"),
        ]),
        unknown,
    );
    assert_eq!(errors, []);
    let expected = Asked {
        text: Some("a=&ü".into()),
        list: Vec::new(),
        is_so: Some(true),
        number: Some(u64::MAX),
        small: Some(7),
        since: Some(Timestamp::EPOCH),
        id: Some(id),
        colour: Some(Colour::DarkBlue),
    };
    assert_eq!(asked, expected);
    assert_eq!(read::<Asked>(&[], unknown), (Asked::default(), Vec::new()));
}

#[test]
fn of_several_values_a_list_takes_all_and_anything_else_none() {
    let given = pairs(&[("text", "a"), ("list", "x"), ("number", "5"), ("text", "b"), ("list", "y,z")]);
    let (asked, errors) = read::<Asked>(&given, unknown);
    let list = vec!["x".to_owned(), "y,z".to_owned()];
    assert_eq!(asked, Asked { number: Some(5), list, ..Asked::default() });
    assert_eq!(errors, [wrong("text", "is given more than once")]);
    // The same value twice is twice, too.
    for name in ["small", "colour", "is_so"] {
        let value = if name == "colour" {
            "green"
        } else if name == "small" {
            "7"
        } else {
            "true"
        };
        assert_eq!(told(&[(name, value), (name, value)]), [(format!("/{name}"), "is given more than once".into())]);
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once_and_in_order() {
    let names = "text, list, is_so, number, small, since, id, colour";
    let expected = [
        ("/colour", "must be red, dark_blue or green".to_owned()),
        ("/a~1b", format!("is not known; there are {names}")),
        ("/small", "number too large to fit in target type".into()),
        ("/number", "invalid digit found in string".into()),
        ("/is_so", "provided string was not `true` or `false`".into()),
        ("/since", "not an RFC 3339 date-time".into()),
    ];
    let given = [
        ("colour", "yellow"),
        ("a/b", "1"),
        ("small", "65536"),
        ("number", "-1"),
        ("is_so", "maybe"),
        ("text", ""),
        ("since", "yesterday"),
    ];
    assert_eq!(told(&given), expected.map(|(pointer, detail)| (pointer.to_owned(), detail)));
    assert_eq!(told(&[("id", "x")]).len(), 1);
    assert_eq!(unknown("a", "1", &[]), Err("is not known; there are none".into()));
    // One that is wrong stays wrong, whatever comes after it.
    assert_eq!(told(&[("small", "x"), ("small", "1")]).len(), 1);
}
