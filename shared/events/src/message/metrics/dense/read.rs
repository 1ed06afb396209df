//! Reading cells.

use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value::SeqAccessDeserializer},
};
use tidemill_domain::Timestamp;
use tidemill_totals::TotalsShape;

use super::{CellRemarks, MetricEntry};
use crate::message::metrics::cell::{CellGroup, CellMetric, CellUpdate};

/// Of this version of the message, or of version 1.
pub(in crate::message::metrics) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<CellUpdate>, D::Error> {
    deserializer.deserialize_any(CellsVisitor)
}

struct CellsVisitor;

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum TablesMember {
    Metrics,
    Texts,
    Cells,
    #[serde(other)]
    Other,
}

impl<'de> Visitor<'de> for CellsVisitor {
    type Value = Vec<CellUpdate>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cells with their tables")
    }

    /// As version 1 has them.
    fn visit_seq<S: SeqAccess<'de>>(self, items: S) -> Result<Vec<CellUpdate>, S::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(items))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Vec<CellUpdate>, M::Error> {
        let (mut metrics, mut texts, mut cells) = (None, None, None);
        while let Some(member) = members.next_key()? {
            match member {
                TablesMember::Metrics => {
                    metrics = Some(known_metrics(members.next_value()?).map_err(M::Error::custom)?)
                }
                TablesMember::Texts => texts = Some(members.next_value_seed(TextsSeed)?),
                TablesMember::Cells => {
                    let tables = metrics.as_deref().zip(texts.as_deref());
                    let (metrics, texts) =
                        tables.ok_or_else(|| M::Error::custom("`cells` stands before its tables"))?;
                    cells = Some(members.next_value_seed(CellsSeed { metrics, texts })?);
                }
                TablesMember::Other => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        cells.ok_or_else(|| M::Error::missing_field("cells"))
    }
}

type KnownMetric = (Arc<CellMetric>, TotalsShape);

fn known_metrics(entries: Vec<MetricEntry<'_>>) -> Result<Vec<KnownMetric>, &'static str> {
    let known = |MetricEntry { metric, version, dimensions, states }: MetricEntry<'_>| {
        if !dimensions.is_sorted_by(|a, b| a < b) {
            return Err("dimensions that are not in the order of their names");
        }
        let (name, version) = (metric.into_owned(), version.into_owned());
        Ok((Arc::new(CellMetric { name, version, dimensions: dimensions.into_owned() }), states))
    };
    entries.into_iter().map(known).collect()
}

struct TextsSeed;

impl<'de> DeserializeSeed<'de> for TextsSeed {
    type Value = Vec<Arc<str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let texts = Vec::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Ok(texts.into_iter().map(Arc::from).collect())
    }
}

/// Reads all cells.
struct CellsSeed<'t> {
    metrics: &'t [KnownMetric],
    texts: &'t [Arc<str>],
}

impl<'de> DeserializeSeed<'de> for CellsSeed<'_> {
    type Value = Vec<CellUpdate>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for CellsSeed<'_> {
    type Value = Vec<CellUpdate>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cells")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Self::Value, S::Error> {
        let (mut cells, mut values) = (Vec::new(), Vec::new());
        while let Some(cell) = items.next_element_seed(CellSeed { tables: &self, values: &mut values })? {
            cells.push(cell);
        }
        Ok(cells)
    }
}

/// Reads a cell; `values` is empty in between.
struct CellSeed<'t, 'v> {
    tables: &'t CellsSeed<'t>,
    values: &'v mut Vec<Arc<str>>,
}

impl<'de> DeserializeSeed<'de> for CellSeed<'_, '_> {
    type Value = CellUpdate;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<CellUpdate, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for CellSeed<'_, '_> {
    type Value = CellUpdate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("metric, start, length, values and totals of a cell")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<CellUpdate, S::Error> {
        let CellSeed { tables: CellsSeed { metrics, texts }, values } = self;
        let missing = |place| move || S::Error::invalid_length(place, &"five items or six");
        let place: usize = items.next_element()?.ok_or_else(missing(0))?;
        let (metric, shape) = metrics.get(place).ok_or_else(|| S::Error::custom("a cell of no metric"))?;
        let start: i64 = items.next_element()?.ok_or_else(missing(1))?;
        let length: i64 = items.next_element()?.ok_or_else(missing(2))?;
        items.next_element_seed(ValuesSeed { texts, values })?.ok_or_else(missing(3))?;
        if values.len() != metric.dimensions.len() {
            return Err(S::Error::custom("a cell with another number of values than its metric has dimensions"));
        }
        let group = CellGroup { metric: Arc::clone(metric), values: values.drain(..).collect() };
        let totals = items.next_element_seed(shape)?.ok_or_else(missing(4))?;
        let CellRemarks { exemplar, retracted } = items.next_element()?.unwrap_or_default();
        let time = Timestamp::saturating_from_millis;
        Ok(CellUpdate {
            group,
            start: time(start),
            end: time(start.saturating_add(length)),
            totals,
            exemplar,
            retracted,
        })
    }
}

struct ValuesSeed<'t, 'v> {
    texts: &'t [Arc<str>],
    values: &'v mut Vec<Arc<str>>,
}

impl<'de> DeserializeSeed<'de> for ValuesSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ValuesSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("places of texts")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<(), S::Error> {
        while let Some(place) = items.next_element::<usize>()? {
            let text = self.texts.get(place).ok_or_else(|| S::Error::custom("a value of no text"))?;
            self.values.push(Arc::clone(text));
        }
        Ok(())
    }
}
