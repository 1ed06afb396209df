use super::*;

#[test]
fn an_excerpt_ends_between_characters() {
    assert_eq!(excerpt("ab".into()), "ab");
    let long = format!("{}{}", "x".repeat(EXCERPT - 1), "\u{1f600}");
    assert_eq!(excerpt(long), "x".repeat(EXCERPT - 1));
}
