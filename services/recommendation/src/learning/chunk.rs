//! Batches as they are kept in the store.

use super::event::LearntBatch;

/// How long a chunk is at most once it is unpacked: a stored one is shorter by far.
const MAX_BYTES: usize = 256 << 20;

/// A chunk that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChunkError {
    /// It is not what was written.
    #[error("a chunk is not packed as it should be")]
    Packed,
    /// It is no list of batches.
    #[error("a chunk holds no batches: {0}")]
    Json(#[from] serde_json::Error),
}

/// Packs batches.
pub(crate) fn encode(batches: &[LearntBatch]) -> Result<Vec<u8>, ChunkError> {
    Ok(lz4_flex::block::compress_prepend_size(&serde_json::to_vec(batches)?))
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(packed: &[u8]) -> Result<Vec<LearntBatch>, ChunkError> {
    let (size, _) = lz4_flex::block::uncompressed_size(packed).map_err(|_| ChunkError::Packed)?;
    if size > MAX_BYTES {
        return Err(ChunkError::Packed);
    }
    let json = lz4_flex::block::decompress_size_prepended(packed).map_err(|_| ChunkError::Packed)?;
    let batches: Vec<LearntBatch> = serde_json::from_slice(&json)?;
    // A former release kept times as the events told them.
    Ok(batches.into_iter().map(LearntBatch::until_intake).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{learning::LearntItem, testing::batch_of_any_texts};

    #[test]
    fn a_chunk_is_read_as_it_was_written() {
        let mut batches = vec![batch_of_any_texts(1), batch_of_any_texts(7)];
        batches[0].events[0] = batches[0].events[0].erased();
        let read = decode(&encode(&batches).expect("packs")).expect("reads");
        for item in batches.iter_mut().flat_map(|batch| &mut batch.events).flat_map(|event| &mut event.items) {
            *item = LearntItem { id: std::mem::take(&mut item.id), ..LearntItem::default() };
        }
        assert_eq!(read, batches);
        assert!(decode(b"").is_err());
        assert!(decode(&[255, 255, 255, 255, 1]).is_err(), "it would be too large");
        assert!(decode(&lz4_flex::block::compress_prepend_size(b"{}")).is_err());
    }
}
