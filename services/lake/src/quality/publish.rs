//! The figures as events of the suite, one for each table and interval.

use tidemill_batch_views::{MeasuredInterval, QualityFigure};
use tidemill_bus::Bus;
use tidemill_events::{MeasuredEvent, MeasuredFigure, QualityMeasured};

use super::error::QualityError;

/// Digits behind the point that are told.
const DIGITS: f64 = 1e6;

/// Tells the figures of an interval. Ids follow from table and interval, so to tell them
/// once more, after a crash, tells nothing new.
pub(super) async fn publish(bus: &Bus, measured: &MeasuredInterval) -> Result<(), QualityError> {
    for event in events(measured)? {
        bus.publish(&event).await?;
    }
    Ok(())
}

fn events(measured: &MeasuredInterval) -> Result<Vec<MeasuredEvent>, QualityError> {
    // By table, as they were measured.
    let tables = measured.figures.chunk_by(|one, next| one.table == next.table);
    tables.map(|figures| event(measured, figures)).collect()
}

fn event(measured: &MeasuredInterval, figures: &[QualityFigure]) -> Result<MeasuredEvent, QualityError> {
    let table = figures.first().map_or("", |figure| &figure.table);
    let data = QualityMeasured {
        layer: table.split_once('.').map_or("", |(layer, _)| layer).into(),
        table: table.into(),
        version: measured.version_of(table).unwrap_or_default(),
        measured_at: measured.time,
        figures: figures.iter().map(told).collect(),
    };
    let id = format!("{table}-{}", measured.interval);
    let event = MeasuredEvent::new(QualityMeasured::SERVICE, &id, QualityMeasured::TYPE, measured.time, &data);
    event.map_err(|error| QualityError::Unwritable(error.to_string()))
}

fn told(figure: &QualityFigure) -> MeasuredFigure {
    let figure = figure.figure.clone();
    MeasuredFigure { value: (figure.value * DIGITS).round() / DIGITS, ..figure }
}

#[cfg(test)]
mod tests {
    use tidemill_domain::Timestamp;

    use super::*;

    #[test]
    fn a_table_is_told_once_in_an_interval() {
        let figure = |table: &str, measure: &str| QualityFigure {
            table: table.into(),
            version: 4,
            figure: MeasuredFigure {
                measure: measure.into(),
                contract: None,
                rule: None,
                severity: None,
                value: 1.0 / 3.0,
                checked: Some(7),
                threshold: None,
                good: None,
            },
        };
        let figures = vec![
            figure("bronze.events", "rows"),
            figure("silver.events", "rows"),
            figure("silver.events", "mean_score"),
        ];
        let time = Timestamp::saturating_from_millis(1_700_000_040_500);
        let measured = MeasuredInterval { interval: 1_700_000_040, time, figures };
        let all = events(&measured).expect("are written");
        assert_eq!(all, events(&measured).expect("are written"), "the same each time");
        let ids: Vec<&str> = all.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(ids, ["bronze.events-1700000040", "silver.events-1700000040"]);
        let body: serde_json::Value = serde_json::from_slice(&all[1].body).expect("JSON");
        assert_eq!((&body["source"], &body["type"]), (&"tidemill/lake".into(), &QualityMeasured::TYPE.into()));
        assert_eq!(body["data"]["figures"][1]["value"], 0.333_333);
        assert_eq!(body["data"]["figures"].as_array().map(Vec::len), Some(2));
    }
}
