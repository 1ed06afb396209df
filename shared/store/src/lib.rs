//! A service's own database.
//!
//! Every service owns one, and names it by URL: `sqlite:///path/to/file` on a
//! laptop, `postgres://…` in a cluster. Statements are written once, in the
//! SQL that both speak (`$1` placeholders, `ON CONFLICT … DO UPDATE`, `BIGINT`
//! and `TEXT` columns), so that there is one implementation to test, and the
//! same tests run against both servers. What is of many rows or keys goes
//! through [`insert_rows`] and [`for_keys`], which write each database's own.

mod bulk;
mod database;
mod error;
mod part;
mod postgres;
mod refused;
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
mod tests;
mod values;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use bulk::{ListStatement, for_keys, insert_rows};
pub use database::Database;
pub use error::{Cause, Error, answered};
pub use refused::refused;
pub use values::{SqlValue, SqlValues};

/// Section `store`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `sqlite:///absolute/path.db` or `postgres://user:password@host/database`.
    /// Give one with a password by a file or by environment.
    #[serde(skip_serializing)]
    #[schemars(extend("writeOnly" = true))]
    pub url: String,
    /// Connections at most.
    #[serde(default = "default_connections")]
    pub max_connections: u32,
}

fn default_connections() -> u32 {
    8
}

impl std::fmt::Debug for Config {
    /// Without the URL: it may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("max_connections", &self.max_connections).finish_non_exhaustive()
    }
}
