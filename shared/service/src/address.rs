//! What may stand in a request's address, in its path and its query: UTF-8, and
//! no control characters (`tidemill_domain::text` has that rule).

use axum::http::{StatusCode, Uri};
use percent_encoding::percent_decode_str;
use tidemill_domain::{Code, text::has_control};

use crate::Problem;

/// The rule as a regular expression, for descriptions of parameters.
pub(crate) const PATTERN: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

/// Refuses an address whose path or query is not UTF-8, or spells a control
/// character. No name contains either, and a database fails if it is asked for
/// one.
pub(crate) fn check(uri: &Uri) -> Result<(), Box<Problem>> {
    [uri.path()].into_iter().chain(uri.query()).try_for_each(check_part)
}

fn check_part(part: &str) -> Result<(), Box<Problem>> {
    let wrong = |code, detail| Err(Box::new(Problem::new(StatusCode::BAD_REQUEST, code).detail(detail)));
    match percent_decode_str(part).decode_utf8() {
        Err(_) => wrong(Code::InvalidParameter, "paths and parameters must be UTF-8 behind their percent signs"),
        Ok(text) if has_control(&text) => {
            wrong(Code::ControlCharacter, "paths and parameters must not hold control characters, such as %00 or %0A")
        }
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_address_is_found_however_it_is_spelt() {
        let code = |uri: &str| check(&uri.parse().expect(uri)).map_err(|problem| problem.code.into_owned());
        for uri in ["/v1/a?code=%00", "/v1/%0a", "/v1/a?x=1&%1B=2", "/v1/a?x=%7f", "/v1/a?x=%C2%85"] {
            assert_eq!(code(uri), Err("control_character".into()), "{uri}");
        }
        for uri in ["/v1/%ff", "/v1/%85", "/v1/a?x=%C3", "/v1/a?x=%ED%A0%80"] {
            assert_eq!(code(uri), Err("invalid_parameter".into()), "{uri}");
        }
        for uri in ["/", "/v1/a?x=%20+%C3%A9%F0%9F%98%80", "/v1/a?x=%2500", "/v1/a?x=%E2%80%AE"] {
            assert_eq!(code(uri), Ok(()), "{uri}");
        }
        assert_eq!(check(&"/a?%00".parse().expect("an address")).expect_err("refused").status, 400);
    }
}
