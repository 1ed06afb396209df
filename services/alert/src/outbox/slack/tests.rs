use proptest::prelude::*;

use super::*;

#[test]
fn nothing_in_a_text_means_anything_to_slack() {
    assert_eq!(escape("<!channel> & <@U1>", 100), "&lt;!channel&gt; &amp; &lt;@U1&gt;");
    assert_eq!(escape(" \n", 100), "–");
    assert_eq!(escape("a\u{202e}b\u{1b}[1m\nc", 100), "a b [1m\nc");
    assert_eq!(cut("forged\n*severity*\u{2066}", 100), "forged *severity* ");
    assert_eq!(escape("&&", 7), "&amp;…", "an escape is never cut in two");
}

proptest! {
    #[test]
    fn escaped_texts_keep_to_the_limit(text in any::<String>(), limit in 6usize..200) {
        let escaped = escape(&text, limit);
        prop_assert!((1..=limit).contains(&escaped.chars().count()));
        prop_assert!(!escaped.contains(['<', '>']));
        let whole = ["&amp;", "&lt;", "&gt;"];
        prop_assert!(escaped.match_indices('&').all(|(at, _)| whole.iter().any(|e| escaped[at..].starts_with(e))));
        let short = cut(&format!("x{text}"), limit);
        prop_assert!((1..=limit).contains(&short.chars().count()));
    }
}
