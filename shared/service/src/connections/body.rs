//! Bodies that write down what is waited for.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use super::patience::{Activity, Working};

/// The body of a request: while it is read, its client is waited for.
pub(super) struct Upload {
    body: Incoming,
    activity: Activity,
}

impl Upload {
    pub(super) fn new(body: Incoming, activity: Activity) -> Self {
        Self { body, activity }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match &frame {
            Poll::Pending => self.activity.body_waits(),
            Poll::Ready(Some(Ok(frame))) => self.activity.body_moved(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Ready(Some(Err(_)) | None) => self.activity.body_moved(0),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Nobody waits for the rest.
impl Drop for Upload {
    fn drop(&mut self) {
        self.activity.body_moved(0);
    }
}

/// The body of an answer: the request is in work until all of it is made.
pub(super) struct AnswerBody {
    body: Body,
    _work: Working,
}

impl AnswerBody {
    pub(super) fn new(body: Body, work: Working) -> Self {
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
