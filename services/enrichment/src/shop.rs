//! What a shop calls things: the definition that says which members of an
//! event, and which attributes of a record, mean something to enrichment.

mod definition;
mod members;

pub use definition::BUILT_IN;
pub(crate) use definition::{RecordNames, ShopDefinition};
pub(crate) use members::{EventMembers, LookUps};
