//! How much room things take in a message.

use serde::Serialize;
use tidemill_events::CellUpdate;
use tidemill_totals::{Measure, MeasureTotal};

/// Names of members, times and a trace: what a cell has beside its texts and
/// totals.
const CELL: usize = 280;
/// A state that is a number or two, which have up to 41 characters.
const NUMBERS: usize = 112;
/// A base currency, and its rows.
const BASE: usize = 64;

/// Bytes of something as JSON.
pub(super) fn of(item: &impl Serialize) -> usize {
    // What was read from JSON, and what is made of numbers, is JSON.
    serde_json::to_vec(item).map_or(0, |json| json.len())
}

/// Bytes that a cell takes at most, and a few hundred more than it does. To write
/// it out would take as long as to send it.
pub(super) fn of_cell(cell: &CellUpdate) -> usize {
    let dimensions = cell.group.dimensions().map(|(name, value)| of_text(name) + of_text(value));
    let totals = cell.totals.0.iter().map(of_total);
    CELL + of_text(cell.metric()) + of_text(cell.version()) + dimensions.sum::<usize>() + totals.sum::<usize>()
}

/// With its quotes, and the colon or comma behind.
fn of_text(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0C => 2,
        0..0x20 => 6,
        _ => 1,
    };
    3 + text.bytes().map(escaped).sum::<usize>()
}

fn of_total(total: &MeasureTotal) -> usize {
    let is_short = match &total.measure {
        Measure::Count(_) | Measure::Sum(_) | Measure::Min(_) | Measure::Max(_) => true,
        Measure::Average { .. } | Measure::DistinctKeyed(_) => true,
        Measure::DistinctSketch(_) | Measure::Quantile { .. } => false,
    };
    let is_whole = (total.unread, total.rounded, total.unconverted) == (0, 0, 0);
    match &total.converted {
        None if is_short && is_whole => NUMBERS,
        Some(converted) if is_short && is_whole && converted.state.is_none() => NUMBERS + BASE,
        _ => of(total) + 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidemill_domain::{Amount, Currency, Timestamp};
    use tidemill_events::CellGroup;
    use tidemill_totals::{Converted, Distinct, Totals};

    use super::*;

    fn total() -> impl Strategy<Value = MeasureTotal> {
        let amount = || any::<i64>().prop_map(|n| Amount::from_micros(i128::from(n)));
        let sketch = |n: u16| {
            let mut sketch = Distinct::default();
            for n in 0..n {
                sketch.insert(&n.to_string());
            }
            sketch
        };
        let measure = prop_oneof![
            any::<u64>().prop_map(Measure::Count),
            any::<u64>().prop_map(Measure::DistinctKeyed),
            amount().prop_map(Measure::Sum),
            proptest::option::of(amount()).prop_map(Measure::Min),
            (amount(), any::<u64>()).prop_map(|(sum, count)| Measure::Average { sum, count }),
            (0u16..40).prop_map(move |n| Measure::DistinctSketch(sketch(n))),
        ];
        let base = proptest::option::of((any::<u64>(), proptest::option::of(amount())));
        (measure, base, 0u64..2, any::<u64>()).prop_map(|(measure, base, has_gaps, gaps)| MeasureTotal {
            unread: has_gaps * gaps,
            converted: base.map(|(rows, state)| Converted {
                base: Currency::EUR,
                rows,
                state: state.map(Measure::Sum),
            }),
            ..measure.into()
        })
    }

    proptest! {
        #[test]
        fn a_cell_takes_no_more_and_little_less(
            texts in proptest::collection::vec((r#"[ -~\n\x01"\\é]{0,30}"#, ".{0,120}"), 0..4),
            totals in proptest::collection::vec(total(), 0..6),
            millis in any::<i64>(),
        ) {
            let time = Timestamp::saturating_from_millis(millis);
            let count = totals.len();
            let cell = CellUpdate {
                group: CellGroup::new("sales", "0123456789ab", texts),
                start: time,
                end: time,
                totals: Totals(totals),
                exemplar: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().ok(),
                retracted: true,
            };
            let (told, taken) = (of_cell(&cell), of(&cell));
            prop_assert!(taken <= told && told <= taken + 200 + 130 * count, "{} of {}", told, taken);
        }
    }
}
