//! Any text: what a database, a header or a page has to take as it is.

use proptest::{
    arbitrary::any,
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

/// Texts that are legal JSON and that something has stumbled over somewhere.
const KNOWN: [&str; 16] = [
    "",
    "\0",
    "a\0b",
    "\u{1}\u{1b}[31m\u{7f}\u{85}\u{9f}",
    "two\nlines\r\t",
    "\u{1f30a}\u{10ffff}\u{1f9d1}\u{200d}\u{1f33e}",
    "\u{378}\u{e000}\u{fffe}\u{ffff}",
    "\u{202e}drawkcab\u{2066}",
    "e\u{301}\u{feff}",
    "'; DROP TABLE cells; --",
    "\"\\\u{2028}\u{2029}",
    "=HYPERLINK(\"x\")",
    "<!channel> <script>",
    "%00%n{}$1",
    "\\u0000",
    "\u{ff1d}\u{fdfa}",
];

/// So many texts of any Unicode characters, U+0000 among them: the same ones at
/// every call.
pub fn any_texts() -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let strategy = any::<String>();
    let random = (0..64).map(|_| strategy.new_tree(&mut runner).expect("any text").current());
    KNOWN.into_iter().map(String::from).chain(random).collect()
}
