use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{CellGroup, RedrivenOutcomes};
use tidemill_totals::Totals;

use super::*;

fn head() -> MetricsUpdate {
    MetricsUpdate {
        partition: Partition::new(1),
        raw_seq: 7,
        raw_prev: 5,
        part: 0,
        as_of: Timestamp::EPOCH,
        watermark: Some(Timestamp::EPOCH),
        idle: false,
        cells: Vec::new(),
        books: Vec::new(),
        redriven: Vec::new(),
        counting: Vec::new(),
        trace: None,
    }
}

fn cell(bytes: usize) -> CellUpdate {
    CellUpdate {
        retracted: false,
        group: CellGroup::new("m", "v", [("d", "x".repeat(bytes))]),
        start: Timestamp::EPOCH,
        end: Timestamp::EPOCH,
        totals: Totals(Vec::new()),
        exemplar: None,
    }
}

/// Sketches of distinct values are large, and NATS takes a megabyte.
#[test]
fn no_message_is_larger_than_nats_takes() {
    let sizes = [300_000, 300_000, 100, 700_000, 100, 500_000];
    let messages = in_messages(&head(), sizes.map(cell).to_vec(), Vec::new());
    let held: Vec<Vec<usize>> =
        messages.iter().map(|m| m.cells.iter().map(|cell| cell.group.values[0].len()).collect()).collect();
    assert_eq!(held, [vec![300_000], vec![300_000, 100], vec![700_000], vec![100, 500_000]]);
    assert_eq!(messages.iter().map(|m| m.part).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let watermarks: Vec<_> = messages.iter().map(|m| m.watermark).collect();
    assert_eq!(watermarks, [None, None, None, head().watermark]);
    assert_eq!(in_messages(&head(), Vec::new(), Vec::new()).len(), 1);
    let many = in_messages(&head(), vec![cell(1); 7], Vec::new());
    assert_eq!(many.iter().map(|m| m.cells.len()).collect::<Vec<_>>(), [3, 3, 1]);
    let one = RedrivenOutcomes { redrive: "r".into(), raw_seq: 7, counted: 1, late: 0, duplicate: 0 };
    let told = in_messages(&MetricsUpdate { redriven: vec![one; 5], ..head() }, vec![cell(1); 2], Vec::new());
    assert_eq!(told.iter().map(|m| m.redriven.len()).collect::<Vec<_>>(), [1, 3, 1], "each is told once");
}
