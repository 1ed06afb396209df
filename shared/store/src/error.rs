//! What can go wrong with a database, and what is to blame for it.

use std::time::Duration;

use sqlx::migrate::MigrateError;
use tidemill_domain::Outage;
use tokio::time::timeout;

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL names no database that can be used.
    #[error("store.url: {0}")]
    Config(String),
    /// The schema could not be brought up to date.
    #[error("store migration: {0}")]
    Migrate(#[from] MigrateError),
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

/// What is to blame for an error, and so what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The moment: the server is away or busy. The same call may succeed later.
    Moment,
    /// The data: this database will never take them. Trying again does not help,
    /// and neither does a restart: whoever brought them has to set them aside
    /// ([`refused`](crate::refused()) finds them).
    Data,
    /// The statement, the schema or the configuration: only a person can help.
    Fault,
}

impl Error {
    /// What is to blame for the error.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Config(_) | Self::Malformed(_) => Cause::Fault,
            Self::NoAnswer(_) => Cause::Moment,
            // A server that goes away under a migration comes back.
            Self::Migrate(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _))
                if of_query(error) == Cause::Moment =>
            {
                Cause::Moment
            }
            Self::Migrate(_) => Cause::Fault,
            Self::Query(error) => of_query(error),
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

fn of_query(error: &sqlx::Error) -> Cause {
    match error {
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
    }
}

/// The cause behind a database's own code. PostgreSQL's SQLSTATE has five
/// characters (its manual, appendix A); SQLite's extended result codes are
/// numbers of at most four digits, whose low byte is the primary code.
pub(crate) fn cause_of(code: &str) -> Cause {
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

/// How long a call may take. A server whose machine lost its power sends no
/// answer, and the system goes on trying for a quarter of an hour.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// A call's answer, or [`Error::NoAnswer`] after 30 s. Its connection is closed
/// then, and nobody knows whether the call took effect. So it must be one that
/// may be made again.
pub async fn answered<T, E: From<Error>>(call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    match timeout(ANSWER_DEADLINE, call).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::NoAnswer(ANSWER_DEADLINE).into()),
    }
}
