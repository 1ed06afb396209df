//! The rest of a body that nobody reads.
//!
//! A connection that is closed while its client still sends is reset, and the
//! client sees a broken pipe in place of the answer that says why (RFC 9112,
//! 9.6). So the rest is read off beside the answer, for a while. A client that
//! has sent all of it may go on with the next request.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use hyper::body::{Body as HttpBody, Incoming};
use tokio::time::timeout;

use super::patience::Working;

/// Bytes that are read off at most: six times the largest body that is taken in
/// by default.
const MOST_BYTES: usize = 32 << 20;
/// How long the rest is waited for, at most.
const LONGEST: Duration = Duration::from_secs(10);

/// The place where the rest of a request's body is laid down.
#[derive(Clone, Default)]
pub(super) struct RestOfBody(Arc<Mutex<Option<Incoming>>>);

impl RestOfBody {
    pub(super) fn lay_down(&self, body: Incoming) {
        *self.slot() = Some(body);
    }

    /// Reads off what was laid down. Until then the request is in work.
    pub(super) fn read_off(&self, work: &Arc<Working>) {
        let Some(body) = self.slot().take() else { return };
        let work = work.clone();
        // It ends by itself, and the connection waits for it.
        tokio::spawn(async move {
            // A client that takes longer loses the connection. It has had its
            // answer.
            let _ = timeout(LONGEST, discard(body)).await;
            drop(work);
        });
    }

    fn slot(&self) -> MutexGuard<'_, Option<Incoming>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn discard(mut body: Incoming) {
    let mut left = MOST_BYTES;
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Some(less) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = less;
    }
}
