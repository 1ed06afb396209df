//! For tests: real servers with a private folder and port each, a strict
//! stand-in for Slack, waiting for a condition with a deadline, and memory.

use std::{io::Write, path::PathBuf};

mod gate;
mod memory;
mod nats;
mod overheard;
mod postgres;
mod s3;
mod texts;
mod wait;
mod wire;

pub use gate::{Gate, GateMode};
pub use memory::{memory_limit, peak_memory};
pub use nats::{TestNats, jetstream};
pub use overheard::Overheard;
pub use postgres::Postgres;
pub use s3::S3Server;
pub use tempfile::TempDir;
pub use texts::any_texts;
pub use tidemill_embedded::{NatsServer, Password as NatsPassword, SlackStandIn as FakeSlack};
pub use wait::{eventually, try_eventually};

/// A temporary folder.
///
/// # Panics
/// When the system has no room for one.
pub fn tempdir() -> TempDir {
    tempfile::tempdir().unwrap_or_else(|e| panic!("no temporary folder: {e}"))
}

/// The folder of the crate whose tests run, or the current one outside cargo.
/// Asked at run time: clones that share a target directory share binaries, and
/// what `env!` compiled into them can be another clone's folder.
pub fn crate_folder() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// Says that a test was skipped for want of something that `make test` installs.
///
/// # Panics
/// Where `CI` is set: there everything is, and a test that is left out silently
/// would prove nothing for months.
pub fn skipped(test: &str, why: &str) {
    assert!(!is_ci(std::env::var("CI").ok().as_deref()), "{test} must not be skipped where CI is set: {why}");
    skipped_even_in_ci(test, why);
}

/// Says that a test was skipped, and why, where a reader of its output sees it:
/// not by a macro, whose output the test harness keeps to itself. For what the
/// README says may be absent.
pub fn skipped_even_in_ci(test: &str, why: &str) {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// Whether a value of `CI` says that this is continuous integration.
fn is_ci(value: Option<&str>) -> bool {
    value.is_some_and(|value| !matches!(value, "" | "0" | "false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continuous_integration_is_what_says_so() {
        for (value, expected) in
            [(None, false), (Some(""), false), (Some("false"), false), (Some("true"), true), (Some("1"), true)]
        {
            assert_eq!(is_ci(value), expected, "{value:?}");
        }
    }
}
