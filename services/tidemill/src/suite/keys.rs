//! Keys that the environment gives, and files of keys that too many can read.

use std::{fmt, os::unix::fs::MetadataExt, path::Path};

use tidemill_service::Role;

/// What the names of variables begin with that give keys.
const PREFIX: &str = "TIDEMILL_AUTH__";

/// Variables of the environment that give keys, as each service reads them.
#[derive(Clone, Default)]
pub struct KeyVariables(Vec<(String, String)>);

/// Without the keys.
impl fmt::Debug for KeyVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl KeyVariables {
    /// Those of this process: the three roles, by value or by a file's name.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().cloned()
    }
}

impl FromIterator<(String, String)> for KeyVariables {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        let is_key = |name: &str| {
            let role = name.strip_prefix(PREFIX).map(|role| role.trim_end_matches("_FILE").to_ascii_lowercase());
            role.is_some_and(|role| Role::ALL.iter().any(|known| known.as_str() == role))
        };
        Self(variables.into_iter().filter(|(name, _)| is_key(name)).collect())
    }
}

/// Says of each file of keys that others of this machine can read it. A hash in it
/// opens nothing, and so harms nobody.
pub(super) fn readable_by_others(folder: &Path) -> Vec<String> {
    let files = Role::ALL.map(|role| folder.join(role.as_str()));
    let holds_keys = |text: &str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.into_iter().any(|line| !line.contains("sha256:"))
    };
    let is_open = |file: &&std::path::PathBuf| {
        std::fs::metadata(file).is_ok_and(|file| file.mode() & 0o077 != 0)
            && std::fs::read_to_string(file).is_ok_and(|text| holds_keys(&text))
    };
    let told = |file: &std::path::PathBuf| {
        let file = file.display();
        format!("{file} holds keys that others on this machine can read; chmod 600 {file}, or keep their hashes there")
    };
    files.iter().filter(is_open).map(told).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn only_keys_are_taken_from_the_environment_and_they_are_not_shown() {
        let given = [
            ("TIDEMILL_AUTH__WRITE", "shop key-of-the-shop-1"),
            ("TIDEMILL_AUTH__READ_FILE", "/run/secrets/read"),
            ("TIDEMILL_AUTH__OPEN", "true"),
            ("TIDEMILL_AUTH__FOLDER", "keys"),
            ("TIDEMILL_HTTP__LISTEN", "0.0.0.0:1"),
            ("PATH", "/bin"),
        ];
        let variables: KeyVariables =
            given.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        assert_eq!(format!("{variables:?}"), r#"["TIDEMILL_AUTH__WRITE", "TIDEMILL_AUTH__READ_FILE"]"#);
    }

    #[test]
    fn a_file_of_keys_that_others_can_read_is_told_of() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text, mode) in [
            ("write", "shop key-of-the-shop-1\n", 0o644),
            ("read", "wall key-of-the-wall-1\n", 0o600),
            ("operate", "# anna\nanna sha256:00\n", 0o644),
        ] {
            let file = folder.path().join(name);
            std::fs::write(&file, text).expect("writes");
            std::fs::set_permissions(&file, Permissions::from_mode(mode)).expect("sets");
        }
        let told = readable_by_others(folder.path());
        assert!(told.len() == 1 && told[0].contains("/write holds keys") && !told[0].contains("key-of"), "{told:?}");
    }
}
