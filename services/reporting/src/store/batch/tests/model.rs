//! A log, what the stream tells of it, and what batch views have.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use tidemill_definitions::MetricDefinition;
use tidemill_domain::{Amount, GenerationName, Partition};
use tidemill_events::{
    BatchView, BatchViewEnd, CellGroup, CellUpdate, GenerationUpdate, MetricsUpdate, PartitionReach, WindowSpan,
};
use tidemill_totals::{Measure, Totals};

use crate::{
    read_model::canonical,
    testing::{SALES, at, update},
};

static SALES_DEFINITION: LazyLock<MetricDefinition> =
    LazyLock::new(|| MetricDefinition::parse("sales.yaml", SALES).expect("is right"));

pub(super) const MINUTE: i64 = 60_000;
pub(super) const PARTITIONS: u16 = 2;
/// Totals of a message.
const PART: usize = 3;

/// An event: what it adds to which window. Its sequence is its place, from 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct TestRow {
    pub(super) partition: u16,
    pub(super) minute: i64,
    pub(super) category: u8,
    pub(super) amount: i64,
}

/// A window and a category.
pub(super) type TestCell = (i64, u8);

#[derive(Debug, Clone, Default)]
pub(super) struct TestLog(pub(super) Vec<TestRow>);

/// The messages of a view; the last one ends it.
pub(super) struct ViewMessages(pub(super) Vec<GenerationUpdate>);

impl TestLog {
    fn rows(&self, partition: u16, after: u64, upto: u64) -> impl Iterator<Item = &TestRow> {
        let of = usize::try_from(after).expect("small")..usize::try_from(upto).expect("small");
        self.0[of].iter().filter(move |row| row.partition == partition)
    }

    fn cells(&self, partition: u16, after: u64, upto: u64) -> BTreeSet<TestCell> {
        self.rows(partition, after, upto).map(|row| (row.minute, row.category)).collect()
    }

    /// The totals of a cell in a partition, of all events up to there.
    pub(super) fn totals(&self, cell: TestCell, partition: u16, upto: u64) -> Option<Totals> {
        let rows: Vec<i64> = self
            .rows(partition, 0, upto)
            .filter(|row| (row.minute, row.category) == cell)
            .map(|row| row.amount)
            .collect();
        (!rows.is_empty()).then(|| totals_of(&rows))
    }

    fn told(&self, (minute, category): TestCell, partition: u16, upto: u64) -> CellUpdate {
        let values = [("category", category.to_string()), ("region", "EU".into())];
        CellUpdate {
            group: CellGroup::new("sales_metrics", SALES_DEFINITION.version(), values),
            start: at(minute * MINUTE),
            end: at((minute + 1) * MINUTE),
            totals: self.totals((minute, category), partition, upto).expect("it has rows"),
            exemplar: None,
            retracted: false,
        }
    }

    /// What the stream tells of a partition that it had counted up to one place, and has to
    /// another.
    pub(super) fn checkpoint(&self, partition: u16, after: u64, upto: u64) -> MetricsUpdate {
        let cells = self.cells(partition, after, upto).into_iter().map(|cell| self.told(cell, partition, upto));
        MetricsUpdate { cells: cells.collect(), books: Vec::new(), ..update(partition, upto) }
    }

    /// A view of everything that reaches so far in each partition.
    pub(super) fn view(&self, number: u64, reaches: &[u64]) -> ViewMessages {
        self.view_of(number, reaches, None)
    }

    /// The same, of the windows that have events behind `behind`.
    pub(super) fn view_of(&self, number: u64, reaches: &[u64], behind: Option<&[u64]>) -> ViewMessages {
        let view =
            BatchView { number, metric: "sales_metrics".into(), version: SALES_DEFINITION.version().into(), end: None };
        let new = |partition: u16| {
            let after = behind.map_or(0, |behind| behind[usize::from(partition)]);
            let upto = reaches[usize::from(partition)];
            self.cells(partition, after.min(upto), upto).into_iter().map(|(minute, _)| minute)
        };
        let windows: BTreeSet<i64> = (0..PARTITIONS).flat_map(new).collect();
        let mut messages = Vec::new();
        let mut count = 0;
        for partition in 0..PARTITIONS {
            let upto = reaches[usize::from(partition)];
            let cells = self.cells(partition, 0, upto).into_iter().filter(|(minute, _)| windows.contains(minute));
            let cells: Vec<_> = cells.map(|cell| self.told(cell, partition, upto)).collect();
            count += cells.len() as u64;
            messages.extend(cells.chunks(PART).map(|part| message(Some(view.clone()), partition, upto, part.to_vec())));
        }
        let reach = |partition: u16| PartitionReach {
            partition: Partition::new(partition),
            raw_seq: reaches[usize::from(partition)],
        };
        let span = |minute: &i64| WindowSpan { from: at(minute * MINUTE), to: at((minute + 1) * MINUTE) };
        let all = vec![WindowSpan { from: at(i64::MIN), to: at(i64::MAX) }];
        let computed = if behind.is_some() { windows.iter().map(span).collect() } else { all };
        let end = BatchViewEnd {
            computed_at: at(7),
            since: at(i64::MIN),
            reaches: (0..PARTITIONS).map(reach).collect(),
            computed,
            cells: count,
        };
        messages.push(message(Some(BatchView { end: Some(end), ..view }), 0, 0, Vec::new()));
        ViewMessages(messages)
    }

    /// The cells as they are to be read, where each partition is counted so far.
    pub(super) fn values(&self, upto: &[u64]) -> Vec<(i64, String, String)> {
        let mut values = Vec::new();
        for partition in 0..PARTITIONS {
            let upto = upto[usize::from(partition)];
            for cell in self.cells(partition, 0, upto) {
                let told = self.told(cell, partition, upto);
                let totals = serde_json::to_string(&told.totals).expect("is written");
                values.push((told.start.millis(), canonical(told.group.dimensions()).to_string(), totals));
            }
        }
        values.sort();
        values
    }

    /// The cells of the messages of a view, with the place that each reaches.
    pub(super) fn covered(messages: &[GenerationUpdate]) -> BTreeMap<(TestCell, u16), u64> {
        let mut covered = BTreeMap::new();
        for GenerationUpdate { update, .. } in messages {
            for cell in &update.cells {
                let category = cell.group.dimension("category").and_then(|text| text.parse().ok()).expect("a category");
                let place = ((cell.start.millis() / MINUTE, category), update.partition.index());
                covered.insert(place, update.raw_seq);
            }
        }
        covered
    }
}

/// The totals of rows with these amounts.
pub(super) fn totals_of(rows: &[i64]) -> Totals {
    let sum = Amount::from_int(rows.iter().sum());
    SALES_DEFINITION.totals([
        ("customers", Measure::DistinctKeyed(rows.iter().collect::<BTreeSet<_>>().len() as u64)),
        ("orders", Measure::Count(rows.len() as u64)),
        ("quantity", Measure::Sum(sum)),
        ("revenue", Measure::Sum(sum)),
    ])
}

fn message(view: Option<BatchView>, partition: u16, raw_seq: u64, cells: Vec<CellUpdate>) -> GenerationUpdate {
    let update = MetricsUpdate { cells, books: Vec::new(), watermark: None, idle: true, ..update(partition, raw_seq) };
    GenerationUpdate { generation: GenerationName::batch(), inputs: None, view, update }
}
