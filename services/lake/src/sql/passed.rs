//! An answer on its way from its process to whoever asked.

use std::io;

use bytes::Bytes;
use futures::{Stream, stream};
use tokio::sync::mpsc::Receiver;

/// An answer. Whoever drops it before its end ends the process.
pub(crate) struct PassedAnswer {
    pub(super) bytes: u64,
    pub(super) chunks: Receiver<io::Result<Bytes>>,
}

impl PassedAnswer {
    /// How long it is.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its parts, as they come; an error where they end too early.
    pub(crate) fn chunks(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream::unfold(self.chunks, async |mut chunks| chunks.recv().await.map(|chunk| (chunk, chunks)))
    }
}
