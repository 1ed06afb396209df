use super::*;

#[test]
fn counting_stops_at_the_first_one_too_many() {
    type Split = fn(&[u8], usize) -> Result<Vec<&[u8]>, Error>;
    let split: [Split; 3] = [array, batch, lines];
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
