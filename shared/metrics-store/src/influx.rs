//! InfluxDB 2, through its line protocol and Flux.

use std::{collections::BTreeMap, time::Duration};

use futures::stream;
use influxdb2::{
    Client, RequestError,
    api::write::TimestampPrecision,
    models::{DataPoint, Query},
};
use tidemill_domain::Timestamp;
use tokio::time::timeout;

use crate::{Error, FieldValue, Point};

const TIMEOUT: Duration = Duration::from_secs(10);
/// Put between a backslash in a tag and what line protocol ends a tag with, or
/// escapes: parsers do not agree on what the backslash means there, and one that
/// reads it as another than InfluxDB drops the line without a word. It has no
/// width, and a reader takes it off.
const GUARD: char = '\u{200b}';

/// A bucket of an InfluxDB 2 server.
#[derive(Debug, Clone)]
pub struct InfluxStore {
    client: std::sync::Arc<Client>,
    bucket: String,
}

impl InfluxStore {
    /// A client for a bucket.
    pub fn new(url: &str, org: &str, bucket: &str, token: &str) -> Result<Self, Error> {
        let parsed = url::Url::parse(url).map_err(|e| Error::Config(format!("url: {e}")))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(Error::Config("url: must begin with http:// or https://".into()));
        }
        if org.is_empty() || bucket.is_empty() || bucket.contains(['"', '\\']) {
            return Err(Error::Config("org and bucket must be given, without quotes".into()));
        }
        Ok(Self { client: std::sync::Arc::new(Client::new(url, org, token)), bucket: bucket.into() })
    }

    pub(crate) async fn write(&self, points: &[Point]) -> Result<(), Error> {
        let points = points.iter().map(data_point).collect::<Result<Vec<_>, _>>()?;
        let writing =
            self.client.write_with_precision(&self.bucket, stream::iter(points), TimestampPrecision::Milliseconds);
        call(writing).await
    }

    pub(crate) async fn read(
        &self,
        measurement: &str,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<Point>, Error> {
        if measurement.contains(['"', '\\']) {
            return Err(Error::Config("a measurement's name has no quotes".into()));
        }
        let flux = format!(
            "from(bucket: \"{}\") |> range(start: {from}, stop: {to}) |> filter(fn: (r) => r._measurement == \
             \"{measurement}\") |> group(columns: [\"_field\"]) |> sort(columns: [\"_time\"]) |> limit(n: {limit})",
            self.bucket,
        );
        let records = call(self.client.query_raw(Some(Query::new(flux)))).await?;
        let mut points: BTreeMap<(Timestamp, BTreeMap<String, String>), BTreeMap<String, FieldValue>> = BTreeMap::new();
        for record in records {
            let (mut tags, mut time, mut field, mut value) = (BTreeMap::new(), None, None, None);
            for (name, cell) in record.values {
                use influxdb2_structmap::value::Value;
                match (name.as_str(), cell) {
                    ("_time", Value::TimeRFC(at)) => {
                        time = Some(Timestamp::saturating_from_millis(at.timestamp_millis()));
                    }
                    ("_field", Value::String(name)) => field = Some(name),
                    ("_value", Value::Double(x)) => value = Some(FieldValue::Float(x.into_inner())),
                    ("_value", Value::Long(n)) => value = Some(FieldValue::Integer(n)),
                    (name, Value::String(text)) if !name.starts_with('_') && !matches!(name, "result" | "table") => {
                        tags.insert(name.to_owned(), unguarded(&text));
                    }
                    _ => {}
                }
            }
            if let (Some(time), Some(field), Some(value)) = (time, field, value) {
                points.entry((time, tags)).or_default().insert(field, value);
            }
        }
        Ok(points
            .into_iter()
            .take(limit as usize)
            .map(|((time, tags), fields)| Point { measurement: measurement.into(), tags, fields, time })
            .collect())
    }
}

fn data_point(point: &Point) -> Result<DataPoint, Error> {
    let mut builder = DataPoint::builder(point.measurement.as_str()).timestamp(point.time.millis());
    for (name, value) in &point.tags {
        // Line protocol has no empty tags.
        if !value.is_empty() {
            builder = builder.tag(name, guarded(value));
        }
    }
    for (name, value) in &point.fields {
        builder = match value {
            FieldValue::Integer(n) => builder.field(name, *n),
            FieldValue::Float(x) => builder.field(name, *x),
        };
    }
    builder.build().map_err(|e| Error::Refused(e.to_string()))
}

/// A tag that every parser of line protocol reads alike, once it is escaped.
/// There is no escape for line ends.
fn guarded(value: &str) -> String {
    let mut guarded = String::with_capacity(value.len());
    let mut characters = value.chars().map(|c| if c.is_control() { ' ' } else { c }).peekable();
    while let Some(character) = characters.next() {
        guarded.push(character);
        if character == '\\' && characters.peek().is_none_or(|next| matches!(next, ',' | '=' | ' ')) {
            guarded.push(GUARD);
        }
    }
    guarded
}

fn unguarded(value: &str) -> String {
    value.replace(&format!("\\{GUARD}"), "\\")
}

/// Calls InfluxDB with a time limit, and sorts its errors.
async fn call<T>(request: impl Future<Output = Result<T, RequestError>>) -> Result<T, Error> {
    match timeout(TIMEOUT, request).await {
        Err(_) => Err(Error::Unavailable(format!("no answer within {} s", TIMEOUT.as_secs()))),
        Ok(Ok(value)) => Ok(value),
        Ok(Err(RequestError::ReqwestProcessing { source })) => Err(Error::Unavailable(source.to_string())),
        Ok(Err(RequestError::Http { status, text })) => {
            let reason = format!("{status}: {}", text.chars().take(300).collect::<String>());
            // 401 and 404 too are an operator's mistake that is mended while
            // the data waits in the log.
            match status.as_u16() {
                400 | 413 | 422 => Err(Error::Refused(reason)),
                _ => Err(Error::Unavailable(reason)),
            }
        }
        Ok(Err(other)) => Err(Error::Refused(other.to_string())),
    }
}
