//! Reads the parameters of a request.

use std::{fmt::Display, str::FromStr};

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    dead_letters::MAX_SEQUENCE,
    error::Error,
    parameters::{self, ParameterPairs, wrong},
};

const DEFAULT_LIMIT: u16 = 50;
const MAX_LIMIT: u16 = 500;

/// The parameters that `T` declares; any other is refused.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned + Default, S: Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let (read, errors) = parameters::read(&pairs(parts)?, parameters::unknown);
        if errors.is_empty() { Ok(Self(read)) } else { Err(Error::Parameters(errors)) }
    }
}

/// Of a route that has no parameters.
#[derive(Debug, Default, Deserialize)]
pub(super) struct NoParameters {}

/// Parameters as they came. Which of them are known depends on the metric.
pub(super) struct AnyParameters(pub(super) ParameterPairs);

impl<S: Sync> FromRequestParts<S> for AnyParameters {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        pairs(parts).map(Self)
    }
}

fn pairs(parts: &Parts) -> Result<ParameterPairs, Error> {
    match Query::try_from_uri(&parts.uri) {
        Ok(Query(pairs)) => Ok(pairs),
        Err(rejection) => Err(Error::Parameters(vec![wrong("", rejection.body_text())])),
    }
}

/// A part of the path, in its type.
pub(super) fn path_parameter<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|error: T::Err| Error::Parameters(vec![wrong(name, error.to_string())]))
}

/// How many rows a page may have.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u16")]
pub(super) struct PageSize(pub(super) u16);

impl Default for PageSize {
    fn default() -> Self {
        Self(DEFAULT_LIMIT)
    }
}

impl TryFrom<u16> for PageSize {
    type Error = String;

    fn try_from(limit: u16) -> Result<Self, String> {
        match limit {
            1..=MAX_LIMIT => Ok(Self(limit)),
            _ => Err(format!("must be between 1 and {MAX_LIMIT}")),
        }
    }
}

/// A sequence of a letter or a number of an action, as the store can hold it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
pub(super) struct StoredNumber(pub(super) u64);

impl TryFrom<u64> for StoredNumber {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        if number > MAX_SEQUENCE { Err(format!("must be at most {MAX_SEQUENCE}")) } else { Ok(Self(number)) }
    }
}
