//! Where a request comes from.

use std::{collections::BTreeSet, net::IpAddr};

use axum::http::{HeaderMap, header, request};
use tidemill_service::clients;

use crate::{
    config::{ClientIp, SenderConfig},
    error::{Error, clip},
};

/// Refuses pages of other origins than those configured; with none configured
/// there is nothing to refuse.
pub(crate) fn check_origin(headers: &HeaderMap, allowed: &BTreeSet<String>) -> Result<(), Error> {
    match headers.get(header::ORIGIN).map(|origin| String::from_utf8_lossy(origin.as_bytes())) {
        Some(origin) if !allowed.is_empty() && !allowed.contains(&*origin) => {
            Err(Error::ForbiddenOrigin(clip(&origin)))
        }
        _ => Ok(()),
    }
}

/// The address that becomes the `clientip` of a request's events.
pub(crate) fn clientip(head: &request::Parts, config: &SenderConfig) -> Option<IpAddr> {
    match config.clientip {
        ClientIp::Never => None,
        ClientIp::Browsers if !head.headers.contains_key(header::ORIGIN) => None,
        ClientIp::Browsers | ClientIp::Always => clients::address(head, config.trusted_proxies),
    }
}

#[cfg(test)]
mod tests;
