//! Answers from roll-ups are those from cells, whatever happens meanwhile.

use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use tidemill_domain::{Amount, BaseAmount, Currency};
use tidemill_totals::{Measure, MeasureTotal, Totals};

use super::*;
use crate::query::{Base, DimensionGroup, Grouping, Question, QuestionView, Rollup, add_up, approximate};

/// A measure of each kind.
const EACH: &str = "\
name: each_metric
types: [order.placed]
window: {tumbling: WINDOW}
dimensions: {category: category, region: region}
measures:
  average: {average: order.revenue, money: currency}
  customers: {distinct: subject}
  largest: {max: order.revenue, money: currency}
  median: {quantile: order.revenue, at: 0.5}
  orders: {distinct: order.id, within: partition, repeats_over: [category]}
  revenue: {sum: order.revenue, money: currency}
  rows: {count: rows}
  smallest: {min: order.revenue, money: currency}
  visitors: {distinct: subject, within: partition}
";
const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Asia/Kathmandu"];
const CURRENCIES: [&str; 2] = ["EUR", "JPY"];
/// Before the clocks of Berlin go forward.
const BEGIN: i64 = 1_774_569_600_000;
const MINUTE: i64 = 60_000;
/// Of windows, by version.
const LENGTHS: [i64; 3] = [MINUTE, 15 * MINUTE, HOUR];

fn definitions() -> [MetricDefinition; 3] {
    // Of the same name: three versions.
    ["1m", "15m", "1h"]
        .map(|window| MetricDefinition::parse("each.yaml", &EACH.replace("WINDOW", window)).expect("right"))
}

/// A cell that a partition tells.
#[derive(Debug, Clone)]
struct Told {
    version: usize,
    partition: u16,
    raw_seq: u64,
    /// Day, hour, and quarter of an hour.
    at: (i64, i64, i64),
    minute: i64,
    dimensions: (usize, usize, usize),
    rows: Vec<(i64, Option<Option<i64>>)>,
    retracted: bool,
}

impl Told {
    fn update(&self, definitions: &[MetricDefinition]) -> MetricsUpdate {
        let definition = &definitions[self.version];
        let (day, hour, quarter) = self.at;
        let length = LENGTHS[self.version];
        let start =
            (BEGIN + day * DAY + hour * HOUR + (quarter * 15 + self.minute) * MINUTE).div_euclid(length) * length;
        let (category, region, currency) = self.dimensions;
        let values = [format!("c{category}"), CURRENCIES[currency].into(), format!("r{region}")];
        let cell = CellUpdate {
            group: definition.cell_group(values),
            start: at(start),
            end: at(start + length),
            totals: self.totals(definition),
            retracted: self.retracted,
            exemplar: None,
        };
        MetricsUpdate { cells: vec![cell], books: Vec::new(), ..update(self.partition, self.raw_seq) }
    }

    fn totals(&self, definition: &MetricDefinition) -> Totals {
        let mut totals = definition.totals([("rows", Measure::Count(self.rows.len() as u64))]);
        for (measure, total) in Metric::from(definition).measures.iter().zip(&mut totals.0) {
            for (amount, base) in &self.rows {
                self.add(total, measure.money, *amount, *base);
            }
        }
        totals
    }

    fn add(&self, total: &mut MeasureTotal, money: bool, amount: i64, base: Option<Option<i64>>) {
        let read = |cents: i64| Amount::read(&format!("{}.{:02}", cents / 100, cents % 100)).expect("an amount");
        match &mut total.measure {
            Measure::Count(_) => {}
            Measure::DistinctKeyed(count) => *count += 1,
            Measure::DistinctSketch(set) => drop(set.insert(&format!("customer {}", amount % 7))),
            _ if money => {
                let base_currency =
                    if self.partition == 2 { Currency::EUR } else { "USD".parse().expect("a currency") };
                let base = base.map(|converted| BaseAmount { base: base_currency, converted: converted.map(read) });
                total.add_money(read(amount), base);
            }
            measure => measure.add_amount(read(amount).amount),
        }
        total.unread += u64::from(amount % 5 == 0);
    }
}

fn cells() -> impl Strategy<Value = Vec<Told>> {
    let times =
        (prop::sample::select(vec![0_i64, 1, 2, 3, 31]), prop::sample::select(vec![0_i64, 1, 18, 22, 23]), 0_i64..4);
    let rows = vec((0_i64..5000, prop::option::of(prop::option::of(0_i64..9000))), 0..4);
    let cell = (
        0_usize..3,
        0_u16..3,
        1_u64..40,
        times,
        0_i64..15,
        (0_usize..3, 0_usize..2, 0_usize..2),
        rows,
        prop::bool::weighted(0.1),
    );
    let told = cell.prop_map(|(version, partition, raw_seq, at, minute, dimensions, rows, retracted)| Told {
        version,
        partition,
        raw_seq,
        at,
        minute,
        dimensions,
        rows,
        retracted,
    });
    vec(told, 1..12)
}

/// What happens to a store.
#[derive(Debug, Clone)]
enum Step {
    /// Cells come.
    Fold(Vec<Told>),
    /// They come while a release is at work that knows no roll-ups.
    FoldWithoutMarks(Vec<Told>),
    /// Some roll-ups are made, this long after the step before.
    Make(i64),
    /// Everything is rolled up.
    MakeAll,
    /// Cells come between what one replica reads and writes; another makes
    /// roll-ups before, after or not at all.
    FoldInBetween(Vec<Told>, bool, bool),
    /// The shop moves.
    Zone(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => cells().prop_map(Step::Fold),
        1 => cells().prop_map(Step::FoldWithoutMarks),
        3 => (0_i64..900_000).prop_map(Step::Make),
        3 => Just(Step::MakeAll),
        2 => (cells(), any::<bool>(), any::<bool>()).prop_map(|(cells, before, after)| Step::FoldInBetween(cells, before, after)),
        1 => (0..ZONES.len()).prop_map(Step::Zone),
    ];
    vec(step, 2..10)
}

/// A question: parameters, or spans of so many minutes.
#[derive(Debug, Clone)]
struct Asked {
    version: usize,
    resolution: Option<&'static str>,
    tiles: Option<i64>,
    zone: usize,
    group_by: Vec<&'static str>,
    convert: bool,
    category: Option<usize>,
    bounds: (Option<i64>, Option<i64>),
}

fn asked() -> impl Strategy<Value = Asked> {
    let resolution = prop::option::of(prop::sample::select(vec!["window", "hour", "day", "week", "month", "year"]));
    let tiles = prop::option::weighted(0.2, prop::sample::select(vec![15_i64, 60, 120, 90, 1440]));
    let bound = || prop::option::of(-10_i64..4 * 24 * 4);
    (
        (0_usize..3, resolution, tiles, 0..ZONES.len()),
        prop::sample::subsequence(vec!["category", "region", "currency"], 0..=3),
        (any::<bool>(), prop::option::weighted(0.3, 0_usize..3), (bound(), bound())),
    )
        .prop_map(|((version, resolution, tiles, zone), group_by, (convert, category, bounds))| Asked {
            version,
            resolution,
            tiles,
            zone,
            group_by,
            convert,
            category,
            bounds,
        })
}

impl Asked {
    fn question(&self, metric: &Metric) -> (Question, Rollup) {
        let view = if self.resolution.is_some() { QuestionView::Series } else { QuestionView::Totals };
        let mut pairs = vec![("zone", ZONES[self.zone].to_owned()), ("convert", self.convert.to_string())];
        pairs.push(("group_by", self.group_by.join(",")));
        pairs.extend(self.resolution.map(|resolution| ("resolution", resolution.to_owned())));
        pairs.extend(self.category.map(|category| ("category", format!("c{category}"))));
        let (from, to) = self.bounds;
        let to = to.map(|to| to.max(from.unwrap_or(to)));
        // Whole windows make up the range.
        let window = LENGTHS[self.version].max(15 * MINUTE);
        let time = |quarter: i64| at((BEGIN + quarter * 15 * MINUTE).div_euclid(window) * window).to_string();
        pairs.extend([("from", from), ("to", to)].into_iter().filter_map(|(name, bound)| Some((name, time(bound?)))));
        let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let question = Question::parse(metric, view, Zone::UTC, &pairs).expect("right");
        let rollup = self.tiles.map(|minutes| Rollup::Tiles(minutes * MINUTE));
        let rollup = rollup.unwrap_or_else(|| question.rollups(metric, view, None)[0]);
        (question, rollup)
    }
}

fn told(metric: &Metric, question: &Question, groups: &[DimensionGroup]) -> String {
    let base = Base::of(None, groups, question.convert);
    let mut text = format!("{:?}\n", approximate(metric, question, groups));
    for group in groups {
        for sum in &group.sums {
            let (values, in_base, gaps) = (sum.values(metric, base), sum.in_base(metric, base), sum.gaps(metric));
            text += &format!("{:?} {} {} {values:?} {in_base:?} {gaps:?}\n", group.dimensions, sum.start, sum.end);
        }
    }
    text
}

/// What a question is answered, from cells and from roll-ups.
async fn both(store: &Store, metric: &Metric, shop: Zone, asked: &Asked) -> [String; 2] {
    let (question, rollup) = asked.question(metric);
    let bounds = (question.from.unwrap_or(at(i64::MIN)), question.to.unwrap_or(at(i64::MAX)));
    let grouping = || Grouping::new(metric, &question, rollup, 100_000, 100_000);
    let (mut by_cell, mut rolled_up) = (grouping(), grouping());
    let from_cells = store.each_cell(metric, bounds.0, bounds.1, |cell| by_cell.add(cell)).await;
    let from_rollups = add_up(store, metric, shop, bounds, rollup, &mut rolled_up).await;
    let answer = |read: Result<(), crate::error::Error>, grouping: Grouping<'_>| match read {
        Ok(()) => told(metric, &question, &grouping.finish()),
        Err(error) => error.to_string(),
    };
    [answer(from_cells, by_cell), answer(from_rollups, rolled_up)]
}

/// A store that things happen to.
struct World<'s> {
    store: &'s Store,
    definitions: [MetricDefinition; 3],
    shop: Zone,
    now: i64,
    last: u64,
}

impl World<'_> {
    async fn new(store: &Store) -> World<'_> {
        for table in ["cells", "versions", "changes", "positions", "progress", "outcomes", "rollups"]
            .into_iter()
            .chain(["rollup_marks", "rollup_frontiers", "rollup_state"])
        {
            let sql = AssertSqlSafe(format!("DELETE FROM {table}"));
            sqlx::query(sql).execute(store.database.writer()).await.expect("empties");
        }
        let definitions = definitions();
        let metrics = definitions.each_ref().map(Metric::from);
        store.save_definitions(metrics.iter()).await.expect("saves");
        World { store, definitions, shop: Zone::UTC, now: BEGIN, last: 0 }
    }

    async fn fold(&mut self, cells: &[Told]) {
        let mut fold = MetricsFold::default();
        cells.iter().for_each(|told| fold.observe(told.update(&self.definitions)));
        self.last += 1;
        let range = crate::unit::SequenceRange { after: self.last - 1, last: self.last };
        let folded = self.store.fold_metrics(range, &fold, at(self.now)).await.expect("folds");
        assert!(matches!(folded, crate::store::Folded::Done(Some(_))));
    }

    async fn make(&self) {
        self.store.begin_rollups(self.shop).await.expect("begins");
        self.store.extend_rollups(self.shop, at(self.now)).await.expect("marks");
        self.store.make_rollups(self.shop, at(self.now)).await.expect("makes");
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Fold(cells) => self.fold(cells).await,
            Step::FoldWithoutMarks(cells) => {
                self.last += 1;
                let updates: Vec<_> = cells.iter().map(|told| told.update(&self.definitions)).collect();
                fold_without_marks(self.store, &updates, self.last).await;
            }
            Step::Make(millis) => {
                self.now += millis;
                self.make().await;
            }
            Step::MakeAll => {
                roll_up_what_can_be(self.store, self.shop, self.now + DAY).await;
                self.now += 3 * DAY;
            }
            Step::FoldInBetween(cells, before, after) => {
                self.now += HOUR;
                let read = self.store.read_due(self.shop, at(self.now)).await.expect("reads");
                if *before {
                    self.make().await;
                }
                self.fold(cells).await;
                if *after {
                    self.now += HOUR;
                    self.make().await;
                }
                self.store.write_made(self.shop, at(self.now), &read).await.expect("writes");
            }
            Step::Zone(zone) => self.shop = ZONES[*zone].parse().expect("a zone"),
        }
    }
}

async fn hold(store: &Store, steps: &[Step], questions: &[Asked]) -> Result<(), String> {
    let mut world = World::new(store).await;
    for (at, step) in steps.iter().enumerate() {
        world.take(step).await;
        for asked in questions {
            let metric = Metric::from(&world.definitions[asked.version]);
            let [by_cell, rolled_up] = both(store, &metric, world.shop, asked).await;
            if by_cell != rolled_up {
                return Err(format!("after step {at}, {asked:?}:\n{by_cell}\n-- rolled up --\n{rolled_up}"));
            }
        }
    }
    Ok(())
}

/// Some cases, the same each time; below, others each time.
pub(in crate::store) async fn answers_are_those_of_the_cells(store: &Store) {
    let mut runner = TestRunner::deterministic();
    let case = (steps(), vec(asked(), 4..8));
    let cases: Vec<_> = (0..16).map(|_| case.new_tree(&mut runner).expect("a case").current()).collect();
    for (steps, questions) in cases {
        if let Err(difference) = hold(store, &steps, &questions).await {
            panic!("{steps:#?}\n{difference}");
        }
    }
}

proptest! {
    #![proptest_config(Config::with_cases(48))]
    #[test]
    fn answers_are_those_of_the_cells_whatever_happens(steps in steps(), questions in vec(asked(), 4..8)) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let held = runtime.block_on(async {
            let (store, _folder) = crate::store::testing::sqlite().await;
            hold(&store, &steps, &questions).await
        });
        if let Err(difference) = held {
            return Err(TestCaseError::fail(difference));
        }
    }
}
