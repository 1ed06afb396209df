//! Which history a request says that it is.

use axum::http::HeaderMap;
use tidemill_domain::BackfillName;

use super::binary;
use crate::error::Error;

/// Names the history that all events of a request belong to.
pub(crate) const HEADER: &str = "tidemill-backfill";
/// The same for a Segment call, which has no other place for an attribute. In
/// binary mode it is the attribute anyway.
const OF_CALL: &str = "ce-backfill";

/// The name in a request's headers, written as in a `ce-` header: UTF-8, with
/// percent signs for what is not ASCII.
pub(crate) fn of_request(headers: &HeaderMap) -> Result<Option<BackfillName>, Error> {
    let Some((header, value)) = [HEADER, OF_CALL].into_iter().find_map(|name| Some((name, headers.get(name)?))) else {
        return Ok(None);
    };
    let name = binary::decoded(value.as_bytes()).ok_or_else(|| "not UTF-8".to_owned());
    let name = name.and_then(|text| text.parse::<BackfillName>().map_err(|e| e.to_string()));
    // Without it, history would be late: better refused as a whole than in part.
    name.map(Some).map_err(|detail| Error::MalformedHeader { header, detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&'static str, &[u8])]) -> Result<Option<String>, String> {
        let header = |(name, value): &(&'static str, &[u8])| {
            ((*name).parse().expect("a name"), axum::http::HeaderValue::from_bytes(value).expect("a value"))
        };
        let headers: HeaderMap = headers.iter().map(header).collect();
        let name = of_request(&headers).map_err(|error| error.to_string())?;
        Ok(name.map(|name| name.to_string()))
    }

    #[test]
    fn a_request_names_its_history_in_a_header() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[(HEADER, b"till 7")]), Ok(Some("till 7".into())));
        assert_eq!(read(&[(HEADER, b"a"), (OF_CALL, b"b")]), Ok(Some("a".into())));
        assert_eq!(read(&[(OF_CALL, b"Z%C3%BCrich")]), Ok(Some("Z\u{fc}rich".into())));
        for wrong in [&b""[..], b"%0A", b"%ff", &b"x".repeat(101)] {
            let told = read(&[(HEADER, wrong)]).expect_err("no name");
            assert!(told.starts_with("header tidemill-backfill: "), "{told}");
        }
    }
}
