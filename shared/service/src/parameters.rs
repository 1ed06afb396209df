//! Parameters of an address, read into the struct that describes them, and refused in plain
//! words.

use std::error::Error;

use axum::extract::{Query, rejection::QueryRejection};

/// What a handler is handed.
pub type Given<T> = Result<Query<T>, QueryRejection>;

/// The parameters, or what is wrong with them, for who sent them.
pub fn given<T>(query: Given<T>) -> Result<T, String> {
    query.map(|Query(given)| given).map_err(|rejection| {
        // The rejection itself begins with words of the library.
        in_words(&rejection.source().map_or_else(|| rejection.body_text(), ToString::to_string))
    })
}

/// What the library tells of a query, in plain words.
pub(crate) fn in_words(told: &str) -> String {
    if let Some((_, name, known)) = names(told, "unknown field `") {
        return match &known_names(known)[..] {
            [] => format!("there is no parameter `{name}`; this takes none"),
            known => format!("there is no parameter `{name}`; {}", there_are(known)),
        };
    }
    if let Some((of, value, known)) = names(told, "unknown variant `") {
        return format!("{of}`{value}` is not known; {}", there_are(&known_names(known)));
    }
    if let Some((_, name, _)) = names(told, "duplicate field `") {
        return format!("`{name}` is given twice");
    }
    if let Some((_, name, _)) = names(told, "missing field `") {
        return format!("`{name}` is missing");
    }
    // What Rust says of a text that is no number.
    let of_numbers = [
        ("invalid digit found in string", "must be a whole number"),
        ("cannot parse integer from empty string", "must be a whole number"),
        ("number too large to fit in target type", "is too large"),
        ("number too small to fit in target type", "is too small"),
    ];
    let ending = of_numbers.into_iter().find_map(|(theirs, ours)| Some((told.strip_suffix(theirs)?, ours)));
    ending.map_or_else(|| told.to_owned(), |(of, ours)| format!("{of}{ours}"))
}

/// Of which parameter it is told, with a colon; the name behind a beginning; and what follows on it.
fn names<'t>(told: &'t str, beginning: &str) -> Option<(&'t str, &'t str, &'t str)> {
    let (of, rest) = told.split_once(beginning)?;
    let end = rest.rfind("`, expected ").or_else(|| rest.rfind("`, there are ")).or_else(|| rest.rfind('`'))?;
    Some((of, &rest[..end], &rest[end + 1..]))
}

/// The names in backticks.
fn known_names(list: &str) -> Vec<&str> {
    list.split('`').skip(1).step_by(2).collect()
}

fn there_are(known: &[&str]) -> String {
    let quoted: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => format!("there is {last}"),
        Some((last, rest)) => format!("there are {} and {last}", rest.join(", ")),
        None => "there are none".into(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;
    use serde::{Deserialize, de::DeserializeOwned};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Left {
        Purchased,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "they are read, and that is all")]
    struct Several {
        n: Option<u32>,
        category: Option<String>,
        exclude: Option<Left>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is read, and that is all")]
    struct Two {
        n: Option<u32>,
        of: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct One {
        n: Option<u32>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    #[track_caller]
    fn refused<T: DeserializeOwned>(query: &str) -> String {
        let uri: Uri = format!("/?{query}").parse().expect("an address");
        given(Query::<T>::try_from_uri(&uri)).err().expect("it is wrong")
    }

    #[test]
    fn what_is_wrong_is_told_without_the_words_of_a_library() {
        let told = [
            (refused::<Nothing>("foo=1"), "there is no parameter `foo`; this takes none"),
            (refused::<One>("foo=1"), "there is no parameter `foo`; there is `n`"),
            (refused::<Two>("customer=c&of=d"), "there is no parameter `customer`; there are `n` and `of`"),
            (refused::<Several>("a=1"), "there is no parameter `a`; there are `n`, `category` and `exclude`"),
            (refused::<One>("a%60%2C+b=1"), "there is no parameter `a`, b`; there is `n`"),
            (refused::<One>("n=3&n=4"), "`n` is given twice"),
            (refused::<Two>("n=3"), "`of` is missing"),
            (refused::<Several>("exclude=foo"), "exclude: `foo` is not known; there is `purchased`"),
            (refused::<One>("n=many"), "n: must be a whole number"),
            (refused::<One>("n="), "n: must be a whole number"),
            (refused::<One>("n=99999999999"), "n: is too large"),
        ];
        for (told, expected) in told {
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn what_is_right_is_handed_on() {
        let uri: Uri = "/?n=3".parse().expect("an address");
        assert_eq!(given(Query::<One>::try_from_uri(&uri)).expect("is right").n, Some(3));
    }
}
