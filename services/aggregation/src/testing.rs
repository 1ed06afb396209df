//! For the tests of this crate.

use tidemill_definitions::Metrics;
use tidemill_testkit::tempdir;

/// The metrics of these definitions.
pub(crate) fn metrics(definition: &str) -> Metrics {
    let folder = tempdir();
    for (n, text) in definition.split("---\n").enumerate() {
        std::fs::write(folder.path().join(format!("{n}.yaml")), text).expect("a file");
    }
    Metrics::load(Some(folder.path())).expect("definitions load")
}
