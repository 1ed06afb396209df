use super::*;

#[test]
fn counting_stops_at_the_first_one_too_many() {
    type Split = fn(&[u8], usize) -> Result<Vec<&[u8]>, Error>;
    let split: [Split; 3] = [array, |body, limit| batch(body, limit).map(|(items, _)| items), lines];
    // What follows is broken, and nobody looks at it.
    for (split, body) in
        split.into_iter().zip(["[1,2,3,4,!", r#"{"x":[1,1,1,1],"batch":[1,2,3,4,!"#, "1\n\n2\n3\n4\n\u{0}"])
    {
        assert_eq!(split(body.as_bytes(), 3), Err(Error::TooManyEvents { limit: 3 }), "{body}");
    }
    for (split, body) in split.into_iter().zip(["[1,2,3]", r#"{"batch":[1,2,3],"sentAt":{}}"#, "1\n2\r\n 3"]) {
        assert_eq!(split(body.as_bytes(), 3), Ok(vec![&b"1"[..], b"2", b"3"]), "{body}");
    }
}

#[test]
fn a_batch_says_when_it_was_sent() {
    let sent_at = |body: &'static str| batch(body.as_bytes(), 9).expect(body).1.map(RawValue::get);
    assert_eq!(sent_at(r#"{"batch":[]}"#), None);
    assert_eq!(sent_at(r#"{"sentAt":"x","batch":[],"sentAt":"y"}"#), Some(r#""x""#));
    assert_eq!(sent_at(r#"{"batch":[],"sentAt":{"a":1}}"#), Some(r#"{"a":1}"#));
}
