//! The lines of a batch.

use memchr::memchr_iter;

/// The lines of an NDJSON payload, without empty ones.
pub fn lines(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut begin = 0;
    let line = move |end: usize| {
        let line = &payload[begin..end];
        begin = end + 1;
        line
    };
    memchr_iter(b'\n', payload).chain([payload.len()]).map(line).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_or_without_a_line_feed() {
        for (payload, expected) in
            [("a\nbc\n", vec!["a", "bc"]), ("a\n\nbc", vec!["a", "bc"]), ("\n", vec![]), ("", vec![]), ("a", vec!["a"])]
        {
            let found: Vec<_> = lines(payload.as_bytes()).map(|line| str::from_utf8(line).expect("text")).collect();
            assert_eq!(found, expected, "{payload:?}");
        }
    }
}
