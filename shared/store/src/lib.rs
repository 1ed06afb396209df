//! A service's own database.
//!
//! Every service owns one, and names it by URL: `sqlite:///path/to/file` on a
//! laptop, `postgres://…` in a cluster. Statements are written once, in the
//! SQL that both speak (`$1` placeholders, `ON CONFLICT … DO UPDATE`, `BIGINT`
//! and `TEXT` columns), so that there is one implementation to test, and the
//! same tests run against both servers.

mod refused;
#[doc(hidden)]
pub mod testing;

use std::{
    fs::{DirBuilder, OpenOptions, Permissions},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    str::FromStr,
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::{
    AnyPool, ConnectOptions, Connection, Executor,
    any::{AnyConnectOptions, AnyPoolOptions},
    migrate::Migrator,
};
use tidemill_domain::Outage;
use tokio::time::timeout;

pub use refused::refused;

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

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL names no database that can be used.
    #[error("store.url: {0}")]
    Config(String),
    /// The schema could not be brought up to date.
    #[error("store migration: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A statement failed.
    #[error("store: {0}")]
    Query(#[from] sqlx::Error),
    /// The server has said nothing for so long.
    #[error("store: no answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
    /// A stored value is not what its column says.
    #[error("store holds a malformed {0}")]
    Malformed(&'static str),
}

/// What an error is to blame on, and so what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The moment: the server is away or busy. The same call may succeed later.
    Moment,
    /// The data: this database will never take them. Trying again does not help,
    /// and neither does a restart: whoever brought them has to set them aside
    /// ([`refused`] finds them).
    Data,
    /// The statement, the schema or the configuration: only a person can help.
    Fault,
}

impl Error {
    /// What it is to blame on.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Config(_) | Self::Migrate(_) | Self::Malformed(_) => Cause::Fault,
            Self::NoAnswer(_) => Cause::Moment,
            Self::Query(error) => match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => Cause::Moment,
                // A value that has no form in the database's protocol.
                sqlx::Error::Encode(_) => Cause::Data,
                sqlx::Error::Database(database) => database.code().map_or(Cause::Fault, |code| cause_of(&code)),
                _ => Cause::Fault,
            },
        }
    }

    /// Whether the same call may succeed later: the server is away or busy.
    pub fn is_transient(&self) -> bool {
        self.cause() == Cause::Moment
    }

    /// Whether the database will never take what it was given.
    pub fn is_refusal(&self) -> bool {
        self.cause() == Cause::Data
    }
}

/// The cause behind a database's own code. PostgreSQL's SQLSTATE has five
/// characters (its manual, appendix A); SQLite's extended result codes are
/// numbers of at most four digits, whose low byte is the primary code.
fn cause_of(code: &str) -> Cause {
    if code.len() == 5 {
        return match (code, &code[..2]) {
            // A server that was a primary and is a standby now says 25006.
            ("25006", _) => Cause::Moment,
            // Connection, rollback by the server, resources, lock, shutdown, disk.
            (_, "08" | "40" | "53" | "55" | "57" | "58") => Cause::Moment,
            // Cardinality, data, integrity, and limits such as an index row's size.
            (_, "21" | "22" | "23" | "54") => Cause::Data,
            _ => Cause::Fault,
        };
    }
    match code.parse::<u32>().map(|code| code & 0xff) {
        // Busy, locked, out of memory, I/O error, disk full, file not to be opened.
        Ok(5 | 6 | 7 | 10 | 13 | 14) => Cause::Moment,
        // Too big, constraint, mismatch of types, out of range.
        Ok(18 | 19 | 20 | 25) => Cause::Data,
        _ => Cause::Fault,
    }
}

impl Outage for Error {
    fn is_outage(&self) -> bool {
        self.is_transient()
    }
}

/// How long a call may take. A server whose machine lost its power leaves it
/// without an answer, and the system tries for a quarter of an hour.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// A call's answer, or [`Error::NoAnswer`] after 30 s. Its connection is closed
/// then, and what it was to do is done or not: so it must be something that
/// may be done again.
pub async fn answered<T, E: From<Error>>(call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    match timeout(ANSWER_DEADLINE, call).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::NoAnswer(ANSWER_DEADLINE).into()),
    }
}

/// A pool of connections to a service's database, its schema up to date.
#[derive(Debug, Clone)]
pub struct Database {
    pool: AnyPool,
}

impl Database {
    /// Connects, makes a SQLite file where there is none, and migrates with
    /// the migrations of the database that the URL names.
    pub async fn open(config: &Config, sqlite: &Migrator, postgres: &Migrator) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let is_sqlite = config.url.starts_with("sqlite:");
        if !is_sqlite && !config.url.starts_with("postgres:") && !config.url.starts_with("postgresql:") {
            return Err(Error::Config("must begin with sqlite: or postgres:".into()));
        }
        let url = if is_sqlite { sqlite_url(&config.url)? } else { config.url.clone() };
        let options = AnyConnectOptions::from_str(&url)
            .map_err(|_| Error::Config("is not a valid database URL".into()))?
            .disable_statement_logging();
        if is_sqlite {
            // The journal mode is a property of the file, and changing it
            // needs the file for itself: once, before the pool.
            let mut connection = sqlx::AnyConnection::connect_with(&options).await?;
            connection.execute("PRAGMA journal_mode = WAL").await?;
            connection.close().await?;
        }
        let pool = AnyPoolOptions::new()
            .max_connections(if is_sqlite { config.max_connections.min(4) } else { config.max_connections })
            .acquire_timeout(Duration::from_secs(5))
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if is_sqlite {
                        // FULL: what was committed must survive a power cut,
                        // since the log is acknowledged on the strength of it.
                        connection
                            .execute("PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
                            .await?;
                    }
                    Ok(())
                })
            })
            .connect_with(options)
            .await?;
        let migrator = if is_sqlite { sqlite } else { postgres };
        migrator.run(&pool).await?;
        Ok(Self { pool })
    }

    /// The pool.
    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Closes every connection, after the statements under way.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn sqlite_url(url: &str) -> Result<String, Error> {
    let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
    if path.is_empty() || path.contains('?') {
        return Err(Error::Config("sqlite needs the form sqlite:///path/to/file".into()));
    }
    make_private(Path::new(path)).map_err(|e| Error::Config(format!("cannot make {path}: {e}")))?;
    Ok(format!("sqlite://{path}?mode=rwc"))
}

/// Makes the file, and the folders that it lacks, for their owner alone. SQLite
/// makes what it keeps beside the file (`-wal`, `-shm`) with the file's own
/// mode; what is there from earlier gets it now. A folder that is there is its
/// owner's business.
fn make_private(file: &Path) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    for suffix in ["", "-wal", "-shm"] {
        let mut path = file.as_os_str().to_owned();
        path.push(suffix);
        match std::fs::set_permissions(&path, Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The `VALUES` list of a statement that inserts `rows` rows of `columns`
/// values: `($1,$2),($3,$4)`.
pub fn placeholders(rows: usize, columns: usize) -> String {
    let mut list = String::with_capacity(rows * columns * 5);
    for row in 0..rows {
        list.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..columns {
            if column > 0 {
                list.push(',');
            }
            list.push_str(&format!("${}", row * columns + column + 1));
        }
        list.push(')');
    }
    list
}

/// Rows that one statement can take at most: SQLite binds 32,766 values.
pub const fn rows_per_statement(columns: usize) -> usize {
    30_000 / columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_count_on() {
        assert_eq!(placeholders(2, 3), "($1,$2,$3),($4,$5,$6)");
    }

    #[test]
    fn an_error_is_of_the_moment_of_the_data_or_a_fault() {
        for (cause, codes) in [
            (
                Cause::Moment,
                &["08006", "40001", "53300", "55P03", "57P01", "58030", "25006", "5", "517", "6", "13"][..],
            ),
            // 22021 & 0xff is SQLite's 5, and U+0000 was once tried again for ever.
            (Cause::Data, &["22021", "22003", "23505", "21000", "54000", "18", "19", "2067", "20"][..]),
            (Cause::Fault, &["42P01", "28P01", "3D000", "25001", "1", "11", "26", "", "nonsense"][..]),
        ] {
            for code in codes {
                assert_eq!(cause_of(code), cause, "{code}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_not_waited_for_for_ever() {
        let error = answered(std::future::pending::<Result<(), Error>>()).await.expect_err("nothing comes");
        assert!(matches!(error, Error::NoAnswer(_)) && error.is_transient(), "{error}");
        assert_eq!(answered(async { Ok::<_, Error>(7) }).await.expect("an answer"), 7);
    }

    #[tokio::test]
    async fn a_wrong_url_is_an_error_of_configuration() {
        let none = Migrator::DEFAULT;
        for url in ["mysql://x", "sqlite:", "sqlite:///tmp/x?mode=memory", "postgres:// /"] {
            let config = Config { url: url.into(), max_connections: 1 };
            let error = Database::open(&config, &none, &none).await.expect_err(url);
            assert!(matches!(error, Error::Config(_)), "{url}: {error}");
            assert!(!error.is_transient());
        }
    }

    #[tokio::test]
    async fn a_sqlite_file_is_made_with_its_folder() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let url = format!("sqlite://{}/deep/store.db", folder.path().display());
        let database = Database::open(&Config { url, max_connections: 2 }, &Migrator::DEFAULT, &Migrator::DEFAULT)
            .await
            .expect("opens");
        let (mode,): (String,) =
            sqlx::query_as("PRAGMA journal_mode").fetch_one(database.pool()).await.expect("answers");
        assert_eq!(mode, "wal");
    }

    /// What a store holds is no business of the machine's other users.
    #[tokio::test]
    async fn a_sqlite_file_is_its_owners_alone() {
        let mode = |path: &Path| std::fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        let folder = tempfile::tempdir().expect("temporary folder");
        let store = folder.path().join("deep/store.db");
        let config = Config { url: format!("sqlite://{}", store.display()), max_connections: 2 };
        let open = async || {
            let database = Database::open(&config, &Migrator::DEFAULT, &Migrator::DEFAULT).await.expect("opens");
            sqlx::query("CREATE TABLE IF NOT EXISTS t (x BIGINT)").execute(database.pool()).await.expect("writes");
            database
        };
        let all = ["store.db", "store.db-wal", "store.db-shm"].map(|name| store.with_file_name(name));
        let first = open().await;
        assert_eq!(all.each_ref().map(|path| mode(path)), [0o600; 3]);
        assert_eq!(mode(store.parent().expect("a folder")), 0o700);
        // As an earlier release made them.
        all.iter().for_each(|path| std::fs::set_permissions(path, Permissions::from_mode(0o644)).expect("changes"));
        let second = open().await;
        assert_eq!(all.each_ref().map(|path| mode(path)), [0o600; 3]);
        first.close().await;
        second.close().await;
    }
}
