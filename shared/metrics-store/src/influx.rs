//! InfluxDB 2, through its line protocol and Flux.
//!
//! The crate influxdb2 writes the lines and the query; its client is left alone,
//! since it stands on an HTTP and TLS stack that nobody maintains any more.

use std::time::Duration;

use influxdb2::models::{DataPoint, Query, WriteDataPoint};
use reqwest::{
    Client, RequestBuilder, Url,
    header::{AUTHORIZATION, HeaderValue},
    redirect,
};
use tidemill_domain::Timestamp;

use crate::{Error, FieldValue, Point, annotated};

const TIMEOUT: Duration = Duration::from_secs(10);
/// Characters of a refusal that are told.
const MAX_REASON: usize = 300;
/// Stands in a tag between a backslash and a character that line protocol ends
/// a tag with, or escapes. Parsers do not agree on such a backslash, and some
/// drop the line without a word. The guard has no width, and is taken off when
/// the tag is read.
const GUARD: char = '\u{200b}';

/// A bucket of an InfluxDB 2 server.
#[derive(Debug, Clone)]
pub struct InfluxStore {
    client: Client,
    base: Url,
    /// Marked as sensitive: it is never shown.
    authorization: HeaderValue,
    org: String,
    bucket: String,
}

impl InfluxStore {
    /// A client for a bucket.
    pub fn new(url: &str, org: &str, bucket: &str, token: &str) -> Result<Self, Error> {
        let base = Url::parse(url).map_err(|e| Error::Config(format!("url: {e}")))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(Error::Config("url: must begin with http:// or https://".into()));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(Error::Config("url: InfluxDB takes a token, and no user and password in the address".into()));
        }
        if org.is_empty() || bucket.is_empty() || bucket.contains(['"', '\\']) {
            return Err(Error::Config("org and bucket must be given, without quotes".into()));
        }
        let mut authorization = HeaderValue::try_from(format!("Token {token}"))
            .map_err(|_| Error::Config("token: it has characters that no token has".into()))?;
        authorization.set_sensitive(true);
        tidemill_service::install_crypto();
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|e| Error::Config(cause(&e.without_url())))?;
        Ok(Self { client, base, authorization, org: org.into(), bucket: bucket.into() })
    }

    /// Writes points over whatever was there with the same measurement, tags
    /// and time.
    pub async fn write(&self, points: &[Point]) -> Result<(), Error> {
        if points.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for point in points {
            lines.append(&mut line(point)?);
        }
        let written = self.request("write").query(&[("bucket", self.bucket.as_str()), ("precision", "ms")]).body(lines);
        call(written).await.map(drop)
    }

    /// The points of a measurement from `from` until before `to`, by time and
    /// tags; at most `limit`.
    pub async fn read(
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
        let answer = call(self.request("query").json(&Query::new(flux))).await?;
        let mut points = annotated::points(measurement, &answer)?;
        points.truncate(limit as usize);
        for value in points.iter_mut().flat_map(|point| point.tags.values_mut()) {
            *value = unguarded(value);
        }
        points.sort_by(|a, b| (a.time, &a.tags).cmp(&(b.time, &b.tags)));
        Ok(points)
    }

    fn request(&self, endpoint: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/api/v2/{endpoint}", self.base.path().trim_end_matches('/')));
        self.client.post(url).header(AUTHORIZATION, self.authorization.clone()).query(&[("org", self.org.as_str())])
    }
}

/// A point as line protocol.
pub(crate) fn line(point: &Point) -> Result<Vec<u8>, Error> {
    let mut line = Vec::new();
    data_point(point)?.write_data_point_to(&mut line).map_err(|e| Error::Refused(e.to_string()))?;
    Ok(line)
}

fn data_point(point: &Point) -> Result<DataPoint, Error> {
    let mut names = point.tags.keys().chain(point.fields.keys()).chain([&point.measurement]);
    if let Some(name) = names.find(|name| !is_name(name)) {
        return Err(Error::Refused(format!("{name:?} is no name in line protocol")));
    }
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
            // Line protocol has neither NaN nor infinity.
            FieldValue::Float(x) if !x.is_finite() => {
                return Err(Error::Refused(format!("{name} is {x}, which is no number in line protocol")));
            }
            FieldValue::Float(x) => builder.field(name, *x),
        };
    }
    builder.build().map_err(|e| Error::Refused(e.to_string()))
}

/// Names come from definitions, which know these characters and no others:
/// none of them means something in line protocol.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A tag that every parser of line protocol reads alike, once it is escaped.
/// There is no escape for line ends.
fn guarded(value: &str) -> String {
    let mut guarded = String::with_capacity(value.len());
    let mut characters = value.chars().map(|c| if c.is_control() { ' ' } else { c }).peekable();
    while let Some(character) = characters.next() {
        guarded.push(character);
        if character == '\\' && characters.peek().is_none_or(|next| matches!(*next, ',' | '=' | ' ' | GUARD)) {
            guarded.push(GUARD);
        }
    }
    guarded
}

pub(crate) fn unguarded(value: &str) -> String {
    value.replace(&format!("\\{GUARD}"), "\\")
}

/// Calls InfluxDB, and sorts its errors.
async fn call(request: RequestBuilder) -> Result<String, Error> {
    let away = |error: reqwest::Error| Error::Unavailable(cause(&error.without_url()));
    let response = request.send().await.map_err(away)?;
    let status = response.status();
    let text = response.text().await.map_err(away)?;
    if status.is_success() {
        return Ok(text);
    }
    let reason = format!("{status}: {}", text.chars().take(MAX_REASON).collect::<String>());
    // 401 and 404 too are an operator's mistake that is mended while the data
    // waits in the log.
    match status.as_u16() {
        400 | 413 | 422 => Err(Error::Refused(reason)),
        _ => Err(Error::Unavailable(reason)),
    }
}

/// The innermost cause: it says "connection refused" where the others say
/// "error sending request".
fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(change: impl FnOnce(&mut Point)) -> Result<String, String> {
        let mut point = Point {
            measurement: "sales".into(),
            tags: [("category".into(), "books".into())].into(),
            fields: [("n".into(), FieldValue::Integer(1))].into(),
            time: Timestamp::EPOCH,
        };
        change(&mut point);
        line(&point).map(|line| String::from_utf8(line).expect("text")).map_err(|e| e.to_string())
    }

    #[test]
    fn what_line_protocol_cannot_write_is_refused_here() {
        assert_eq!(written(|_| ()), Ok("sales,category=books n=1i 0\n".into()));
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let refused = written(|point| {
                point.fields.insert("n".into(), FieldValue::Float(number));
            });
            assert!(refused.is_err_and(|e| e.contains("no number in line protocol")), "{number}");
        }
        for name in ["", "a b", "a,b=1", "a\nb n=2", "é"] {
            let refused = Err(format!("InfluxDB refused the request: {name:?} is no name in line protocol"));
            assert_eq!(written(|point| point.measurement = name.into()), refused);
            assert_eq!(written(|point| _ = point.tags.insert(name.into(), "1".into())), refused);
            assert_eq!(written(|point| _ = point.fields.insert(name.into(), FieldValue::Integer(1))), refused);
        }
    }

    #[test]
    fn a_tag_comes_back_though_it_holds_the_guard_itself() {
        for value in ["\\", "a\\,b", "\u{200b}", "\\\u{200b}", "\\\u{200b},", "\\\\"] {
            assert_eq!(unguarded(&guarded(value)), value, "{value:?}");
        }
    }
}
