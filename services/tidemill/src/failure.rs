//! What a person is told of an error.

use std::error::Error;

/// An error with all that led to it, each said once.
pub(crate) fn whole(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Many errors say themselves what their cause says.
        if !told.contains(&text) {
            told.push_str(": ");
            told.push_str(&text);
        }
        cause = error.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Link(&'static str, #[source] Option<Box<Link>>);

    #[test]
    fn every_cause_is_told_once() {
        let link = |text, source: Option<Link>| Link(text, source.map(Box::new));
        let chain = link("no answer", Some(link("cannot connect: refused", Some(link("refused", None)))));
        assert_eq!(whole(&chain), "no answer: cannot connect: refused");
        assert_eq!(whole(&link("alone", None)), "alone");
    }
}
