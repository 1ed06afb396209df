//! What a shop calls things: the definition that says which members of an
//! event, and which attributes of a record, mean something to enrichment.

mod customers;
mod definition;
mod fields;
mod members;
mod orders;
mod written_orders;

pub(crate) use customers::CustomerStatement;
pub use definition::BUILT_IN;
pub(crate) use definition::{RecordNames, ShopDefinition};
pub(crate) use members::{LookUps, NamedCurrency, ReadMembers};
