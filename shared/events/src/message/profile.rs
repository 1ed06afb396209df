//! What is known of a customer.

use std::collections::BTreeMap;

use bytes::Bytes;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use tidemill_domain::{Amount, Currency, Timestamp};

use super::Message;
use crate::{
    codec::{DecodeError, Encoded, HeaderSource, JSON, check_version, inflate, name},
    contract::{BodyKind, Contract, Described},
    topology::{self, StreamName},
};

/// What is known of a customer by now. It takes the place of what was known before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileUpdate {
    /// First half of SHA-256 of `customer:` and the customer's id, in hexadecimal: who
    /// knows the id knows whose profile it is, and nobody else does.
    #[schemars(regex(pattern = "^[0-9a-f]{32}$"))]
    pub customer: String,
    /// When it was read. Of two messages about a customer, that with the higher stream
    /// sequence is right.
    pub as_of: Timestamp,
    /// Nothing where the customer was forgotten: forget what you keep of them.
    pub profile: Option<PublishedProfile>,
}

/// A customer's profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishedProfile {
    /// When the newest of their events was.
    pub last_active: Timestamp,
    /// Orders, as they were placed.
    pub orders: u64,
    /// What they come to, less what was given back; by currency, as decimals.
    pub value: BTreeMap<Currency, Amount>,
    /// Which segment the customer is in, by what the orders come to in the shop's base
    /// currency. Nothing where there are no orders, or where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// What was seen, the latest first; each product once.
    pub views: Vec<ProfileItem>,
    /// The same of what was bought.
    pub purchases: Vec<ProfileItem>,
    /// The highest first.
    pub favourite_categories: Vec<ProfileName>,
    /// The same, by the products' attribute `brand`.
    pub favourite_brands: Vec<ProfileName>,
}

/// A product that a customer saw or bought.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ProfileItem {
    /// When, the last time.
    pub at: Timestamp,
    /// The product's id.
    pub item: String,
}

/// A name, and how much speaks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileName {
    /// Of a category or a brand.
    pub name: String,
    /// A view counts as one, the cart as two, an order as three.
    pub weight: u64,
}

impl Message for ProfileUpdate {
    const STREAM: StreamName = StreamName::Profiles;
    const VERSION: u32 = 1;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        let id = format!("profile-{}-{}", self.customer, self.as_of.millis());
        Ok(Encoded::new(topology::profiles(&self.customer), id)
            .header(name::VERSION, Self::VERSION)
            .body(JSON, serde_json::to_vec(self)?.into()))
    }

    fn decode(headers: &impl HeaderSource, payload: Bytes) -> Result<Self, DecodeError> {
        check_version(headers, Self::VERSION)?;
        let update: Self = serde_json::from_slice(&inflate(headers, payload)?)?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        match update.customer.len() == 32 && update.customer.bytes().all(is_digit) {
            true => Ok(update),
            false => Err(DecodeError::Body(serde::de::Error::custom("the customer is no hash"))),
        }
    }
}

impl Described for ProfileUpdate {
    const CONTRACT: Contract = Contract {
        name: "ProfileUpdate",
        stream: Self::STREAM,
        version: Self::VERSION,
        title: "What is known of a customer",
        about: "Profiles of customers, the latest of each. A customer who was forgotten has one without a profile. The \
                same may come twice. Written by recommendation alone.",
        reading: "Follow what is known of customers",
        writing: None,
        ids: &["profile-<customer>-<milliseconds>"],
        own_headers: &[],
        body: BodyKind::Object(SchemaGenerator::subschema_for::<Self>),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_is_named_by_a_hash_alone() {
        let of = |customer: &str| {
            let update = ProfileUpdate { customer: customer.into(), as_of: Timestamp::EPOCH, profile: None };
            let encoded = update.encode().expect("encodes");
            ProfileUpdate::decode(&encoded, encoded.payload.clone()).is_ok_and(|read| read == update)
        };
        assert!(of("0123456789abcdef0123456789abcdef"));
        for wrong in ["", "c-1", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcdef0"] {
            assert!(!of(wrong), "{wrong}");
        }
    }
}
