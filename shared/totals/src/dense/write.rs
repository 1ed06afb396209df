//! Writing totals in a shape.

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{StateKind, TotalsShape};
use crate::{Measure, MeasureTotal, Totals};

impl TotalsShape {
    /// Totals as they are written in this shape. As a seed of serde, a shape
    /// reads them.
    pub fn dense<'t>(&'t self, totals: &'t Totals) -> impl Serialize + 't {
        DenseTotals { shape: self, totals }
    }
}

struct DenseTotals<'t> {
    shape: &'t TotalsShape,
    totals: &'t Totals,
}

impl Serialize for DenseTotals<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kinds = self.shape.0.iter().map(|kind| Some(*kind)).chain(std::iter::repeat(None));
        serializer.collect_seq(self.totals.0.iter().zip(kinds).map(|(total, kind)| DenseTotal { total, kind }))
    }
}

struct DenseTotal<'t> {
    total: &'t MeasureTotal,
    kind: Option<StateKind>,
}

impl Serialize for DenseTotal<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let MeasureTotal { measure, unread, rounded, converted, unconverted } = self.total;
        let state = DenseState { measure, kind: self.kind };
        let gaps = [("unread", *unread), ("rounded", *rounded), ("unconverted", *unconverted)];
        if state.is_short() && converted.is_none() && gaps.iter().all(|(_, count)| *count == 0) {
            return state.serialize(serializer);
        }
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("state", &state)?;
        for (name, count) in gaps.iter().filter(|(_, count)| *count > 0) {
            members.serialize_entry(name, count)?;
        }
        if let Some(converted) = converted {
            members.serialize_entry("base", &converted.base)?;
            members.serialize_entry("rows", &converted.rows)?;
            if let Some(measure) = &converted.state {
                members.serialize_entry("in_base", &DenseState { measure, kind: self.kind })?;
            }
        }
        members.end()
    }
}

struct DenseState<'t> {
    measure: &'t Measure,
    kind: Option<StateKind>,
}

impl DenseState<'_> {
    fn is_short(&self) -> bool {
        self.kind == Some(StateKind::of(self.measure))
    }
}

impl Serialize for DenseState<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.is_short() {
            return self.measure.serialize(serializer);
        }
        match self.measure {
            Measure::Count(n) | Measure::DistinctKeyed(n) => n.serialize(serializer),
            Measure::Sum(sum) => sum.serialize(serializer),
            Measure::Min(extreme) | Measure::Max(extreme) => extreme.serialize(serializer),
            Measure::Average { sum, count } => (sum, count).serialize(serializer),
            Measure::DistinctSketch(set) => set.serialize(serializer),
            Measure::Quantile { sketch, .. } => [sketch].serialize(serializer),
        }
    }
}
