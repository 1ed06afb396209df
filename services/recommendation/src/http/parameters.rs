//! What a request may ask for.

use axum::extract::{Query, rejection::QueryRejection};
use serde::{Deserialize, Deserializer, de::Error as _};
use tidemill_recommender::MAX_ITEM_BYTES;
use utoipa::IntoParams;

use crate::{
    error::Error,
    learning::VisitorId,
    recommend::{ListWanted, VisitAsked},
};

const DEFAULT_N: usize = 20;
const MAX_N: usize = 100;
/// Items of a visit that a caller may name.
const MAX_ITEMS: usize = 50;
/// Bytes of an id, or of a category.
const MAX_ID_BYTES: usize = 400;

/// How many items an answer has at most.
#[derive(Debug, Clone, Copy)]
struct ItemCount(usize);

impl Default for ItemCount {
    fn default() -> Self {
        Self(DEFAULT_N)
    }
}

impl<'de> Deserialize<'de> for ItemCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.parse() {
            Ok(n @ 1..=MAX_N) => Ok(Self(n)),
            _ => Err(D::Error::custom(format!("n must be 1 to {MAX_N}"))),
        }
    }
}

/// What is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Excluded {
    /// What the customer has bought.
    Purchased,
}

/// Of every list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ShelfParameters {
    /// Items at most; 20 without it.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    n: ItemCount,
    /// Of this category alone.
    category: Option<String>,
}

/// Of recommendations for a visit.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct VisitParameters {
    /// Whose visit it is.
    customer: Option<String>,
    /// The visit's id: of somebody who is not known as a customer, or beside one.
    session: Option<String>,
    /// What the visitor looks at, by ids with commas between them, the latest last; 50 at
    /// most. It is taken to come behind what is known of the visit. The latest is not
    /// recommended; earlier ones may be, for visitors go back to what they saw.
    items: Option<String>,
    /// Items at most; 20 without it.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    n: ItemCount,
    /// Of this category alone.
    category: Option<String>,
    /// `purchased`: without what the customer has bought lately.
    #[param(value_type = Option<String>)]
    exclude: Option<Excluded>,
}

/// Of a customer's profile, which has none: who gives one may mean something by it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileParameters {}

impl ShelfParameters {
    pub(super) fn wanted(self) -> Result<ListWanted, Error> {
        wanted(self.n, self.category)
    }
}

impl VisitParameters {
    /// The visit, and what is wanted for it; and whose purchases are to be left out.
    pub(super) fn read(self) -> Result<(VisitAsked, ListWanted, Option<VisitorId>), Error> {
        let Self { customer, session, items, n, category, exclude } = self;
        let customer = id("customer", customer)?.map(|id| VisitorId::customer(&id));
        let session = id("session", session)?.map(|id| VisitorId::session(&id));
        let items: Vec<String> = match items {
            Some(items) => items.split(',').map(item).collect::<Result<_, Error>>()?,
            None => Vec::new(),
        };
        if items.len() > MAX_ITEMS {
            return Err(Error::Parameter(format!("items names more than {MAX_ITEMS}")));
        }
        let whose = exclude.and(customer);
        if exclude.is_some() && whose.is_none() {
            return Err(Error::Parameter("exclude=purchased needs a customer".into()));
        }
        Ok((VisitAsked { customer, session, items }, wanted(n, category)?, whose))
    }
}

fn wanted(n: ItemCount, category: Option<String>) -> Result<ListWanted, Error> {
    Ok(ListWanted { n: n.0, category: id("category", category)?, ..ListWanted::default() })
}

/// A name that is asked for.
pub(super) fn id(name: &str, given: Option<String>) -> Result<Option<String>, Error> {
    match given {
        Some(given) if given.is_empty() || given.len() > MAX_ID_BYTES => {
            Err(Error::Parameter(format!("{name} must have 1 to {MAX_ID_BYTES} bytes")))
        }
        given => Ok(given),
    }
}

/// An item's id.
pub(super) fn item(given: &str) -> Result<String, Error> {
    match given.len() {
        1..=MAX_ITEM_BYTES => Ok(given.to_owned()),
        _ => Err(Error::Parameter(format!("an item's id has 1 to {MAX_ITEM_BYTES} bytes"))),
    }
}

/// The parameters of a request; unknown ones are refused.
pub(super) fn given<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Error> {
    query.map(|Query(given)| given).map_err(|rejection| Error::Parameter(rejection.body_text()))
}
