//! Reading totals in a shape.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value},
};
use tidemill_domain::{Amount, Currency};

use super::{StateKind, TotalsShape};
use crate::{Converted, Distinct, Measure, MeasureTotal, QuantileSketch, Totals};

impl<'de> DeserializeSeed<'de> for &TotalsShape {
    type Value = Totals;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Totals, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &TotalsShape {
    type Value = Totals;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("totals in an array")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Totals, S::Error> {
        let mut totals = Vec::with_capacity(self.0.len());
        while let Some(total) = items.next_element_seed(TotalOf(self.0.get(totals.len()).copied()))? {
            totals.push(total);
        }
        Ok(Totals(totals))
    }
}

/// A total: its state, or an object.
struct TotalOf(Option<StateKind>);

impl<'de> DeserializeSeed<'de> for TotalOf {
    type Value = MeasureTotal;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<MeasureTotal, D::Error> {
        deserializer.deserialize_any(self)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum DenseMember {
    State,
    Unread,
    Rounded,
    Unconverted,
    Base,
    Rows,
    InBase,
    #[serde(other)]
    Other,
}

impl<'de> Visitor<'de> for TotalOf {
    type Value = MeasureTotal;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a total in its shape")
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<MeasureTotal, E> {
        StateOf(self.0).visit_u64(n).map(MeasureTotal::from)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<MeasureTotal, E> {
        StateOf(self.0).visit_str(text).map(MeasureTotal::from)
    }

    fn visit_unit<E: Error>(self) -> Result<MeasureTotal, E> {
        StateOf(self.0).visit_unit().map(MeasureTotal::from)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, items: S) -> Result<MeasureTotal, S::Error> {
        StateOf(self.0).visit_seq(items).map(MeasureTotal::from)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<MeasureTotal, M::Error> {
        let (mut state, mut in_base) = (None, None);
        let (mut unread, mut rounded, mut unconverted) = (0, 0, 0);
        let (mut base, mut rows) = (None::<Currency>, 0);
        while let Some(member) = members.next_key()? {
            match member {
                DenseMember::State => state = Some(members.next_value_seed(StateOf(self.0))?),
                DenseMember::Unread => unread = members.next_value()?,
                DenseMember::Rounded => rounded = members.next_value()?,
                DenseMember::Unconverted => unconverted = members.next_value()?,
                DenseMember::Base => base = Some(members.next_value()?),
                DenseMember::Rows => rows = members.next_value()?,
                DenseMember::InBase => in_base = Some(members.next_value_seed(StateOf(self.0))?),
                DenseMember::Other => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        let measure = state.ok_or_else(|| M::Error::missing_field("state"))?;
        let converted = base.map(|base| Converted { base, rows, state: in_base });
        Ok(MeasureTotal { measure, unread, rounded, converted, unconverted })
    }
}

/// A state: of the shape's kind, or an object that names its own.
struct StateOf(Option<StateKind>);

impl<'de> DeserializeSeed<'de> for StateOf {
    type Value = Measure;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Measure, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StateOf {
    type Value = Measure;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(kind) => write!(f, "a state of the kind {kind:?}"),
            None => f.write_str("a state that names its kind"),
        }
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<Measure, E> {
        match self.0 {
            Some(StateKind::Count) => Ok(Measure::Count(n)),
            Some(StateKind::DistinctKeyed) => Ok(Measure::DistinctKeyed(n)),
            _ => Err(E::invalid_type(serde::de::Unexpected::Unsigned(n), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Measure, E> {
        let amount = || Amount::deserialize(value::StrDeserializer::<E>::new(text));
        match self.0 {
            Some(StateKind::Sum) => amount().map(Measure::Sum),
            Some(StateKind::Min) => amount().map(|least| Measure::Min(Some(least))),
            Some(StateKind::Max) => amount().map(|greatest| Measure::Max(Some(greatest))),
            _ => Err(E::invalid_type(serde::de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<Measure, E> {
        match self.0 {
            Some(StateKind::Min) => Ok(Measure::Min(None)),
            Some(StateKind::Max) => Ok(Measure::Max(None)),
            _ => Err(E::invalid_type(serde::de::Unexpected::Unit, &self)),
        }
    }

    fn visit_seq<S: SeqAccess<'de>>(self, items: S) -> Result<Measure, S::Error> {
        let items = value::SeqAccessDeserializer::new(items);
        match self.0 {
            Some(StateKind::Average) => {
                <(Amount, u64)>::deserialize(items).map(|(sum, count)| Measure::Average { sum, count })
            }
            Some(StateKind::DistinctSketch) => Distinct::deserialize(items).map(Measure::DistinctSketch),
            Some(StateKind::Quantile(per_mille)) => {
                let [sketch] = <[QuantileSketch; 1]>::deserialize(items)?;
                Ok(Measure::Quantile { per_mille, sketch })
            }
            _ => Err(S::Error::invalid_type(serde::de::Unexpected::Seq, &self)),
        }
    }

    fn visit_map<M: MapAccess<'de>>(self, members: M) -> Result<Measure, M::Error> {
        Measure::deserialize(value::MapAccessDeserializer::new(members))
    }
}
