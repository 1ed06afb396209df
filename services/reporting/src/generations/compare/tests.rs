use proptest::prelude::*;
use serde_json::json;
use tidemill_totals::{Converted, Measure};

use super::*;
use crate::testing::sales;

fn cell(raw_seq: u64, count: u64) -> SideCell {
    let totals = sales().measures.iter().map(|_| Measure::Count(count)).collect::<Vec<_>>();
    SideCell { end: Timestamp::saturating_from_millis(60_000), raw_seq, totals: Some(Totals::of(totals)) }
}

fn key(group: u8, partition: u16) -> (String, Partition) {
    (format!(r#"{{"region":"{group}"}}"#), Partition::new(partition))
}

fn compared(window: &WindowSides, at: &BTreeMap<Partition, u64>, most: usize) -> ComparedCells {
    let metric = sales();
    let mut comparison = Comparison::new(Some(&metric), &metric, at, most);
    comparison.compare(window).expect("one shape");
    comparison.finish()
}

#[test]
fn a_cell_is_equal_changed_on_one_side_alone_or_open() {
    let at = BTreeMap::from([(Partition::new(0), 10), (Partition::new(1), 10)]);
    let window = WindowSides {
        start: Timestamp::EPOCH,
        live: [
            // Partitions may differ where their sum does not.
            (key(0, 0), cell(9, 1)),
            (key(0, 1), cell(10, 2)),
            (key(1, 0), cell(9, 5)),
            (key(2, 0), cell(9, 5)),
            (key(4, 1), cell(11, 5)),
            (key(5, 0), SideCell { totals: None, ..cell(9, 0) }),
        ]
        .into(),
        generation: [
            (key(0, 0), cell(8, 1)),
            (key(0, 1), cell(8, 2)),
            (key(1, 0), cell(9, 7)),
            (key(3, 0), cell(9, 5)),
            (key(4, 1), cell(9, 5)),
        ]
        .into(),
    };
    let told = compared(&window, &at, 50);
    assert_eq!((told.equal, told.changed, told.only_live, told.only_generation, told.open), (1, 1, 1, 1, 1));
    assert!(!told.is_equal());
    let kinds: Vec<_> = told.cells.iter().map(|cell| cell.kind).collect();
    assert_eq!(kinds, [DifferenceKind::Changed, DifferenceKind::OnlyLive, DifferenceKind::OnlyGeneration]);
    let name = &sales().measures[0].name;
    let by: Vec<_> = told.cells.iter().map(|cell| cell.difference[name].clone()).collect();
    assert_eq!(by, [json!(2), json!(-5), json!(5)]);
    assert_eq!(compared(&window, &at, 1).cells.len(), 1, "the others are counted alone");
}

#[test]
fn a_state_that_is_written_in_another_way_is_the_same() {
    let at = BTreeMap::from([(Partition::new(0), 10)]);
    let written = |state| {
        let mut cell = cell(9, 5);
        let total = &mut cell.totals.as_mut().expect("totals").0[0];
        total.converted = Some(Converted { base: "EUR".parse().expect("a currency"), rows: 5, state });
        WindowSides { start: Timestamp::EPOCH, live: [(key(1, 0), cell)].into(), generation: BTreeMap::new() }
    };
    let WindowSides { live: generation, .. } = written(Some(Measure::Count(5)));
    let told = compared(&WindowSides { generation, ..written(None) }, &at, 9);
    assert_eq!((told.equal, told.changed), (1, 0), "{told:?}");
    let WindowSides { live: generation, .. } = written(Some(Measure::Count(6)));
    assert_eq!(compared(&WindowSides { generation, ..written(None) }, &at, 9).changed, 1);
}

#[test]
fn a_cell_leads_to_its_events_where_the_live_definition_has_it() {
    let at = BTreeMap::from([(Partition::new(0), 10)]);
    let window = WindowSides {
        start: Timestamp::EPOCH,
        live: [(key(1, 0), cell(9, 5))].into(),
        generation: [(key(1, 0), cell(9, 7))].into(),
    };
    let link = |live: &Metric, generation: &Metric| {
        let mut comparison = Comparison::new(Some(live), generation, &at, 9);
        comparison.compare(&window).expect("one shape");
        comparison.finish().cells.remove(0).lineage.map(|link| json!(link))
    };
    let by_region = Metric { dimensions: vec!["region".into()], ..sales() };
    let told = link(&by_region, &by_region).expect("a link");
    assert_eq!(told["path"], "/v1/lineage/sales_metrics?window=1970-01-01T00%3A00%3A00Z&dimension.region=1");
    assert_eq!(told["command"], "tidemill lineage sales_metrics --window 1970-01-01T00:00:00Z --dimension region=1");
    let by_more = Metric { dimensions: vec!["region".into(), "country".into()], ..sales() };
    assert_eq!(link(&by_more, &by_region), None, "a lake counts by the live definition");
    let of_hours =
        Metric { window: crate::catalogue::WindowShape { seconds: 3600, ..sales().window }, ..by_region.clone() };
    assert_eq!(link(&of_hours, &by_region), None, "its windows are others");
}

#[test]
fn a_reason_is_named_where_one_is_known() {
    use DifferenceReason::{Code, Definition, LateEvent, ReferenceData, Uncounted, Unknown};
    let inputs = |reference| GenerationInputs {
        begun_at: Timestamp::EPOCH,
        release: "1.0.0".into(),
        behind: 0,
        reference,
        definitions: Vec::new(),
    };
    let of = DifferenceReason::of;
    let (as_of, now) = (inputs(ReferenceMode::AsOf), inputs(ReferenceMode::Now { at: Timestamp::EPOCH }));
    let (alike, late) = (LateDifference::default(), LateDifference { only_live: 0, only_generation: 1 });
    assert_eq!(of(false, true, alike, &as_of, "1.0.0"), [Unknown], "and no guess");
    assert_eq!(of(false, true, alike, &as_of, "1.1.0"), [Code]);
    assert_eq!(of(false, true, late, &as_of, "1.0.0"), [LateEvent]);
    assert_eq!(of(true, false, late, &now, "1.1.0"), [Definition, ReferenceData, LateEvent, Uncounted, Code]);
}

proptest! {
    /// Whatever both sides have counted beyond the position changes nothing that is told of
    /// the rest, and a version is equal to itself.
    #[test]
    fn what_is_beyond_the_position_is_open(
        cells in prop::collection::btree_map((0_u8..6, 0_u16..3), (1_u64..20, 0_u64..4), 0..12),
        at in 1_u64..20,
    ) {
        let side: ComparedSides = cells.iter().map(|((g, p), (seq, count))| (key(*g, *p), cell(*seq, *count))).collect();
        let window = WindowSides { start: Timestamp::EPOCH, live: side.clone(), generation: side };
        let at = (0..3).map(|p| (Partition::new(p), at)).collect();
        let told = compared(&window, &at, 50);
        let groups: BTreeSet<u8> = cells.keys().map(|(group, _)| *group).collect();
        let open = groups.iter().filter(|group| {
            cells.iter().any(|((g, p), (seq, _))| g == *group && *seq > at[&Partition::new(*p)])
        });
        let open = open.count() as u64;
        prop_assert_eq!((told.open, told.equal), (open, groups.len() as u64 - open));
        prop_assert!(told.cells.is_empty());
    }
}
