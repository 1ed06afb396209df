//! What tests in a real browser need.

use std::path::PathBuf;

use tidemill_testkit::skipped;

/// Node.js, where it is installed with playwright-core, and Chromium too; else the test says
/// that it is skipped.
pub fn node_with_browser(test: &str) -> Option<PathBuf> {
    let (Some(node), Some(_)) = (on_path("node"), std::env::var_os("TIDEMILL_NODE_MODULES")) else {
        skipped(test, "node and playwright-core are not installed; `make test` does");
        return None;
    };
    let chromium = std::env::var_os("CHROMIUM").map_or_else(|| "/usr/bin/chromium".into(), PathBuf::from);
    if !chromium.is_file() {
        skipped(test, "no Chromium is installed");
        return None;
    }
    Some(node)
}

/// A program on the `PATH`.
pub fn on_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}
