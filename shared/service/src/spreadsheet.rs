//! Cells of a CSV file that a spreadsheet opens.

use std::borrow::Cow;

/// Characters that make a cell a formula in Excel, LibreOffice or Google's
/// sheets, after white space too. East Asian versions take the full-width forms
/// for the same.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// A text from outside as a cell. If a spreadsheet would run it or skip over
/// its beginning, an apostrophe before it makes it a text there. A number stays
/// a number.
pub fn cell(text: &str) -> Cow<'_, str> {
    let runs = text.trim_start().starts_with(FORMULA) || text.starts_with(['\t', '\r', '\n']);
    if runs && !is_number(text) { Cow::from(format!("'{text}")) } else { text.into() }
}

/// Digits with a sign and at most one point.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, part].iter().all(|some| !some.is_empty() && some.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for formula in [
            "=HYPERLINK(\"http://x\")",
            "+1+1",
            "-1+cmd|' /C calc'!A0",
            "@SUM(1)",
            "\t=1",
            "\r=1",
            "\n=1",
            " =1",
            "\u{3000}=1",
            "\u{ff1d}1",
            "\u{ff0b}1",
            "\u{ff0d}1",
            "\u{ff20}x",
            "-",
            "=",
            "+.",
            "-1e5",
            "--1",
            "-1.2.3",
        ] {
            assert_eq!(cell(formula), format!("'{formula}"));
        }
    }

    #[test]
    fn texts_and_numbers_stay() {
        for text in ["", "books", "a=b", "'quoted", "1", "-1", "+49", "-0.50", "3+4", "Ä", "e@mail.example"] {
            assert_eq!(cell(text), text);
        }
    }
}
