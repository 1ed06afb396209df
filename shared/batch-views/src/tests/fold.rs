//! What aggregation's fold makes of the events, as the columns of the batch.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use tidemill_aggregation::measured::MeasuredFold;
use tidemill_definitions::{MetricDefinition, Window};
use tidemill_domain::{Amount, Currency, Partition, Timestamp};
use tidemill_events::{CellUpdate, EnrichedBatch, Message as _, MetricsUpdate, event::splice_enrichment};
use tidemill_totals::{Measure, MeasureTotal, Totals, Value};

use super::{
    Cells,
    events::{INGESTED_AT, TestEvent},
};
use crate::columns::{Beside, MeasureColumns, MetricColumns};

/// The cells of each metric, by the columns that the batch has.
pub(super) fn cells(
    definitions: &Path,
    metrics: &[Arc<MetricDefinition>],
    events: &[TestEvent],
) -> BTreeMap<String, Cells> {
    let mut sums: BTreeMap<String, BTreeMap<Vec<String>, Totals>> = BTreeMap::new();
    for partition in 0..3 {
        for cell in changed(definitions, partition, events) {
            let metric = metrics.iter().find(|metric| metric.name == cell.metric()).expect("is defined");
            let key = key(metric, partition, &cell);
            let known = sums.entry(metric.name.clone()).or_default();
            match known.get_mut(&key) {
                Some(sum) => sum.add(&cell.totals).expect("one shape"),
                None => drop(known.insert(key, cell.totals)),
            }
        }
    }
    let told = |(name, cells): (String, BTreeMap<Vec<String>, Totals>)| {
        let metric = metrics.iter().find(|metric| metric.name == name).expect("is defined");
        let cells = cells.into_iter().map(|(key, totals)| (key, columns(metric, &totals)));
        (name, cells.collect())
    };
    sums.into_iter().map(told).collect()
}

/// The cells of one partition, by the messages that tell them.
pub(super) fn changed(definitions: &Path, partition: u16, events: &[TestEvent]) -> Vec<CellUpdate> {
    let partition = Partition::new(partition);
    let mut fold = MeasuredFold::new(partition, Some(definitions));
    let own: Vec<_> = events.iter().filter(|event| event.partition == partition.index()).collect();
    let (mut raw_seq, mut cells) = (0, BTreeMap::new());
    for events in own.chunks(7) {
        let lines: Vec<u8> = events.iter().flat_map(|event| line(event)).collect();
        raw_seq += 1;
        fold.apply(&EnrichedBatch {
            partition,
            raw_seq,
            raw_prev: raw_seq - 1,
            remade: None,
            ingested_at: Timestamp::saturating_from_millis(INGESTED_AT),
            refdata: 0,
            count: u32::try_from(events.len()).expect("few"),
            types: None,
            lines: lines.into(),
            trace: None,
        });
        for message in fold.take_changes().messages() {
            let update = MetricsUpdate::decode(&message, message.payload.clone()).expect("a message");
            for cell in update.cells {
                let id = (cell.group.clone(), cell.start);
                if cell.retracted { drop(cells.remove(&id)) } else { drop(cells.insert(id, cell)) }
            }
        }
    }
    cells.into_values().collect()
}

fn line(event: &TestEvent) -> Vec<u8> {
    let TestEvent { source, kind, time, subject, data, enrichment, .. } = event;
    let subject = subject.as_ref().map(|subject| format!(r#""subject":"{subject}","#)).unwrap_or_default();
    let plain = format!(
        r#"{{"specversion":"1.0","id":"x","source":"{source}","type":"{kind}",{subject}"time":"{time}","data":{data}}}"#
    );
    let mut out = Vec::new();
    splice_enrichment(plain.as_bytes(), enrichment, &mut out).expect("splices");
    out
}

/// As a column of times is printed.
fn time(time: Timestamp) -> String {
    time.to_string()
}

fn key(metric: &MetricDefinition, partition: u16, cell: &CellUpdate) -> Vec<String> {
    let windows = [time(cell.start), time(cell.end)];
    let partition = matches!(metric.window, Window::Session { .. }).then(|| partition.to_string());
    let values = cell.group.values.iter().map(|value| value.to_string());
    windows.into_iter().chain(partition).chain(values).collect()
}

fn columns(metric: &MetricDefinition, totals: &Totals) -> BTreeMap<String, String> {
    let names = MetricColumns::of(metric);
    let mut columns = BTreeMap::new();
    if names.has_money {
        columns.insert("base_currency".to_owned(), "EUR".to_owned());
    }
    for (names, total) in names.measures.iter().zip(&totals.0) {
        columns.extend(measure(names, total).map(|(name, value)| (name.to_owned(), value)));
    }
    columns
}

fn measure<'c>(names: &'c MeasureColumns, total: &MeasureTotal) -> impl Iterator<Item = (&'c str, String)> {
    let mut columns = vec![(names.value.as_str(), value(&total.value()))];
    match &names.beside {
        Beside::Nothing => {}
        Beside::Unread(unread) => columns.push((unread, total.unread.to_string())),
        Beside::Amount(beside) => {
            columns.push((&beside.unread, total.unread.to_string()));
            columns.push((&beside.rounded, total.rounded.to_string()));
            if let (Some(of), Measure::Average { sum, count }) = (&beside.mean_of, &total.measure) {
                columns.push((&of.sum, amount(*sum)));
                columns.push((&of.count, count.to_string()));
            }
            if let Some(money) = &beside.money {
                let in_base = total.in_base(Some(Currency::EUR));
                columns.push((&money.converted, value(&in_base.value)));
                columns.push((&money.unconverted, in_base.unconverted.to_string()));
            }
        }
    }
    columns.into_iter()
}

fn value(value: &Value) -> String {
    match value {
        Value::Count(count) => count.to_string(),
        Value::Amount(sum) => amount(*sum),
        Value::Number(number) => format!("{number:?}"),
        Value::None => String::new(),
    }
}

/// With all twelve decimals, as a column of decimals is printed.
fn amount(amount: Amount) -> String {
    let units = amount.units();
    let sign = if units < 0 { "-" } else { "" };
    let (whole, part) = (units.unsigned_abs() / 1_000_000_000_000, units.unsigned_abs() % 1_000_000_000_000);
    format!("{sign}{whole}.{part:012}")
}
