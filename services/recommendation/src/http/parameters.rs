//! What a request may ask for.

use axum::{extract::Query, http::Uri};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use tidemill_recommender::MAX_ITEM_BYTES;
use tidemill_service::parameters::{self, Given};
use utoipa::{IntoParams, ToSchema};

use crate::{
    error::Error,
    learning::{MAX_VISITOR_BYTES, VisitorId},
    recommend::{ListWanted, VisitAsked},
};

const DEFAULT_N: usize = 20;
const MAX_N: usize = 100;
/// Items of a visit that a caller may name.
const MAX_ITEMS: usize = 50;
/// Bytes of an id, or of a category.
const MAX_ID_BYTES: usize = MAX_VISITOR_BYTES;

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
            _ => Err(D::Error::custom(format!("must be 1 to {MAX_N}"))),
        }
    }
}

/// What is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
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
    /// Of this category alone; 400 bytes at most.
    #[param(min_length = 1, max_length = 400)]
    category: Option<String>,
}

/// Of recommendations for a visit.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct VisitParameters {
    /// Whose visit it is; 400 bytes at most.
    #[param(min_length = 1, max_length = 400)]
    customer: Option<String>,
    /// The visit's id: of somebody who is not known as a customer, or beside one; 400 bytes
    /// at most.
    #[param(min_length = 1, max_length = 400)]
    session: Option<String>,
    /// What the visitor looks at, by ids with commas between them, the latest last; 50 at
    /// most, with those of `item`, which come behind them; 256 bytes each at most. It is
    /// taken to come behind what is known of the visit. The latest is not recommended;
    /// earlier ones may be, for visitors go back to what they saw.
    items: Option<String>,
    /// Items at most; 20 without it.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    n: ItemCount,
    /// Of this category alone; 400 bytes at most.
    #[param(min_length = 1, max_length = 400)]
    category: Option<String>,
    /// `purchased`: without what the customer has bought lately.
    #[param(inline)]
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
    /// Of a query; `item` may be there several times, and stands for one id each.
    pub(super) fn of(query: Option<&str>) -> Result<(Self, Vec<String>), Error> {
        let (named, others): (Vec<&str>, Vec<&str>) =
            query.unwrap_or_default().split('&').partition(|part| is_item(part));
        let named: Vec<(String, String)> = parsed(&named)?;
        // The others do not know it.
        let with_item = |error| match error {
            Error::Parameter(told) => Error::Parameter(told.replace("`items`, ", "`items`, `item`, ")),
            error => error,
        };
        Ok((parsed(&others).map_err(with_item)?, named.into_iter().map(|(_, id)| id).collect()))
    }

    /// The visit, and what is wanted for it; and whose purchases are to be left out.
    pub(super) fn read(self, named: &[String]) -> Result<(VisitAsked, ListWanted, Option<VisitorId>), Error> {
        let Self { customer, session, items, n, category, exclude } = self;
        let customer = id("customer", customer)?.map(|id| VisitorId::customer(&id));
        let session = id("session", session)?.map(|id| VisitorId::session(&id));
        let of_list = items.as_deref().map(|items| items.split(',')).into_iter().flatten();
        let items: Vec<String> =
            of_list.chain(named.iter().map(String::as_str)).map(item).collect::<Result<_, Error>>()?;
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

/// Whether a part of a query is one `item`, however its name is written.
fn is_item(part: &str) -> bool {
    let name = part.split_once('=').map_or(part, |(name, _)| name);
    let decoded = || parsed::<Vec<(String, String)>>(&[name]).ok()?.pop().map(|(name, _)| name);
    name == "item" || (name.contains('%') && decoded().as_deref() == Some("item"))
}

fn parsed<T: DeserializeOwned>(parts: &[&str]) -> Result<T, Error> {
    let uri: Result<Uri, _> = format!("/?{}", parts.join("&")).parse();
    let uri = uri.map_err(|error| Error::Parameter(error.to_string()))?;
    given(Query::try_from_uri(&uri))
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
pub(super) fn given<T>(query: Given<T>) -> Result<T, Error> {
    parameters::given(query).map_err(Error::Parameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(query: &str) -> Result<Vec<String>, String> {
        let read = VisitParameters::of(Some(query)).and_then(|(given, named)| given.read(&named));
        read.map(|(visit, _, _)| visit.items).map_err(|error| error.to_string())
    }

    #[test]
    fn an_id_with_a_comma_is_named_by_itself() {
        assert_eq!(items("items=a,b&n=3").as_deref(), Ok(&["a", "b"].map(str::to_owned)[..]));
        let named = items("item=a%2Cb&customer=c&item=d%26+e&items=x");
        assert_eq!(named.as_deref(), Ok(&["x", "a,b", "d& e"].map(str::to_owned)[..]));
        assert_eq!(items("").as_deref(), Ok(&[][..]));
        for wrong in ["item=", "colour=red", "items=a,,b", "n=0"] {
            assert!(items(wrong).is_err(), "{wrong}");
        }
        assert_eq!(items("n=0"), Err("n: must be 1 to 100".into()));
        assert_eq!(items("%69tem=a&ite%6D=b%2C").as_deref(), Ok(&["a", "b,"].map(str::to_owned)[..]));
        assert_eq!(items("item"), items("item="));
        let known = "`customer`, `session`, `items`, `item`, `n`, `category` and `exclude`";
        assert_eq!(items("itemz=1"), Err(format!("there is no parameter `itemz`; there are {known}")));
        let many = vec!["item=a"; MAX_ITEMS + 1].join("&");
        assert!(items(&many).is_err());
    }
}
