//! The codes of what goes wrong as a page for people, from the one table that
//! services take them from.

use std::fmt::Write;

use tidemill_domain::{Code, Party};

/// The page in Markdown: a table for each party that can do something.
pub(crate) fn page() -> String {
    let mut page = "# Codes\n\n\
         Generated from the code by `make reference`.\n\
         \n\
         Whatever goes wrong has a code. It is the same in an answer (`code`, and at the end of `type`), in a dead\n\
         letter, in log lines, in `/readyz` and in the labels of metrics, and it stays the same between releases.\n"
        .to_owned();
    for (party, heading) in [
        (Party::Sender, "For who sends requests"),
        (Party::Operator, "For who runs the suite"),
        (Party::Nobody, "For information"),
    ] {
        let _ = write!(page, "\n## {heading}\n\n| code | meaning | what to do |\n| --- | --- | --- |\n");
        for code in Code::ALL.iter().filter(|code| code.party() == party) {
            let _ = writeln!(page, "| `{code}` | {} | {} |", code.title(), code.remedy());
        }
    }
    page
}

/// Settings that a remedy names, as `section.key`.
pub(crate) fn settings_named() -> Vec<&'static str> {
    let in_code = |code: &Code| code.remedy().split('`').skip(1).step_by(2).collect::<Vec<_>>();
    let is_setting = |word: &&str| {
        word.split_once('.').is_some_and(|(section, key)| {
            [section, key].iter().all(|part| part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        })
    };
    Code::ALL.iter().flat_map(in_code).filter(is_setting).collect()
}
