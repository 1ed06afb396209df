//! One event: a line of a batch, in CloudEvents' JSON format.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, collections::BTreeMap, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de::Visitor};
use serde_json::value::RawValue;
use tidemill_domain::{Currency, Timestamp};

pub use crate::lines::lines;
use crate::{
    borrowed::{self, BorrowedText},
    item::ItemFacts,
    order::{LineFacts, OrderFacts},
    trace::TraceParent,
};

/// An event as it stands in a batch: borrowed from the line, read in one pass,
/// with `data` left as text for whoever needs it.
///
/// A line in a batch has passed ingestion, so `id`, `source`, `type` and
/// `time` are there. It has no blanks but in texts, and no member twice; and these four
/// have escapes only where they need them. So who looks for the bytes `"type":"a.b"` in
/// a line misses no event of that type (`docs/adr/0037-an-event-stays-as-it-was-sent.md`).
///
/// `E` is what enrichment added: who only reads takes an
/// [`EnrichmentRef`](crate::EnrichmentRef).
#[derive(Debug, Clone, Deserialize)]
#[serde(bound(deserialize = "E: Deserialize<'de>"))]
pub struct EventRef<'a, E = Enrichment> {
    /// Identifier, unique within the source.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// Who produced it.
    #[serde(borrow)]
    pub source: Cow<'a, str>,
    /// What happened.
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    /// When it happened.
    pub time: Timestamp,
    /// What it is about; for a shop, the customer.
    #[serde(borrow, default, deserialize_with = "borrowed::optional")]
    pub subject: Option<Cow<'a, str>>,
    /// What decides its partition, where given.
    #[serde(borrow, default, deserialize_with = "borrowed::optional")]
    pub partitionkey: Option<Cow<'a, str>>,
    /// W3C trace context (CloudEvents distributed tracing extension).
    #[serde(borrow, default, deserialize_with = "borrowed::optional")]
    pub traceparent: Option<Cow<'a, str>>,
    /// The sender's address, as ingestion saw it or the sender gave it.
    #[serde(borrow, default, deserialize_with = "borrowed::optional")]
    pub clientip: Option<Cow<'a, str>>,
    /// The name of the history that it belongs to: it is not late, and says nothing of
    /// how far its source has come.
    #[serde(borrow, default, deserialize_with = "text")]
    pub backfill: Option<Cow<'a, str>>,
    /// The attribute that ingestion left out, since it could not be read.
    #[serde(borrow, default, deserialize_with = "text")]
    pub unread: Option<Cow<'a, str>>,
    /// The request that sent it again, if it was in a dead letter.
    #[serde(borrow, default, deserialize_with = "text")]
    pub redriven: Option<Cow<'a, str>>,
    /// The payload.
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
    /// What enrichment added; absent in `RAW`.
    #[serde(default)]
    pub enriched: Option<E>,
}

/// A text; what is something else says nothing. Before such an attribute had a
/// meaning, a sender may have used its name for anything.
fn text<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'a, str>>, D::Error> {
    struct TextVisitor;

    impl<'de> Visitor<'de> for TextVisitor {
        type Value = Option<Cow<'de, str>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an attribute")
        }

        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(Some(Cow::Borrowed(text)))
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(Cow::Owned(text.to_owned())))
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(TextVisitor)
}

/// The flags that this release knows: a newer one may write others, and the event goes
/// on all the same.
fn known_flags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<QualityFlag>, D::Error> {
    let names = Vec::<BorrowedText<'de>>::deserialize(deserializer)?;
    Ok(names.iter().filter_map(|name| QualityFlag::ALL.into_iter().find(|flag| flag.as_str() == name.0)).collect())
}

impl<'a, E: Deserialize<'a>> EventRef<'a, E> {
    /// Reads a line.
    pub fn read(line: &'a [u8]) -> Result<Self, serde_json::Error> {
        match str::from_utf8(line) {
            // Looking at all of it once is cheaper than at each text in it.
            Ok(text) => serde_json::from_str(text),
            // What is not looked at may be anything.
            Err(_) => serde_json::from_slice(line),
        }
    }
}

impl<E> EventRef<'_, E> {
    /// The key that decides the event's partition: `partitionkey`, else
    /// `subject`, else `source`. Ingestion adds a `partitionkey` where the
    /// event's schema marks a member as that.
    pub fn partition_key(&self) -> &str {
        self.partitionkey.as_deref().or(self.subject.as_deref()).unwrap_or(&self.source)
    }
}

/// What enrichment knows of an event. The join is as of the event's time; the
/// version says with which state of the reference data it was made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Enrichment {
    /// Version of the reference data: its number of accepted changes.
    pub refdata: u64,
    /// The same source and id stand earlier in the partition, within the
    /// horizon; or the same business key does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// A duplicate by its business key: another id or source has told of the
    /// same order before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// What the event is about, where its type has a business key: a hash that all
    /// who tell of it share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{32}$"))]
    pub about: Option<String>,
    /// Sales region of `country`, `Unknown` where there is none.
    pub region: String,
    /// Country of the customer: ISO 3166-1 alpha-2; by profile, else by the
    /// event itself, else by address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = "^[A-Z]{2}$"))]
    pub country: Option<String>,
    /// Country of the sender's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = "^[A-Z]{2}$"))]
    pub ip_country: Option<String>,
    /// Currency of the event's amounts: as it says, else the shop's base
    /// currency. None where it says something that is no currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Currency")]
    pub currency: Option<Currency>,
    /// Units of `base` for one of `currency`, as a decimal, as of the event's
    /// time. None in the base currency, and where no rate is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub rate: Option<String>,
    /// The shop's base currency, beside `rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Currency")]
    pub base: Option<Currency>,
    /// Attributes of the customer's profile.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub customer: BTreeMap<String, String>,
    /// One per item of the event, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemFacts>,
    /// The order that the event places or changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OrderFacts")]
    pub order: Option<OrderFacts>,
    /// Its lines, as the event places or changes them: of an order that is placed
    /// one per item, in their order, at first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LineFacts>,
    /// What was missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "known_flags")]
    pub quality: Vec<QualityFlag>,
}

/// How amounts of an event become amounts in the shop's base currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversion<'e> {
    /// The base currency.
    pub base: Currency,
    /// What they are multiplied by; `None` where they are in it already.
    pub rate: Option<&'e str>,
}

impl<'e> Conversion<'e> {
    /// From what enrichment tells: `None` where nobody knows how.
    pub(crate) fn of(
        base: Option<Currency>,
        rate: Option<&'e str>,
        currency: Option<Currency>,
        is_rate_unknown: bool,
    ) -> Option<Self> {
        match (base, rate) {
            (Some(base), Some(rate)) => Some(Self { base, rate: Some(rate) }),
            (None, None) if !is_rate_unknown => Some(Self { base: currency?, rate: None }),
            _ => None,
        }
    }
}

impl Enrichment {
    /// How the event's amounts are converted; `None` where nobody knows.
    pub fn conversion(&self) -> Option<Conversion<'_>> {
        let is_rate_unknown = self.quality.contains(&QualityFlag::RateUnknown);
        Conversion::of(self.base, self.rate.as_deref(), self.currency, is_rate_unknown)
    }
}

/// A gap in the enrichment. The event goes on all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QualityFlag {
    /// No profile for the customer.
    CustomerUnknown,
    /// No metadata for a product.
    ProductUnknown,
    /// No country by any means.
    CountryUnknown,
    /// Ingestion left an attribute out that could not be read: the event's `unread`
    /// names it.
    AttributeUnread,
    /// What stands where the currency should be is none.
    CurrencyUnknown,
    /// No rate from the event's currency to the base currency.
    RateUnknown,
    /// It refers to an order that is not remembered.
    OrderUnknown,
    /// Its currency is not that of the order that it refers to.
    CurrencyDiffers,
    /// It came before the order that it refers to, and after too much else that did:
    /// it is not remembered, and the order does not take it to its lines.
    OrderUnfollowed,
}

impl QualityFlag {
    pub(crate) const ALL: [Self; 9] = [
        Self::CustomerUnknown,
        Self::ProductUnknown,
        Self::CountryUnknown,
        Self::AttributeUnread,
        Self::CurrencyUnknown,
        Self::RateUnknown,
        Self::OrderUnknown,
        Self::CurrencyDiffers,
        Self::OrderUnfollowed,
    ];

    /// The flag's name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CustomerUnknown => "customer_unknown",
            Self::ProductUnknown => "product_unknown",
            Self::CountryUnknown => "country_unknown",
            Self::AttributeUnread => "attribute_unread",
            Self::CurrencyUnknown => "currency_unknown",
            Self::RateUnknown => "rate_unknown",
            Self::OrderUnknown => "order_unknown",
            Self::CurrencyDiffers => "currency_differs",
            Self::OrderUnfollowed => "order_unfollowed",
        }
    }
}

/// A line of a batch as it is documented. What code needs of it is an
/// [`EventRef`].
pub(crate) struct Event;

/// A line of an enriched batch, as it is documented.
pub(crate) struct EnrichedEvent;

impl JsonSchema for Event {
    fn schema_name() -> Cow<'static, str> {
        "Event".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A CloudEvents 1.0 event in the JSON format, valid by the schema of its type. Extensions \
                stand beside the attributes.",
            "type": "object",
            "required": ["specversion", "id", "source", "type", "time"],
            "properties": {
                "specversion": { "type": "string", "const": "1.0" },
                "id": { "type": "string", "minLength": 1, "maxLength": 200 },
                "source": { "type": "string", "minLength": 1, "maxLength": 200 },
                "type": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,100}$" },
                "time": { "type": "string", "format": "date-time" },
                "devicetime": { "type": "string", "format": "date-time",
                    "description": "The time that the sender told by a wrong clock; `time` is put right." },
                "subject": { "type": "string", "description": "What it is about; for a shop, the customer." },
                "partitionkey": { "type": "string", "description": "What decides its partition. Ingestion gives it \
                    to an event whose schema marks a member as that." },
                "traceparent": generator.subschema_for::<TraceParent>(),
                "clientip": { "type": "string", "description": "The address of the sender." },
                "backfill": { "type": "string", "minLength": 1, "maxLength": 100,
                    "description": "The name of the history that it belongs to: it is not late, and moves no clock." },
                "redriven": { "type": "string", "format": "uuid",
                    "description": "The request that sent it again, if it was in a dead letter." },
                "unread": { "type": "string",
                    "description": "The name of an attribute that could not be read and was left out." },
                "datacontenttype": { "type": "string" },
                "data_base64": { "type": "string", "contentEncoding": "base64" },
                "data": { "description": "The payload." }
            },
            "additionalProperties": { "type": ["string", "boolean", "integer"] }
        })
    }
}

impl JsonSchema for EnrichedEvent {
    fn schema_name() -> Cow<'static, str> {
        "EnrichedEvent".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Event::json_schema(generator).to_value();
        schema["description"] = "As `Event`, with the member that enrichment adds.".into();
        schema["required"].as_array_mut().into_iter().for_each(|required| required.push("enriched".into()));
        schema["properties"]["enriched"] = generator.subschema_for::<Enrichment>().to_value();
        schema.try_into().unwrap_or_default()
    }
}

/// A line with an `"enriched"` member spliced in before its closing brace:
/// cheaper than writing the event again, and what came stays as it came.
/// `line` must be a JSON object with at least one member, as events are, and `enrichment`
/// is written as an [`Enrichment`] is.
pub fn splice_enrichment(line: &[u8], enrichment: &impl Serialize, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let end = line.iter().rposition(|b| *b == b'}').unwrap_or(line.len());
    out.extend_from_slice(&line[..end]);
    out.extend_from_slice(b",\"enriched\":");
    serde_json::to_writer(&mut *out, enrichment)?;
    out.extend_from_slice(b"}\n");
    Ok(())
}
