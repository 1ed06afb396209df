//! Files that are written from the code, and held against it.

use std::path::Path;

use serde_json::Value;

/// The same for JSON.
pub(crate) fn same_json(folder: &Path, name: &str, generated: &Value) -> Result<(), String> {
    same(folder, name, serde_json::to_string_pretty(generated).expect("JSON") + "\n")
}

/// Whether a file is what the code says; with `TIDEMILL_UPDATE`, it is written.
pub(crate) fn same(folder: &Path, name: &str, text: String) -> Result<(), String> {
    let path = folder.join(name);
    if std::env::var_os("TIDEMILL_UPDATE").is_some() {
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::write(&path, text).expect("writes");
        return Ok(());
    }
    match std::fs::read_to_string(&path) {
        Ok(committed) if committed == text => Ok(()),
        Ok(_) => Err(format!("{name} differs")),
        Err(error) => Err(format!("{name}: {error}")),
    }
}
