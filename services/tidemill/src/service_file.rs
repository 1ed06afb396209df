//! A file with settings of one service, beside those that the all-in-one tells it.

use std::path::Path;

use tidemill_definitions::read_text;
use toml::{Table, Value};

/// Settings that are paths: a file has them relative to its own folder.
const PATHS: [(&str, &str); 4] =
    [("contracts", "folder"), ("contracts", "columns"), ("contracts", "quality"), ("sql", "spill_folder")];

/// Settings, and what a file says beside them. The error is for a person.
pub(crate) fn added(settings: &str, file: &Path) -> Result<String, String> {
    let name = file.display();
    let text = read_text(file).map_err(|error| format!("{name}: {error}"))?;
    let mut more: Table = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        format!("{name}:{line}: {}", error.message().trim().replace('\n', ", "))
    })?;
    let folder = file.parent().unwrap_or(Path::new(""));
    for (section, key) in PATHS {
        let path = more.get_mut(section).and_then(|section| section.get_mut(key));
        if let Some(Value::String(path)) = path {
            *path = folder.join(&*path).display().to_string();
        }
    }
    let mut all: Table = toml::from_str(settings).map_err(|error| error.to_string())?;
    add(&mut all, more, "").map_err(|reason| format!("{name}: {reason}"))?;
    toml::to_string(&all).map_err(|error| error.to_string())
}

/// Adds what is not there. What is there may hold what `tidemill.toml` says, or what keeps the suite together.
fn add(all: &mut Table, more: Table, within: &str) -> Result<(), String> {
    for (key, value) in more {
        let name = format!("{within}{key}");
        match (all.get_mut(&key), value) {
            (Some(Value::Table(there)), Value::Table(more)) => add(there, more, &format!("{name}."))?,
            (Some(_), _) => return Err(format!("`{name}` is set by `tidemill up` itself")),
            (None, value) => {
                all.insert(key, value);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tidemill_testkit::tempdir;

    use super::*;

    #[test]
    fn a_file_adds_and_changes_nothing() {
        let folder = tempdir();
        let file = folder.path().join("lake.toml");
        let with = |text: &str| {
            std::fs::write(&file, text).expect("writes");
            added("[http]\nlisten = \"127.0.0.1:1\"\n[lake]\nurl = \"/srv\"\n", &file)
        };
        let told = with("[gold]\nevery_seconds = 5\n[lake]\nretention_hours = 9\n").expect("is right");
        let told: Table = toml::from_str(&told).expect("TOML");
        assert_eq!((told["gold"]["every_seconds"].as_integer(), told["lake"]["url"].as_str()), (Some(5), Some("/srv")));
        for (text, reason) in [
            ("[lake]\nurl = \"/other\"\n", "lake.toml: `lake.url` is set by `tidemill up` itself"),
            ("http = 3\n", "lake.toml: `http` is set by `tidemill up` itself"),
            ("[gold]\nevery_seconds 5\n", "lake.toml:2: "),
        ] {
            let told = with(text).expect_err(text);
            assert!(told.contains(reason), "{told}");
        }
    }
}
