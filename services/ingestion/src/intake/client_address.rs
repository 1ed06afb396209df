//! Where a request comes from.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddrV4},
};

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

/// The address in a text, as programs and proxies write one: with a port, with a
/// zone, in brackets, or with further ones behind it, of which the first is the
/// client's.
pub(super) fn read(text: &str) -> Option<IpAddr> {
    text.split(',').find_map(read_one)
}

fn read_one(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let plain = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?.0,
        None => text,
    };
    let plain = plain.split_once('%').map_or(plain, |(address, _zone)| address);
    let with_port = || plain.parse::<SocketAddrV4>().ok().map(|address| IpAddr::from(*address.ip()));
    plain.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests;
