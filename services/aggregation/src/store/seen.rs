//! Distinct values as they are stored: of each the place of its measure in two
//! bytes and its hash in eight, big-endian.

use tidemill_store::Error as StoreError;

use crate::fold::cell::MeasureState;

/// Bytes of a value.
pub(super) const VALUE: usize = 10;

/// Values, one behind the other.
pub(super) fn packed(values: &[(usize, u64)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * VALUE);
    pack(&mut bytes, values);
    bytes
}

/// Appends values.
pub(super) fn pack(bytes: &mut Vec<u8>, values: &[(usize, u64)]) {
    for (measure, hash) in values {
        // A definition has a few measures.
        bytes.extend_from_slice(&u16::try_from(*measure).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(&hash.to_be_bytes());
    }
}

/// Adds packed values to the distinct counts that they are of.
pub(super) fn add(bytes: &[u8], measures: &mut [MeasureState]) -> Result<(), StoreError> {
    for (measure, hash) in unpacked(bytes)? {
        match measures.get_mut(measure) {
            Some(MeasureState::Keyed { seen, .. }) => seen.insert(hash),
            _ => return Err(StoreError::Malformed("distinct value")),
        };
    }
    Ok(())
}

/// The values, which [`packed`] put together.
fn unpacked(bytes: &[u8]) -> Result<impl Iterator<Item = (usize, u64)>, StoreError> {
    let (values, rest) = bytes.as_chunks::<VALUE>();
    if !rest.is_empty() {
        return Err(StoreError::Malformed("distinct value"));
    }
    Ok(values.iter().map(|[first, second, hash @ ..]| {
        (usize::from(u16::from_be_bytes([*first, *second])), u64::from_be_bytes(*hash))
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_back(values in proptest::collection::vec((0usize..0xFFFF, any::<u64>()), 0..40)) {
            let bytes = packed(&values);
            prop_assert_eq!(bytes.len(), values.len() * VALUE);
            prop_assert_eq!(unpacked(&bytes).expect("it is whole").collect::<Vec<_>>(), values);
        }
    }

    #[test]
    fn a_part_of_a_value_is_malformed() {
        assert!(unpacked(&[0; 9]).is_err());
    }
}
