//! Text from outside, for a terminal or a log of lines.

use std::fmt::{self, Write};

/// Shows a text, and escapes every character that does more than stand there:
/// one that ends a line, colours or clears a terminal, or turns the direction
/// of the text behind it.
///
/// ```
/// # use tidemill_service::Printable;
/// assert_eq!(Printable("a\nb\u{1b}[31m").to_string(), r"a\nb\u{1b}[31m");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Printable<T>(pub T);

impl<T: fmt::Display> fmt::Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'f, 'b>(&'f mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match acts(c) {
            true => write!(self.0, "{}", c.escape_default()),
            false => self.0.write_char(c),
        })
    }
}

/// Whether a terminal or an editor obeys the character: the control characters
/// C0, DEL and C1, the two separators of Unicode, and those that turn the
/// direction of text.
pub fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_escaped_and_nothing_else() {
        let shown = Printable("tab\t nul\0 c1\u{9b}31m del\u{7f} bidi\u{202e}x\u{2066}\u{61c}\u{e0041}").to_string();
        assert_eq!(shown, r"tab\t nul\u{0} c1\u{9b}31m del\u{7f} bidi\u{202e}x\u{2066}\u{61c}\u{e0041}");
        for harmless in ["Müller & Söhne", "日本語", "שלום", r"C:\new", "🦀 e\u{301}"] {
            assert_eq!(Printable(harmless).to_string(), harmless);
        }
    }
}
