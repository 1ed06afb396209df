//! Values in the one form that everybody compares.

mod calling_codes;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use self::calling_codes::{CallingCode, begins_with_one};

/// The longest e-mail address, in bytes (RFC 5321).
const MAX_EMAIL: usize = 254;
const MAX_LOCAL_PART: usize = 64;
/// Digits of an international number, with the calling code (ITU-T E.164).
const INTERNATIONAL: std::ops::RangeInclusive<usize> = 7..=15;
/// The longest text that is looked at as a telephone number.
const MAX_PHONE: usize = 64;

/// An e-mail address without the blanks around it and in lower case; `None` where there
/// is nothing but blanks.
pub fn standard_email(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_lowercase())
}

/// Whether a text has the form of an e-mail address that mail can be sent to: one `@`, a
/// name before it, and a host with a dot in it.
pub fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else { return false };
    let is_of_name = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '@' | ',' | ';' | '<' | '>');
    let is_label = |label: &str| {
        let is_of_label = |c: char| c.is_alphanumeric() || c == '-';
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(is_of_label)
    };
    text.len() <= MAX_EMAIL
        && (1..=MAX_LOCAL_PART).contains(&name.len())
        && name.chars().all(is_of_name)
        && !name.starts_with('.')
        && !name.ends_with('.')
        && host.contains('.')
        && host.split('.').all(is_label)
}

/// A telephone number as E.164 writes it (`+493012345`), where it says its country or
/// `country` (ISO 3166-1 alpha-2) is known and numbers there have so many digits; else
/// its digits alone. `None` where it has none. What stands behind it, as an extension,
/// is left out.
pub fn standard_phone(text: &str, country: Option<&str>) -> Option<String> {
    let number = number_of(text)?;
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let international = match number.starts_with('+') {
        // A zero in brackets is for those who call from within the country.
        true => Some(without_brackets(&number)),
        false => digits.strip_prefix("00").filter(|rest| begins_with_one(rest)).map(Cow::from),
    };
    let known = || country.and_then(CallingCode::of);
    let international = match international {
        Some(digits) => INTERNATIONAL.contains(&digits.len()).then(|| format!("+{digits}")),
        None => known().and_then(|code| from_within(&digits, code)),
    };
    Some(international.unwrap_or(digits))
}

/// The part of a text that is a number: from its first sign or digit to what is no part of
/// one.
fn number_of(text: &str) -> Option<Cow<'_, str>> {
    let text = text.get(..MAX_PHONE).unwrap_or(text);
    let begin = text.find(|c: char| c.is_ascii_digit() || matches!(c, '+' | '('))?;
    let text = &text[begin..];
    let text = text.split(|c: char| c.is_alphabetic() || matches!(c, '#' | ';' | ',')).next().unwrap_or(text);
    let has_digits = text.bytes().any(|byte| byte.is_ascii_digit());
    // A plus may stand within brackets.
    let plus = text.trim_start_matches(['(', ' ']);
    has_digits.then_some(if plus.starts_with('+') { plus.into() } else { text.into() })
}

/// The digits of an international number without a zero in brackets.
fn without_brackets(number: &str) -> Cow<'static, str> {
    let number = number.replacen("(0)", "", 1);
    number.chars().filter(char::is_ascii_digit).collect::<String>().into()
}

/// A number as it is called within its country.
fn from_within(digits: &str, code: &CallingCode) -> Option<String> {
    // From America other countries are called by 011.
    if let Some(abroad) = digits.strip_prefix("011").filter(|rest| code.digits == "1" && begins_with_one(rest)) {
        return INTERNATIONAL.contains(&abroad.len()).then(|| format!("+{abroad}"));
    }
    let without_prefix = digits.strip_prefix(code.prefix).filter(|_| !code.prefix.is_empty());
    let fits = |national: &&str| code.lengths.contains(&national.len());
    let national = without_prefix.filter(fits).or_else(|| Some(digits).filter(fits))?;
    let digits = format!("{}{national}", code.digits);
    INTERNATIONAL.contains(&digits.len()).then(|| format!("+{digits}"))
}
