//! `tidemill lake quality`

use std::process::ExitCode;

use serde::Deserialize;
use tidemill_domain::Timestamp;

use crate::{
    arguments::LakeQuality,
    client::LakeClient,
    commands::ended::Ended,
    table::{self, plain},
};

/// Characters of a name that are shown.
const NAME: usize = 60;

#[derive(Deserialize)]
struct ReportedQuality {
    measured_at: Option<Timestamp>,
    good: bool,
    figures: Vec<ReportedFigure>,
}

#[derive(Deserialize)]
struct ReportedFigure {
    table: String,
    measure: String,
    contract: Option<String>,
    rule: Option<String>,
    severity: Option<String>,
    value: f64,
    checked: Option<u64>,
    threshold: Option<f64>,
    good: Option<bool>,
}

pub(super) async fn quality(arguments: LakeQuality) -> Ended {
    let client = LakeClient::new(arguments.target.lake_url, arguments.target.key);
    let encoded = |table: &String| url::form_urlencoded::byte_serialize(table.as_bytes()).collect::<String>();
    let path = match &arguments.table {
        Some(table) => format!("/v1/quality?table={}", encoded(table)),
        None => "/v1/quality".into(),
    };
    let answer = client.get(&path).await?;
    let report: ReportedQuality = serde_json::from_slice(&answer)?;
    match arguments.json {
        true => say!("{}", String::from_utf8_lossy(&answer)),
        false => print(&report),
    }
    let is_proven = report.good && !report.figures.is_empty();
    Ok(if arguments.fail && !is_proven { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(report: &ReportedQuality) {
    let Some(measured_at) = report.measured_at else {
        return say!("Nothing is measured yet.");
    };
    if report.figures.is_empty() {
        return say!("Nothing is measured of that table.");
    }
    let rows: Vec<_> = report.figures.iter().map(row).collect();
    let header = ["", "table", "measure", "value", "threshold", "rows"];
    table::print(header, [false, false, false, true, true, true], &rows);
    let bad = report.figures.iter().filter(|figure| figure.good == Some(false)).count();
    say!("\nMeasured at {measured_at}: {}", if bad == 0 { "all good".into() } else { format!("{bad} bad") });
}

fn row(figure: &ReportedFigure) -> [String; 6] {
    let mark = match figure.good {
        Some(true) => "good",
        Some(false) => "BAD",
        None => "",
    };
    let of = [figure.contract.as_ref(), figure.rule.as_ref()].into_iter().flatten();
    let of = of.map(String::as_str).collect::<Vec<_>>().join("/");
    let measure = match &figure.severity {
        Some(severity) => format!("{} {of} ({severity})", figure.measure),
        None => figure.measure.clone(),
    };
    [
        mark.into(),
        plain(&figure.table, NAME),
        plain(&measure, NAME),
        number(figure.value),
        figure.threshold.map(number).unwrap_or_default(),
        figure.checked.map(|rows| rows.to_string()).unwrap_or_default(),
    ]
}

/// A number without digits that say nothing.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_it_is_good() {
        let figure = |good| ReportedFigure {
            table: "silver.events".into(),
            measure: "failed_rows".into(),
            contract: Some("orders".into()),
            rule: Some("has_\u{1b}lines".into()),
            severity: Some("quarantine".into()),
            value: 12.5,
            checked: Some(400),
            threshold: Some(0.0),
            good,
        };
        let cells = row(&figure(Some(false)));
        assert_eq!(
            cells,
            ["BAD", "silver.events", "failed_rows orders/has_\u{fffd}lines (quarantine)", "12.5", "0", "400"]
        );
        assert_eq!(row(&figure(Some(true)))[0], "good");
        assert_eq!(row(&figure(None))[0], "");
        assert_eq!([number(3.0), number(0.875), number(100.0)], ["3", "0.875", "100"]);
    }
}
