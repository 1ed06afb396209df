//! Bodies that write down what the server waits for.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use super::{
    patience::{Activity, Working},
    rest::RestOfBody,
};

/// The body of a request. While it is read, the server waits for its client.
pub(super) struct Upload {
    /// `None` when there is no more of it.
    body: Option<Incoming>,
    activity: Activity,
    rest: RestOfBody,
    /// Whether the client sends nothing before it is asked to.
    is_held_back: bool,
}

impl Upload {
    /// Whatever is left of the body is laid down in `rest`. A client that still
    /// waits for `100 Continue` is not asked for it.
    pub(super) fn new(body: Incoming, activity: Activity, rest: RestOfBody, is_held_back: bool) -> Self {
        Self { body: Some(body), activity, rest, is_held_back }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        self.is_held_back = false;
        match &frame {
            Poll::Pending => self.activity.body_waits(),
            Poll::Ready(Some(Ok(frame))) => self.activity.body_moved(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Ready(Some(Err(_)) | None) => {
                self.activity.body_moved(0);
                self.body = None;
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

/// Nobody reads on from here, so the rest is laid down.
impl Drop for Upload {
    fn drop(&mut self) {
        self.activity.body_moved(0);
        let is_over = self.is_held_back || self.is_end_stream();
        if let Some(body) = self.body.take().filter(|_| !is_over) {
            self.rest.lay_down(body);
        }
    }
}

/// The body of an answer. The request is in work until the whole body is made.
pub(super) struct AnswerBody {
    body: Body,
    _work: Arc<Working>,
}

impl AnswerBody {
    pub(super) fn new(body: Body, work: Arc<Working>) -> Self {
        Self { body, _work: work }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
