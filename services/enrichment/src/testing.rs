//! For the tests of this crate.

use std::path::PathBuf;

use tidemill_testkit::TempDir;

use crate::store::Store;

/// A file of the real data sets, where they lie beside the checkout.
pub(crate) fn data(path: &str) -> Option<PathBuf> {
    let file = tidemill_testkit::crate_folder().join("../../../shared/data").join(path);
    file.is_file().then_some(file)
}

/// A store in a file of its own.
pub(crate) async fn sqlite(folder: &TempDir) -> Store {
    open(&format!("sqlite://{}/enrichment.db", folder.path().display())).await
}

pub(crate) async fn open(url: &str) -> Store {
    let config = tidemill_store::Config { url: url.into(), max_connections: 8 };
    Store::open(&config).await.expect("opens")
}
