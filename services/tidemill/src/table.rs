//! Tables on a terminal.

use tidemill_service::acts;

/// Text from outside, as a terminal may show it: without characters that it
/// would obey, and not longer than `most` characters.
pub(crate) fn plain(text: &str, most: usize) -> String {
    let shown = |c: char| if acts(c) { '\u{fffd}' } else { c };
    let mut plain: String = text.chars().map(shown).take(most).collect();
    if text.chars().count() > most {
        plain.pop();
        plain.push('…');
    }
    plain
}

/// Rows under a header, in columns as wide as they need to be. Columns of
/// numbers are set to the right.
pub(crate) fn print<const N: usize>(header: [&str; N], numbers: [bool; N], rows: &[[String; N]]) {
    print_columns(&header, &numbers, rows);
}

/// The same, where it is not known before how many columns there are.
pub(crate) fn print_columns(header: &[&str], numbers: &[bool], rows: &[impl AsRef<[String]>]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row.as_ref()[column].chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    // Whoever fills a cell may have forgotten that it is from outside.
    let line = |cells: &[&str]| {
        let set = |column: usize| {
            let (cell, width) = (plain(cells[column], usize::MAX), widths[column]);
            if numbers[column] { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        };
        say!("{}", (0..header.len()).map(set).collect::<Vec<_>>().join("  ").trim_end());
    };
    line(header);
    for row in rows {
        line(&row.as_ref().iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_control_characters() {
        assert_eq!(plain("a\u{1b}[31m\nb", 20), "a\u{fffd}[31m\u{fffd}b");
        assert_eq!(plain("c1\u{9b}2J\u{202e}\u{2066}", 20), "c1\u{fffd}2J\u{fffd}\u{fffd}");
        assert_eq!(plain("abcdef", 4), "abc…");
        assert_eq!(plain("abcd", 4), "abcd");
    }
}
