//! The one pass over a text.

use super::node::{JsonKind, Node};

/// Digits of a whole number that any reader keeps.
const INTEGER_DIGITS: usize = 18;
/// Digits that an `f64` keeps, of a number with a point.
const FRACTION_DIGITS: usize = 15;
/// Members of an object that are compared one by one.
const FEW_MEMBERS: usize = 16;

/// Reads a text into nodes, and tells whether blanks stand between its parts.
/// `None` where something is wrong with it, or may be.
pub(super) fn read<'t>(text: &'t str, depth: usize, nodes: &mut Vec<Node<'t>>) -> Option<bool> {
    nodes.clear();
    let mut reader = TreeReader { text, bytes: text.as_bytes(), at: 0, has_blanks: false, nodes };
    reader.skip_blanks();
    reader.has_blanks = false;
    reader.value("", depth)?;
    let has_blanks = reader.has_blanks;
    reader.skip_blanks();
    (reader.at == text.len()).then_some(has_blanks)
}

struct TreeReader<'t, 'n> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    has_blanks: bool,
    nodes: &'n mut Vec<Node<'t>>,
}

impl<'t> TreeReader<'t, '_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Takes the byte that must be next.
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
            self.has_blanks = true;
        }
    }

    fn value(&mut self, key: &'t str, depth: usize) -> Option<()> {
        let (start, place) = (self.at, self.nodes.len());
        self.nodes.push(Node { key, kind: JsonKind::Null, raw: "", end: 0 });
        let kind = match self.peek()? {
            b'"' => self.string()?.0,
            b'{' => self.object(depth.checked_sub(1)?)?,
            b'[' => self.array(depth.checked_sub(1)?)?,
            b't' => self.word("true", JsonKind::Bool(true))?,
            b'f' => self.word("false", JsonKind::Bool(false))?,
            b'n' => self.word("null", JsonKind::Null)?,
            _ => self.number()?,
        };
        let raw = self.text.get(start..self.at)?;
        self.nodes[place] = Node { key, kind, raw, end: self.nodes.len() };
        Some(())
    }

    fn word(&mut self, word: &str, kind: JsonKind) -> Option<JsonKind> {
        self.bytes[self.at..].starts_with(word.as_bytes()).then(|| {
            self.at += word.len();
            kind
        })
    }

    fn object(&mut self, depth: usize) -> Option<JsonKind> {
        let (first, mut members) = (self.nodes.len(), 0);
        self.at += 1;
        self.skip_blanks();
        if self.take(b'}').is_some() {
            return Some(JsonKind::Object);
        }
        loop {
            let (JsonKind::Text, key) = self.string()? else { return None };
            members += 1;
            if members <= FEW_MEMBERS && self.has(first, key) {
                return None;
            }
            self.skip_blanks();
            self.take(b':')?;
            self.skip_blanks();
            self.value(key, depth)?;
            self.skip_blanks();
            if self.take(b',').is_none() {
                break;
            }
            self.skip_blanks();
        }
        self.take(b'}')?;
        (members <= FEW_MEMBERS || self.are_distinct(first)).then_some(JsonKind::Object)
    }

    fn array(&mut self, depth: usize) -> Option<JsonKind> {
        self.at += 1;
        self.skip_blanks();
        if self.take(b']').is_some() {
            return Some(JsonKind::Array);
        }
        loop {
            self.value("", depth)?;
            self.skip_blanks();
            if self.take(b',').is_none() {
                break;
            }
            self.skip_blanks();
        }
        self.take(b']').map(|()| JsonKind::Array)
    }

    /// The keys of the object whose first member is at this place.
    fn keys(&self, first: usize) -> impl Iterator<Item = &'t str> {
        let mut next = first;
        std::iter::from_fn(move || {
            let node = self.nodes.get(next)?;
            next = node.end;
            Some(node.key)
        })
    }

    fn has(&self, first: usize, key: &str) -> bool {
        self.keys(first).any(|other| other == key)
    }

    fn are_distinct(&self, first: usize) -> bool {
        let mut keys: Vec<&str> = self.keys(first).collect();
        keys.sort_unstable();
        keys.windows(2).all(|two| two[0] != two[1])
    }

    /// A text without its quotes, as it is spelt.
    fn string(&mut self) -> Option<(JsonKind, &'t str)> {
        self.take(b'"')?;
        let (start, mut kind) = (self.at, JsonKind::Text);
        loop {
            self.at += plain_length(&self.bytes[self.at..]);
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    self.escape()?;
                    kind = JsonKind::EscapedText;
                }
                // A control character.
                _ => return None,
            }
        }
        let text = self.text.get(start..self.at)?;
        self.at += 1;
        Some((kind, text))
    }

    fn escape(&mut self) -> Option<()> {
        match self.bytes.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => match self.unit()? {
                0 | 0xdc00..=0xdfff => return None,
                0xd800..=0xdbff => (0xdc00..=0xdfff).contains(&self.unit()?).then_some(())?,
                _ => {}
            },
            _ => return None,
        }
        Some(())
    }

    /// The unit of UTF-16 that an escape here spells.
    fn unit(&mut self) -> Option<u32> {
        let escape = self.bytes.get(self.at..self.at + 6)?;
        let digits = escape.strip_prefix(b"\\u")?;
        self.at += 6;
        digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
    }

    /// A number whose value and digits any reader keeps, and which is spelt as we
    /// spell it, except for zeros at its end.
    fn number(&mut self) -> Option<JsonKind> {
        let is_negative = self.take(b'-').is_some();
        let whole = self.digits();
        let has_leading_zero = whole.len() > 1 && whole[0] == b'0';
        if whole.is_empty() || has_leading_zero {
            return None;
        }
        if self.take(b'.').is_none() {
            let is_zero = whole == b"0";
            let is_kept = whole.len() <= INTEGER_DIGITS && !(is_zero && is_negative);
            return (is_kept && !self.is_exponent()).then_some(JsonKind::Integer);
        }
        let fraction = self.digits();
        let is_kept = !fraction.is_empty() && whole.len() + fraction.len() <= FRACTION_DIGITS;
        (is_kept && !self.is_exponent()).then_some(JsonKind::Fraction)
    }

    fn is_exponent(&self) -> bool {
        matches!(self.peek(), Some(b'e' | b'E'))
    }

    fn digits(&mut self) -> &'t [u8] {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }
}

/// Bytes up to the first that ends a text or means more than itself: a quote, a
/// backslash, a control character. Eight are looked at at once.
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The lowest byte for which it says so is right; higher ones need not be.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;
    let is = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let mut at = 0;
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_le_bytes(*eight);
        let found = is(word, b'"') | is(word, b'\\') | below(word, b' ');
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let is_plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..=0x1f);
    at + bytes[at..].iter().position(|byte| !is_plain(byte)).unwrap_or(bytes.len() - at)
}
