//! What a person is shown.

use serde_json::{Map, Value};

use super::answer::{BEHIND, LeftOutTold, LineageEvent, LineageNumber, LineageRow, LineageTable, LineageTold};
use crate::table::{self, plain};

/// Characters that are shown of a value, and of an event's line.
const VALUE: usize = 60;
const LINE: usize = 160;
/// Rows of an event that are shown.
const ROWS: usize = 10;

pub(super) fn show(lineage: &LineageTold) {
    let windows: Vec<_> = lineage.numbers.iter().map(|n| format!("{} to {}", n.window_start, n.window_end)).collect();
    say!("{}  {}", plain(&lineage.metric, VALUE), windows.first().map_or("", String::as_str));
    say!(
        "├─ definition {}, told by tidemill {}",
        plain(&lineage.definition_version, VALUE),
        plain(&lineage.release, VALUE)
    );
    let tables = [Some(&lineage.gold), Some(&lineage.silver), lineage.bronze.as_ref()];
    let tables: Vec<_> = tables.into_iter().flatten().collect();
    for (n, table) in tables.iter().enumerate() {
        say!("{} {}", if n + 1 == tables.len() { "└─" } else { "├─" }, told(table));
    }
    say!("");
    numbers(&lineage.numbers);
    say!("{}", if lineage.equal { "Each is what its rows come to." } else { "Not each is what its rows come to." });
    if lineage.numbers.iter().any(|number| number.stream.as_ref().is_some_and(|stream| !stream.compared)) {
        say!("Not compared with the stream yet: gold is at {}, and events of the window are behind that.", {
            let covers = lineage.gold.covers.iter().map(|reach| format!("{}:{}", reach.partition, reach.raw_seq));
            covers.collect::<Vec<_>>().join(" ")
        });
    }
    say!("");
    made_of(lineage);
    left_out(&lineage.left_out);
    for event in &lineage.events {
        show_event(event);
    }
    if let Some(next) = &lineage.next {
        say!("There are more events: --after {}", plain(next, VALUE));
    }
}

fn told(table: &LineageTable) -> String {
    let covers: Vec<_> = table.covers.iter().map(|reach| format!("{}:{}", reach.partition, reach.raw_seq)).collect();
    let at = table.changed_at.as_deref().map(|at| format!(" of {at}")).unwrap_or_default();
    let release = table.release.as_deref().map(|release| format!(", by tidemill {release}")).unwrap_or_default();
    let covers = if covers.is_empty() { String::new() } else { format!(", reaches {}", covers.join(" ")) };
    plain(&format!("{} version {}{at}{release}{covers}", table.table, table.version), 4 * LINE)
}

fn numbers(numbers: &[LineageNumber]) {
    let mut header: Vec<&str> = vec!["start"];
    let first = numbers.first();
    let names: Vec<&str> =
        first.map(|number| number.dimensions.keys().map(String::as_str).collect()).unwrap_or_default();
    header.extend(&names);
    header.extend(["measure", "gold", "added up again", "same"]);
    let has_stream = numbers.iter().any(|number| number.stream.is_some());
    header.extend(has_stream.then_some(["stream", "same as gold"]).into_iter().flatten());
    let mut right = vec![false; header.len()];
    for name in ["gold", "added up again", "stream"] {
        // The dimensions stand before these, whatever they are called.
        let place = header.iter().rposition(|known| *known == name);
        place.into_iter().for_each(|place| right[place] = true);
    }
    let rows: Vec<Vec<String>> = numbers.iter().flat_map(|number| rows_of(number, has_stream)).collect();
    table::print_columns(&header, &right, &rows);
}

/// A row for each measure.
fn rows_of(number: &LineageNumber, has_stream: bool) -> Vec<Vec<String>> {
    let row = |(measure, gold): (&String, &Value)| {
        let again = number.again.as_ref().and_then(|again| again.get(measure));
        let mut row = vec![number.window_start.clone()];
        if let (Some(partition), Some(start)) = (number.partition, row.first_mut()) {
            *start = format!("{start} (partition {partition})");
        }
        row.extend(number.dimensions.values().map(|value| plain(value, VALUE)));
        row.extend([plain(measure, VALUE), cell(Some(gold)), cell(again), yes(again == Some(gold))]);
        if has_stream {
            let stream = number.stream.as_ref().and_then(|stream| stream.values.get(measure));
            let is_compared = number.stream.as_ref().is_none_or(|stream| stream.compared);
            let same =
                |stream: &Value| if is_compared || stream == gold { yes(stream == gold) } else { "not yet".into() };
            row.extend([cell(stream), stream.map(same).unwrap_or_default()]);
        }
        row
    };
    number.gold.iter().map(row).collect()
}

fn yes(is_so: bool) -> String {
    if is_so { "yes" } else { "NO" }.into()
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => plain(text, VALUE),
        Some(other) => plain(&other.to_string(), VALUE),
    }
}

fn made_of(lineage: &LineageTold) {
    say!("Made of");
    let row = |summary: &super::answer::LineageSummary| {
        let reference = summary.reference.map(|reference| reference.to_string()).unwrap_or_default();
        let numbers = [summary.events, summary.rows, summary.first, summary.last].map(|number| number.to_string());
        let [events, rows, first, last] = numbers;
        [summary.partition.to_string(), reference, events, rows, first, last]
    };
    let rows: Vec<_> = lineage.made_of.iter().map(row).collect();
    let header = ["partition", "reference data", "events", "rows", "first in RAW", "last in RAW"];
    table::print(header, [true; 6], &rows);
    say!("");
}

fn left_out(reasons: &[LeftOutTold]) {
    if reasons.is_empty() {
        return;
    }
    say!("In none of these numbers");
    let row = |left_out: &LeftOutTold| {
        let why = match left_out.reason.as_str() {
            "late" => "late: past the allowed lateness",
            BEHIND => "gold has not got to them yet",
            "no_row" => "no row of them counts",
            "not_in_silver" => "not in silver: duplicates, or set aside",
            other => other,
        };
        let first: Vec<_> = left_out.first.iter().map(ToString::to_string).collect();
        [plain(why, VALUE), left_out.events.to_string(), first.join(" ")]
    };
    let rows: Vec<_> = reasons.iter().map(row).collect();
    table::print(["why", "events", "first"], [false, true, false], &rows);
    say!("");
}

fn show_event(event: &LineageEvent) {
    let LineageEvent { position, id, source, kind, time, .. } = event;
    let told = format!("{position}  {time}  {kind}  {id}  {source}");
    say!("{}", plain(&told, 2 * LINE));
    for row in event.rows.iter().take(ROWS) {
        say!("├─ {}", plain(&contribution(row), 2 * LINE));
    }
    if event.rows_total > ROWS {
        say!("├─ … {} rows in all", event.rows_total);
    }
    say!("└─ {}", event.event.as_deref().map_or_else(|| "bronze has it not".into(), |line| plain(line, LINE)));
}

fn contribution(row: &LineageRow) -> String {
    let dimensions: Vec<&str> = row.dimensions.values().map(String::as_str).collect();
    let value = |(name, value): (&String, &Value)| match value {
        Value::Null => format!("{name}: unread"),
        value => format!("{name}: {}", cell(Some(value))),
    };
    let values: Vec<_> = Map::iter(&row.values).map(value).collect();
    let unread = if row.unread.is_empty() { String::new() } else { format!("  (unread: {})", row.unread.join(", ")) };
    format!("{}  {}{unread}", dimensions.join(" / "), values.join("  "))
}
