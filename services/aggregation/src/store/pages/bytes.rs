//! Numbers and texts in few bytes: integers in groups of seven bits, the lowest
//! first (LEB128), signed ones folded so that small ones are short (zigzag).

use tidemill_store::Error as StoreError;

pub(super) const MALFORMED: StoreError = StoreError::Malformed("cells");

pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
}

pub(super) fn put_wide(out: &mut Vec<u8>, number: i128) {
    let mut folded = (number.cast_unsigned() << 1) ^ (number >> 127).cast_unsigned();
    while folded > 0x7f {
        out.push(folded as u8 | 0x80);
        folded >>= 7;
    }
    out.push(folded as u8);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What is left to be read.
pub(super) struct UnreadBytes<'b>(pub(super) &'b [u8]);

impl<'b> UnreadBytes<'b> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'b [u8], StoreError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(MALFORMED)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        self.take(N)?.try_into().map_err(|_| MALFORMED)
    }

    pub(super) fn byte(&mut self) -> Result<u8, StoreError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(super) fn wide(&mut self) -> Result<i128, StoreError> {
        let mut folded = 0_u128;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            folded |= u128::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed());
            }
        }
        Err(MALFORMED)
    }

    pub(super) fn number(&mut self) -> Result<u64, StoreError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(MALFORMED)
    }

    pub(super) fn signed(&mut self) -> Result<i64, StoreError> {
        let folded = self.number()?;
        Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    pub(super) fn bytes(&mut self) -> Result<&'b [u8], StoreError> {
        let count = usize::try_from(self.number()?).map_err(|_| MALFORMED)?;
        self.take(count)
    }

    pub(super) fn text(&mut self) -> Result<&'b str, StoreError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| MALFORMED)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_is_read(
            number: u64, signed: i64, wide: i128, bytes: Vec<u8>, text: String, cut in 0usize..4
        ) {
            let mut out = Vec::new();
            put_number(&mut out, number);
            put_signed(&mut out, signed);
            put_wide(&mut out, wide);
            put_bytes(&mut out, &bytes);
            put_bytes(&mut out, text.as_bytes());
            let mut unread = UnreadBytes(&out);
            prop_assert_eq!(unread.number().expect("is there"), number);
            prop_assert_eq!(unread.signed().expect("is there"), signed);
            prop_assert_eq!(unread.wide().expect("is there"), wide);
            prop_assert_eq!(unread.bytes().expect("is there"), bytes);
            prop_assert_eq!(unread.text().expect("is there"), text);
            prop_assert!(unread.is_empty());
            let short = &out[..out.len().saturating_sub(cut + 1)];
            let mut unread = UnreadBytes(short);
            let read = [unread.number().is_ok(), unread.wide().is_ok(), unread.bytes().is_ok(), unread.text().is_ok()];
            prop_assert!(read.iter().any(|read| !read), "what is cut off is not read");
        }
    }
}
