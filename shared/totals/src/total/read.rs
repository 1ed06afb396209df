//! Reads a total in one pass. serde's derived reader keeps all members aside
//! first, since one of them tells what another is.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
};
use tidemill_domain::Amount;

use super::MeasureTotal;
use crate::Measure;

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum TotalMember {
    Kind,
    State,
    Unread,
    Rounded,
    Converted,
    Unconverted,
    #[serde(other)]
    Other,
}

/// What a state is of: it is read accordingly.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MeasureName {
    Count,
    Sum,
    Min,
    Max,
    Average,
    DistinctKeyed,
    DistinctSketch,
    Quantile,
}

impl<'de> DeserializeSeed<'de> for MeasureName {
    type Value = Measure;

    fn deserialize<D: Deserializer<'de>>(self, state: D) -> Result<Measure, D::Error> {
        #[derive(Deserialize)]
        struct Average {
            sum: Amount,
            count: u64,
        }
        #[derive(Deserialize)]
        struct Quantile {
            per_mille: u16,
            sketch: crate::QuantileSketch,
        }
        Ok(match self {
            Self::Count => Measure::Count(u64::deserialize(state)?),
            Self::Sum => Measure::Sum(Amount::deserialize(state)?),
            Self::Min => Measure::Min(Option::deserialize(state)?),
            Self::Max => Measure::Max(Option::deserialize(state)?),
            Self::Average => {
                let Average { sum, count } = Average::deserialize(state)?;
                Measure::Average { sum, count }
            }
            Self::DistinctKeyed => Measure::DistinctKeyed(u64::deserialize(state)?),
            Self::DistinctSketch => Measure::DistinctSketch(crate::Distinct::deserialize(state)?),
            Self::Quantile => {
                let Quantile { per_mille, sketch } = Quantile::deserialize(state)?;
                Measure::Quantile { per_mille, sketch }
            }
        })
    }
}

impl<'de> Deserialize<'de> for MeasureTotal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TotalVisitor)
    }
}

struct TotalVisitor;

impl<'de> Visitor<'de> for TotalVisitor {
    type Value = MeasureTotal;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a total of a measure")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<MeasureTotal, M::Error> {
        let (mut kind, mut measure, mut early) = (None::<MeasureName>, None, None::<serde_json::Value>);
        let (mut unread, mut rounded, mut converted, mut unconverted) = (0, 0, None, 0);
        while let Some(member) = members.next_key()? {
            match member {
                TotalMember::Kind => kind = Some(members.next_value()?),
                TotalMember::State => match kind {
                    Some(kind) => measure = Some(members.next_value_seed(kind)?),
                    // As it is not written, but as JSON may be.
                    None => early = Some(members.next_value()?),
                },
                TotalMember::Unread => unread = members.next_value()?,
                TotalMember::Rounded => rounded = members.next_value()?,
                TotalMember::Converted => converted = members.next_value()?,
                TotalMember::Unconverted => unconverted = members.next_value()?,
                TotalMember::Other => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        let kind = kind.ok_or_else(|| M::Error::missing_field("kind"))?;
        let measure = match (measure, early) {
            (Some(measure), _) => measure,
            (None, Some(state)) => kind.deserialize(state).map_err(M::Error::custom)?,
            (None, None) => return Err(M::Error::missing_field("state")),
        };
        Ok(MeasureTotal { measure, unread, rounded, converted, unconverted })
    }
}
