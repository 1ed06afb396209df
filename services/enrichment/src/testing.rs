//! For the tests of this crate.

use std::path::PathBuf;

use tidemill_domain::Currency;
use tidemill_testkit::TempDir;

use crate::store::Store;

/// A file of the real data sets, where they lie beside the checkout.
pub(crate) fn data(path: &str) -> Option<PathBuf> {
    let file = tidemill_testkit::crate_folder().join("../../../shared/data").join(path);
    file.is_file().then_some(file)
}

/// The built-in definition, with the section that lets events change customers as it is
/// suggested there.
pub(crate) fn shop_with_claims() -> String {
    let (before, section) = crate::BUILT_IN_SHOP.split_once("# customer_changes:").expect("is there");
    let lines = section.lines().map(|line| line.strip_prefix("# ").unwrap_or(line));
    format!("{before}customer_changes:{}\n", lines.collect::<Vec<_>>().join("\n"))
}

/// A store in a file of its own.
pub(crate) async fn sqlite(folder: &TempDir) -> Store {
    sqlite_of(folder, Currency::EUR).await
}

/// The same store, of a shop with this base currency.
pub(crate) async fn sqlite_of(folder: &TempDir, base: Currency) -> Store {
    open_of(&format!("sqlite://{}/enrichment.db", folder.path().display()), base).await
}

pub(crate) async fn open(url: &str) -> Store {
    open_of(url, Currency::EUR).await
}

async fn open_of(url: &str, base: Currency) -> Store {
    let config = tidemill_store::Config { url: url.into(), max_connections: 8 };
    Store::open(&config, base).await.expect("opens")
}
