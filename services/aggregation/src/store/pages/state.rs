//! A cell's dimensions, totals and exemplar in few bytes. The names of the
//! dimensions stand with the page, since all cells of a version have the same.

use std::sync::Arc;

use tidemill_domain::{Amount, Currency};
use tidemill_events::TraceParent;
use tidemill_store::Error as StoreError;
use tidemill_totals::{Converted, Measure, MeasureTotal, Totals};

use super::bytes::{MALFORMED, UnreadBytes, put_bytes, put_number, put_wide};

const COUNT: u8 = 0;
const SUM: u8 = 1;
const MIN: u8 = 2;
const MAX: u8 = 3;
const AVERAGE: u8 = 4;
const DISTINCT_KEYED: u8 = 5;
/// The whole total in its public form: of sketches, which are large in any.
const AS_JSON: u8 = 6;
/// Of a measure that is more than its state.
const HAS_MORE: u8 = 0x80;

/// What a page tells of a cell besides when it is of.
#[derive(Debug, PartialEq)]
pub(super) struct CellContent {
    pub(super) values: Vec<Arc<str>>,
    pub(super) totals: Totals,
    pub(super) exemplar: Option<TraceParent>,
}

/// Appends a cell's content. `values` are those of its dimensions.
pub(super) fn put_content(
    out: &mut Vec<u8>,
    values: &[Arc<str>],
    totals: &Totals,
    exemplar: Option<TraceParent>,
) -> Result<(), StoreError> {
    values.iter().for_each(|value| put_bytes(out, value.as_bytes()));
    put_number(out, totals.0.len() as u64);
    for total in &totals.0 {
        put_total(out, total)?;
    }
    if let Some(exemplar) = exemplar {
        out.extend_from_slice(exemplar.to_string().as_bytes());
    }
    Ok(())
}

/// Reads what [`put_content`] wrote.
pub(super) fn content(bytes: &[u8], dimensions: usize) -> Result<CellContent, StoreError> {
    let mut unread = UnreadBytes(bytes);
    let values = (0..dimensions).map(|_| Ok(unread.text()?.into())).collect::<Result<_, StoreError>>()?;
    let totals = (0..unread.number()?).map(|_| total(&mut unread)).collect::<Result<_, _>>()?;
    let exemplar = match std::str::from_utf8(unread.0).map_err(|_| MALFORMED)? {
        "" => None,
        text => Some(text.parse().map_err(|_| MALFORMED)?),
    };
    Ok(CellContent { values, totals: Totals(totals), exemplar })
}

fn put_total(out: &mut Vec<u8>, total: &MeasureTotal) -> Result<(), StoreError> {
    let MeasureTotal { measure, unread, rounded, converted, unconverted } = total;
    let sketched = |measure: &Measure| matches!(measure, Measure::DistinctSketch(_) | Measure::Quantile { .. });
    if sketched(measure) {
        out.push(AS_JSON);
        put_bytes(out, &serde_json::to_vec(total).map_err(|_| MALFORMED)?);
        return Ok(());
    }
    let has_more = *unread > 0 || *rounded > 0 || *unconverted > 0 || converted.is_some();
    put_measure(out, measure, if has_more { HAS_MORE } else { 0 });
    if has_more {
        [*unread, *rounded, *unconverted].into_iter().for_each(|count| put_number(out, count));
        let Some(Converted { base, rows, state }) = converted else {
            out.push(0);
            return Ok(());
        };
        out.push(if state.is_some() { 2 } else { 1 });
        out.extend_from_slice(base.as_str().as_bytes());
        put_number(out, *rows);
        if let Some(state) = state {
            put_measure(out, state, 0);
        }
    }
    Ok(())
}

fn put_measure(out: &mut Vec<u8>, measure: &Measure, more: u8) {
    let mut extreme = |kind: u8, extreme: &Option<Amount>| {
        out.push(kind | more);
        out.push(extreme.is_some().into());
        if let Some(amount) = extreme {
            put_wide(out, amount.units());
        }
    };
    match measure {
        Measure::Min(amount) => extreme(MIN, amount),
        Measure::Max(amount) => extreme(MAX, amount),
        Measure::Count(count) => {
            out.push(COUNT | more);
            put_number(out, *count);
        }
        Measure::DistinctKeyed(count) => {
            out.push(DISTINCT_KEYED | more);
            put_number(out, *count);
        }
        Measure::Sum(sum) => {
            out.push(SUM | more);
            put_wide(out, sum.units());
        }
        Measure::Average { sum, count } => {
            out.push(AVERAGE | more);
            put_wide(out, sum.units());
            put_number(out, *count);
        }
        // They are written as JSON.
        Measure::DistinctSketch(_) | Measure::Quantile { .. } => {}
    }
}

fn total(unread: &mut UnreadBytes<'_>) -> Result<MeasureTotal, StoreError> {
    let kind = unread.byte()?;
    if kind == AS_JSON {
        return serde_json::from_slice(unread.bytes()?).map_err(|_| MALFORMED);
    }
    let mut total = MeasureTotal::from(measure(unread, kind & !HAS_MORE)?);
    if kind & HAS_MORE != 0 {
        (total.unread, total.rounded, total.unconverted) = (unread.number()?, unread.number()?, unread.number()?);
        let form = unread.byte()?;
        if form > 0 {
            let base = std::str::from_utf8(unread.take(3)?).map_err(|_| MALFORMED)?;
            let base: Currency = base.parse().map_err(|_| MALFORMED)?;
            let rows = unread.number()?;
            let state = match form {
                1 => None,
                2 => {
                    let kind = unread.byte()?;
                    Some(measure(unread, kind)?)
                }
                _ => return Err(MALFORMED),
            };
            total.converted = Some(Converted { base, rows, state });
        }
    }
    Ok(total)
}

fn measure(unread: &mut UnreadBytes<'_>, kind: u8) -> Result<Measure, StoreError> {
    let mut extreme = || match unread.byte()? {
        0 => Ok(None),
        1 => Ok(Some(Amount::from_units(unread.wide()?))),
        _ => Err(MALFORMED),
    };
    Ok(match kind {
        MIN => Measure::Min(extreme()?),
        MAX => Measure::Max(extreme()?),
        COUNT => Measure::Count(unread.number()?),
        DISTINCT_KEYED => Measure::DistinctKeyed(unread.number()?),
        SUM => Measure::Sum(Amount::from_units(unread.wide()?)),
        AVERAGE => Measure::Average { sum: Amount::from_units(unread.wide()?), count: unread.number()? },
        _ => return Err(MALFORMED),
    })
}

#[cfg(test)]
mod tests;
