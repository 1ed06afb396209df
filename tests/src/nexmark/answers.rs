//! What the suite answers.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidemill::client::{Client, ClientError};
use tidemill_domain::Timestamp;

use super::{Figure, NexmarkRow, events::NexmarkEvents, query::NexmarkQuery};
use crate::error::Error;

/// Event time that one answer is asked for.
const STEP: i64 = 10_000;

#[derive(Deserialize)]
struct Answer {
    series: Vec<AnswerSeries>,
    approximate: Vec<String>,
}

#[derive(Deserialize)]
struct AnswerSeries {
    dimensions: BTreeMap<String, String>,
    points: Vec<AnswerPoint>,
}

#[derive(Deserialize)]
struct AnswerPoint {
    start: Timestamp,
    end: Timestamp,
    values: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    unread: BTreeMap<String, u64>,
    #[serde(default)]
    unconverted: BTreeMap<String, u64>,
}

/// All rows of a query, in order.
///
/// # Errors
/// Where the suite has no exact answer.
pub async fn rows(client: &Client, query: NexmarkQuery, events: &NexmarkEvents) -> Result<Vec<NexmarkRow>, Error> {
    let (first, last) = events.span();
    let mut rows = Vec::new();
    // The first sliding windows begin before the first event.
    let mut from = Timestamp::saturating_from_millis(first - STEP).floor_to(STEP);
    while from.millis() <= last {
        let to = from.plus_millis(STEP);
        let path = format!(
            "/v1/metrics/nexmark_{}/series?resolution=window&from={from}&to={to}&{}",
            query.name(),
            query.parameters()
        );
        let answer: Answer = client.get(&path).await.map_err(|error: ClientError| Error::Refused(error.to_string()))?;
        if let Some(measure) = answer.approximate.first() {
            return Err(Error::Refused(format!("{}: {measure} is approximate", query.name())));
        }
        for AnswerSeries { dimensions, points } in answer.series {
            for point in points {
                rows.push(row(query, &dimensions, point)?);
            }
        }
        from = to;
    }
    rows.sort();
    Ok(rows)
}

fn row(query: NexmarkQuery, dimensions: &BTreeMap<String, String>, point: AnswerPoint) -> Result<NexmarkRow, Error> {
    let AnswerPoint { start, end, values, unread, unconverted } = point;
    if !(unread.is_empty() && unconverted.is_empty()) {
        return Err(Error::Refused(format!("{}: the values of some bids are missing", query.name())));
    }
    let figure = |(name, value): (String, serde_json::Value)| {
        let count = value.as_u64().map(Figure::Count);
        let amount = || value.as_str().and_then(|text| text.parse().ok()).map(Figure::Amount);
        let wrong = || Error::Refused(format!("{}: {name} is {value}", query.name()));
        let figure = count.or_else(amount).ok_or_else(wrong)?;
        Ok((name, figure))
    };
    let values = values.into_iter().map(figure).collect::<Result<_, Error>>()?;
    Ok(NexmarkRow { start: start.millis(), end: end.millis(), dimensions: dimensions.clone(), values })
}
