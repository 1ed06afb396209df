//! The keys of a suite.

/// The keys of a suite, as far as it needs any.
#[derive(Clone, Default)]
pub struct Keys {
    /// For ingestion: it may write.
    pub write: Option<String>,
    /// For reporting: it may read, or operate.
    pub read: Option<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let given = |key: &Option<String>| if key.is_some() { "given" } else { "none" };
        write!(f, "Keys(write {}, read {})", given(&self.write), given(&self.read))
    }
}

impl Keys {
    /// The first key of entries as services read them: `NAME KEY` or KEY, with
    /// commas or a line each.
    pub(super) fn first(entries: &str) -> Option<String> {
        let entries = entries.split([',', '\n']).map(str::trim).filter(|entry| !entry.starts_with('#'));
        entries.filter_map(|entry| entry.split_whitespace().last()).next().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_of_a_file_is_found() {
        for entries in ["# Ours\nshop tm_1\napp tm_2\n", "tm_1", " tm_1, tm_2", "\n\nshop\ttm_1"] {
            assert_eq!(Keys::first(entries).as_deref(), Some("tm_1"), "{entries:?}");
        }
        assert_eq!(Keys::first(" ,\n# none\n"), None);
        let keys = Keys { write: Some("tm_secret".into()), read: None };
        assert_eq!(format!("{keys:?}"), "Keys(write given, read none)");
    }
}
