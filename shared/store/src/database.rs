//! The connections of a service to its database.
//!
//! SQLite lets one writer in at a time. A connection that finds the file locked
//! asks again after a while, in no order, until it gives up: `database is
//! locked`. So a SQLite database has one connection that writes. Those who want
//! it wait in turn, and nobody is turned away. The other connections only read;
//! the write-ahead log lets them read beside a writer.

use std::{
    fs::{DirBuilder, OpenOptions, Permissions},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    str::FromStr,
    time::Duration,
};

use sqlx::{
    Any, AnyConnection, AnyPool, ConnectOptions, Connection, Executor, Transaction,
    any::{AnyConnectOptions, AnyPoolOptions},
    migrate::Migrator,
};
use tidemill_domain::Outage;
use tokio::time::{Instant, sleep};

use crate::{Config, Error, error::ANSWER_DEADLINE};

/// How long a call waits for a connection of the pool before it gives up.
const ACQUIRE_DEADLINE: Duration = Duration::from_secs(5);
/// Most connections that read a SQLite file.
const SQLITE_READERS: u32 = 4;

/// What SQLite is told on every connection. Programs beside this one may hold
/// the file for a moment. FULL: what was committed must survive a power cut,
/// since the log is acknowledged on the strength of it.
const PRAGMAS: &str = "PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON";
/// And on those that read.
const READER_PRAGMAS: &str = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON";

/// How long others may have a new file for themselves, and how often it is tried again.
const ALONE: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(20);

/// What PostgreSQL is told on every connection. Statements of ours find their rows
/// by an index. What PostgreSQL knows of a table is a minute old, and a plan is kept:
/// where the table was small then, it would read all of one that has grown since.
const PLANS: &str = "SET enable_seqscan = off";

/// A service's database, its schema up to date.
#[derive(Debug, Clone)]
pub struct Database {
    kind: Dialect,
    readers: AnyPool,
    writer: AnyPool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

impl Database {
    /// Connects, makes a SQLite file where there is none, and migrates with
    /// the migrations of the database that the URL names.
    pub async fn open(config: &Config, sqlite: &Migrator, postgres: &Migrator) -> Result<Self, Error> {
        let database = Self::connect(config).await?;
        match database.kind {
            Dialect::Sqlite => database.migrate_beside_others(sqlite).await?,
            Dialect::Postgres => postgres.run(&database.writer).await?,
        }
        Ok(database)
    }

    /// Connects, and leaves the schema as it is: for who reads what another program keeps.
    pub async fn connect(config: &Config) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        if config.url.starts_with("sqlite:") {
            Self::open_sqlite(config).await
        } else if config.url.starts_with("postgres:") || config.url.starts_with("postgresql:") {
            let pool = told(PLANS).max_connections(config.max_connections).acquire_timeout(ACQUIRE_DEADLINE);
            let pool = pool.connect_with(options(&config.url)?).await?;
            Ok(Self { kind: Dialect::Postgres, readers: pool.clone(), writer: pool })
        } else {
            Err(Error::Config("must begin with sqlite: or postgres:".into()))
        }
    }

    async fn open_sqlite(config: &Config) -> Result<Self, Error> {
        let options = options(&sqlite_url(&config.url)?)?;
        // The journal mode is a property of the file. A connection that changes
        // it needs the file for itself, so it is set once, before the pools.
        let mut connection = sqlx::AnyConnection::connect_with(&options).await?;
        write_ahead(&mut connection).await?;
        connection.close().await?;
        // Whoever waits for the writer is served: a call gives up by itself.
        let writer = sound(told(PRAGMAS)).max_connections(1).acquire_timeout(ANSWER_DEADLINE);
        // To wait in turn is no fault to warn of.
        let writer = writer.acquire_slow_threshold(ANSWER_DEADLINE);
        let writer = writer.connect_with(options.clone()).await?;
        let readers = sound(told(READER_PRAGMAS)).max_connections(config.max_connections.clamp(1, SQLITE_READERS));
        let readers = readers.acquire_timeout(ACQUIRE_DEADLINE).connect_with(options).await?;
        Ok(Self { kind: Dialect::Sqlite, readers, writer })
    }

    /// Migrates a SQLite file that another program may be migrating at this moment: PostgreSQL
    /// lets one of them do it, and SQLite knows no such lock. Each step is a transaction, and
    /// who comes second with one fails at it. Then the other's steps are there, and it goes on
    /// behind them.
    async fn migrate_beside_others(&self, migrator: &Migrator) -> Result<(), Error> {
        let mut steps = self.steps().await;
        loop {
            let Err(error) = migrator.run(&self.writer).await else { return Ok(()) };
            let before = std::mem::replace(&mut steps, self.steps().await);
            // What fails although nobody has come further stays wrong.
            if steps <= before {
                return Err(error.into());
            }
        }
    }

    /// How many migrations are done; none where there is no table of them yet.
    async fn steps(&self) -> i64 {
        let steps = sqlx::query_scalar("SELECT COUNT(*) FROM _sqlx_migrations");
        steps.fetch_one(&self.writer).await.unwrap_or_default()
    }

    /// Connections for statements that read. A statement that writes fails here
    /// on SQLite.
    pub fn pool(&self) -> &AnyPool {
        &self.readers
    }

    /// Connections for single statements that write.
    pub fn writer(&self) -> &AnyPool {
        &self.writer
    }

    /// Begins a transaction that writes. On SQLite the transaction has the file
    /// for itself from here on: what it reads is still true when it writes.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, Error> {
        Ok(match self.kind {
            Dialect::Sqlite => self.writer.begin_with("BEGIN IMMEDIATE").await?,
            Dialect::Postgres => self.writer.begin().await?,
        })
    }

    /// Begins a transaction that reads: all its statements see the database as it
    /// was at the first of them.
    pub async fn snapshot(&self) -> Result<Transaction<'static, Any>, Error> {
        Ok(match self.kind {
            Dialect::Sqlite => self.readers.begin().await?,
            Dialect::Postgres => self.readers.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?,
        })
    }

    /// Closes every connection, after the statements under way.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Has the file keep a log of what is written. While another program does the same to a new
/// file, SQLite says at once that it is locked, whatever `busy_timeout` is.
async fn write_ahead(connection: &mut AnyConnection) -> Result<(), Error> {
    let give_up = Instant::now() + ALONE;
    loop {
        match connection.execute("PRAGMA journal_mode = WAL").await.map_err(Error::from) {
            Err(error) if error.is_outage() && Instant::now() < give_up => sleep(AGAIN).await,
            done => return done.map(drop),
        }
    }
}

/// Connections that are told something before they are used.
fn told(statements: &'static str) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .after_connect(move |connection, _| Box::pin(async move { connection.execute(statements).await.map(|_| ()) }))
}

/// Connections of SQLite that are closed where a transaction has ended without them.
/// SQLite rolls back by itself when the disk is full, when it cannot read or write, and when
/// memory is short. The connection's own rollback then fails, it takes the transaction for
/// open from then on, and nobody could begin another one.
fn sound(pool: AnyPoolOptions) -> AnyPoolOptions {
    pool.after_release(|connection, _| {
        Box::pin(async move {
            // A transaction that was dropped is rolled back before this is answered.
            connection.ping().await?;
            Ok(!connection.is_in_transaction())
        })
    })
}

fn options(url: &str) -> Result<AnyConnectOptions, Error> {
    let options = AnyConnectOptions::from_str(url).map_err(|_| Error::Config("is not a valid database URL".into()))?;
    Ok(options.disable_statement_logging())
}

fn sqlite_url(url: &str) -> Result<String, Error> {
    let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
    if path.is_empty() || path.contains('?') {
        return Err(Error::Config("sqlite needs the form sqlite:///path/to/file".into()));
    }
    make_private(Path::new(path)).map_err(|e| not_made(path, e))?;
    Ok(format!("sqlite://{path}?mode=rwc"))
}

/// Why a file could not be made. Where there is no room, there may be some later.
pub(crate) fn not_made(path: &str, error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::Query(sqlx::Error::Io(error)),
        _ => Error::Config(format!("cannot make {path}: {error}")),
    }
}

/// Makes the file, and the folders that are missing, for their owner alone.
/// SQLite makes the files beside it (`-wal`, `-shm`) with the file's own mode;
/// those from earlier get that mode now. A folder that is there already is its
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
