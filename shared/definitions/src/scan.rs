//! Finds the members of an object in a text that is known to be JSON, without
//! reading their values.

/// Tells the members of an object, in the order of the text: names without their
/// quotes, and values as they are written. `None` of what is no object, and where a
/// name has an escape in it; some may have been told then.
///
/// `json` is JSON as a parser has passed it; of any other text the answer means
/// nothing.
pub(crate) fn members<'j>(json: &'j str, mut tell: impl FnMut(&'j str, &'j str)) -> Option<()> {
    let mut at = skip(json, 0, b'{')?;
    if json.as_bytes().get(at) == Some(&b'}') {
        return Some(());
    }
    loop {
        let name_end = string_end(json, at)?;
        let name = unescaped(json.get(at..name_end)?)?;
        at = skip(json, name_end, b':')?;
        let value_end = value_end(json, at)?;
        tell(name, json.get(at..value_end)?);
        at = space_end(json, value_end);
        match json.as_bytes().get(at)? {
            b',' => at = space_end(json, at + 1),
            b'}' => return Some(()),
            _ => return None,
        }
    }
}

/// What a string says that has no escapes in it; `None` of one that has.
pub(crate) fn unescaped(string: &str) -> Option<&str> {
    let text = string.strip_prefix('"')?.strip_suffix('"')?;
    (!text.as_bytes().contains(&b'\\')).then_some(text)
}

/// Behind a sign and the white space around it.
fn skip(json: &str, at: usize, sign: u8) -> Option<usize> {
    let at = space_end(json, at);
    (*json.as_bytes().get(at)? == sign).then(|| space_end(json, at + 1))
}

fn space_end(json: &str, mut at: usize) -> usize {
    while matches!(json.as_bytes().get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Where the string that begins at `at` ends.
fn string_end(json: &str, mut at: usize) -> Option<usize> {
    if *json.as_bytes().get(at)? != b'"' {
        return None;
    }
    loop {
        at += 1;
        match json.as_bytes().get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 1,
            _ => {}
        }
    }
}

/// Where the value that begins at `at` ends.
fn value_end(json: &str, mut at: usize) -> Option<usize> {
    let bytes = json.as_bytes();
    let mut depth = 0_usize;
    loop {
        match bytes.get(at)? {
            b'"' => at = string_end(json, at)?,
            b'{' | b'[' => (at, depth) = (at + 1, depth + 1),
            b'}' | b']' => (at, depth) = (at + 1, depth.checked_sub(1)?),
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            _ => at = word_end(bytes, at),
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Where a number, `true`, `false` or `null` ends.
fn word_end(bytes: &[u8], at: usize) -> usize {
    let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
    bytes.iter().skip(at).position(is_end).map_or(bytes.len(), |length| at + length)
}
