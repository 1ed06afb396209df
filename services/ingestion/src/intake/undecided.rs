//! Requests whose key is in the body: what is done until their caller is known.

use std::sync::Arc;

use axum::{body::Body, http::request};
use bytes::Bytes;
use tidemill_service::{Caller, access::Undecided};

use super::{
    formats::Format,
    inflate::{Encoding, inflate},
    route::Route,
    take_in::{EventIntake, MAX_INLINE, content_length},
    written_key,
};
use crate::{
    error::Error,
    limits::{Admission, INFLATED_KEY_BYTES},
};

/// A body in which a key was looked for.
struct SearchedBody {
    key: Option<String>,
    body: Bytes,
    admission: Admission,
}

impl EventIntake {
    /// Finds the caller of a request by the key in its body. A body of strangers is
    /// read up to a smaller limit, and nothing is made of it. Whatever is wrong with
    /// it, they hear that no key was found.
    pub(super) async fn caller_of(
        self: &Arc<Self>,
        undecided: Undecided,
        route: Route,
        head: &request::Parts,
        body: Body,
    ) -> Result<(Caller, Body, Admission), Error> {
        let client = self.undecided.client(head);
        // It is given back as soon as the caller is known.
        let _place = self.undecided.place(client)?;
        let searched = match self.search(route, head, body).await {
            Ok(searched) => Some(searched),
            // A place was held for nothing, as by who has no key.
            Err(error @ Error::BodyTimeout { .. }) => {
                self.undecided.stranger(client);
                return Err(error);
            }
            // This is about us.
            Err(error @ (Error::Busy | Error::Internal)) => return Err(error),
            Err(_) => None,
        };
        let key = searched.as_ref().and_then(|searched| searched.key.as_deref());
        let caller = undecided.decide(key).inspect_err(|_| self.undecided.stranger(client))?;
        // Without a body there is no key.
        let SearchedBody { body, admission, .. } = searched.ok_or(Error::Internal)?;
        Ok((caller, Body::from(body), admission))
    }

    async fn search(self: &Arc<Self>, route: Route, head: &request::Parts, body: Body) -> Result<SearchedBody, Error> {
        Format::of(route, &head.headers)?;
        let encoding = Encoding::of(&head.headers)?;
        let mut admission = self.limits.admit()?;
        let body = self.limits.read_undecided(body, content_length(head), &mut admission).await?;
        if encoding == Encoding::Identity && body.len() <= MAX_INLINE {
            admission.give_back();
            return Ok(SearchedBody { key: written_key::find(&body), body, admission });
        }
        let worker = self.limits.worker().await?;
        let searched = move || {
            let _until_searched = worker;
            let inflated = inflate(encoding, body.clone(), INFLATED_KEY_BYTES, &mut admission)?;
            let key = written_key::find(&inflated);
            admission.give_back();
            Ok(SearchedBody { key, body, admission })
        };
        tokio::task::spawn_blocking(searched).await.unwrap_or_else(|error| {
            tracing::error!(%error, "no key could be looked for in a body");
            Err(Error::Internal)
        })
    }
}
