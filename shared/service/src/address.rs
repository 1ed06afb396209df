//! The one rule about control characters (`tidemill_domain::text`), for what
//! stands in a request's address: path and query.

use axum::http::{StatusCode, Uri};
use percent_encoding::percent_decode_str;
use tidemill_domain::Code;
use tidemill_domain::text::has_control;

use crate::Problem;

/// The rule as a regular expression, for descriptions of parameters.
pub(crate) const PATTERN: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

/// Refuses an address whose path or query spells a control character. It is
/// part of no name, and a database that is asked for it fails.
pub(crate) fn check(uri: &Uri) -> Result<(), Box<Problem>> {
    let spells = |part: &str| has_control(&percent_decode_str(part).decode_utf8_lossy());
    if spells(uri.path()) || uri.query().is_some_and(spells) {
        let problem = Problem::new(StatusCode::BAD_REQUEST, Code::ControlCharacter);
        return Err(Box::new(
            problem.detail("paths and parameters must not hold control characters, such as %00 or %0A"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_character_is_found_however_it_is_spelt() {
        let is_refused = |uri: &str| check(&uri.parse().expect(uri)).is_err();
        for uri in ["/v1/a?code=%00", "/v1/%0a", "/v1/a?x=1&%1B=2", "/v1/a?x=%7f", "/v1/a?x=%C2%85"] {
            assert!(is_refused(uri), "{uri}");
        }
        for uri in ["/", "/v1/a?x=%20+%C3%A9%F0%9F%98%80", "/v1/a?x=%2500", "/v1/%85", "/v1/a?x=%E2%80%AE"] {
            assert!(!is_refused(uri), "{uri}");
        }
        assert_eq!(check(&"/a?%00".parse().expect("an address")).expect_err("refused").status, 400);
    }
}
