//! How a target's input is put together, so that a corpus file reads as what it
//! is: a request, a message.

use bytes::Bytes;
use tidemill_events::HeaderSource;

/// A first line, `name: value` lines, an empty line and a body.
pub(crate) struct Request<'a> {
    pub(crate) first: &'a str,
    pub(crate) headers: Headers<'a>,
    pub(crate) body: Bytes,
}

/// Headers by name, as they stand in the input.
pub(crate) struct Headers<'a>(pub(crate) Vec<(&'a str, &'a str)>);

impl HeaderSource for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// Reads such an input; `None` where the part before the body is no text.
pub(crate) fn request(input: &[u8]) -> Option<Request<'_>> {
    let (head, body) = halves(input, b"\n\n");
    let mut lines = std::str::from_utf8(head).ok()?.split('\n');
    Some(Request {
        first: lines.next().unwrap_or_default(),
        headers: Headers(lines.filter_map(|line| line.split_once(": ")).collect()),
        body: Bytes::copy_from_slice(body),
    })
}

/// What stands before and after the first `between`.
pub(crate) fn halves<'a>(input: &'a [u8], between: &[u8]) -> (&'a [u8], &'a [u8]) {
    match input.windows(between.len()).position(|window| window == between) {
        Some(at) => (&input[..at], &input[at + between.len()..]),
        None => (input, &[]),
    }
}
