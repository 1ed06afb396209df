use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use sqlx::{
    AssertSqlSafe, SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use super::{database::not_made, error::cause_of, *};

#[test]
fn an_error_is_of_the_moment_of_the_data_or_a_fault() {
    for (cause, codes) in [
        (Cause::Moment, &["08006", "40001", "53300", "55P03", "57P01", "58030", "25006", "5", "517", "6", "13"][..]),
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

/// A server that is stopped while a service starts ends that service no more.
#[test]
fn a_migration_that_lost_its_server_is_tried_again() {
    let of = |error| Error::from(MigrateError::Execute(error)).cause();
    assert_eq!(of(sqlx::Error::WorkerCrashed), Cause::Moment);
    assert_eq!(Error::from(MigrateError::ExecuteMigration(sqlx::Error::PoolTimedOut, 3)).cause(), Cause::Moment);
    // A migration that the database does not take stays wrong.
    assert_eq!(of(sqlx::Error::RowNotFound), Cause::Fault);
    assert_eq!(Error::from(MigrateError::VersionMismatch(3)).cause(), Cause::Fault);
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
    let (mode,): (String,) = sqlx::query_as("PRAGMA journal_mode").fetch_one(database.pool()).await.expect("answers");
    assert_eq!(mode, "wal");
}

/// A schema that grew: no step can be taken twice.
fn grown() -> Migrator {
    let step = |n: i64| {
        let sql =
            if n == 1 { "CREATE TABLE t (c1 BIGINT)".into() } else { format!("ALTER TABLE t ADD COLUMN c{n} BIGINT") };
        Migration::new(n, format!("step {n}").into(), MigrationType::Simple, AssertSqlSafe(sql).into_sql_str(), false)
    };
    Migrator { migrations: (1..=12).map(step).collect::<Vec<_>>().into(), ..Migrator::DEFAULT }
}

/// As two suites on one new folder, or two replicas that are started at once: SQLite knows no
/// lock under which one of them makes the schema.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_opens_a_new_sqlite_file_beside_others_finds_its_schema() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().expect("temporary folder");
        let url = format!("sqlite://{}/new/store.db", folder.path().display());
        let mut starts = tokio::task::JoinSet::new();
        for n in 0..6 {
            let config = Config { url: url.clone(), max_connections: 2 };
            starts.spawn(async move {
                let database = Database::open(&config, &grown(), &Migrator::DEFAULT).await?;
                sqlx::query("INSERT INTO t (c1, c12) VALUES ($1, $1)").bind(n).execute(database.writer()).await?;
                Ok::<_, Error>(database)
            });
        }
        for started in starts.join_all().await {
            started.expect("it starts").close().await;
        }
    }
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
        sqlx::query("CREATE TABLE IF NOT EXISTS t (x BIGINT)").execute(database.writer()).await.expect("writes");
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

async fn counter(folder: &tempfile::TempDir) -> Database {
    let url = format!("sqlite://{}/store.db", folder.path().display());
    let database = Database::open(&Config { url, max_connections: 8 }, &Migrator::DEFAULT, &Migrator::DEFAULT)
        .await
        .expect("opens");
    for sql in ["CREATE TABLE counter (value BIGINT NOT NULL)", "INSERT INTO counter VALUES (0)"] {
        sqlx::query(sql).execute(database.writer()).await.expect("writes");
    }
    database
}

async fn value(database: &Database) -> i64 {
    sqlx::query_scalar("SELECT value FROM counter").fetch_one(database.pool()).await.expect("reads")
}

/// Reads before it writes, like a store that decides by what is there.
async fn add_one(database: &Database) -> Result<(), Error> {
    let mut transaction = database.begin().await?;
    let value: i64 = sqlx::query_scalar("SELECT value FROM counter").fetch_one(&mut *transaction).await?;
    sqlx::query("UPDATE counter SET value = $1").bind(value + 1).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// SQLite once answered some of them with "database is locked".
#[tokio::test(flavor = "multi_thread")]
async fn many_writers_of_one_sqlite_file_lose_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let database = counter(&folder).await;
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let database = database.clone();
        writers.spawn(async move {
            let mut failed = Vec::new();
            for _ in 0..10 {
                failed.extend(add_one(&database).await.err().map(|error| error.to_string()));
            }
            failed
        });
    }
    let failed: Vec<String> = writers.join_all().await.into_iter().flatten().collect();
    assert_eq!(failed, Vec::<String>::new());
    assert_eq!(value(&database).await, 400);
}

/// A writer keeps nobody from reading, and another writer waits.
#[tokio::test]
async fn readers_of_a_sqlite_file_do_not_wait_for_its_writer() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let database = counter(&folder).await;
    let mut transaction = database.begin().await.expect("begins");
    sqlx::query("UPDATE counter SET value = 7").execute(&mut *transaction).await.expect("writes");
    assert_eq!(value(&database).await, 0, "nothing is committed");
    let second = tokio::spawn({
        let database = database.clone();
        async move { add_one(&database).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!second.is_finished());
    transaction.commit().await.expect("commits");
    second.await.expect("ends").expect("has its turn");
    assert_eq!(value(&database).await, 8);
}

/// If a statement writes by way of the readers, the first test that runs it
/// finds out.
#[tokio::test]
async fn a_reader_of_a_sqlite_file_cannot_write() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let database = counter(&folder).await;
    let written = sqlx::query("UPDATE counter SET value = 7").execute(database.pool()).await;
    let error = Error::from(written.expect_err("is refused"));
    assert_eq!(error.cause(), Cause::Fault, "{error}");
    assert_eq!(value(&database).await, 0);
}

/// Lets the file grow no further, as if its disk were full, for as long as the connection
/// that writes is open.
async fn fill_up(database: &Database) {
    // No less than there are.
    sqlx::query("PRAGMA max_page_count = 1").fetch_all(database.writer()).await.expect("answers");
}

/// SQLite rolls back by itself where there is no room, and the pool once kept a connection
/// for which the transaction was still open: nobody could begin another one.
#[tokio::test]
async fn a_sqlite_file_that_had_no_room_takes_the_next_transaction() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let database = counter(&folder).await;
    for end in ["dropped", "rolled back", "committed"] {
        fill_up(&database).await;
        let mut transaction = database.begin().await.expect("begins");
        let large = sqlx::query("INSERT INTO counter VALUES (zeroblob(1000000))");
        let error = Error::from(large.execute(&mut *transaction).await.expect_err("there is no room"));
        assert!(error.is_transient() && error.to_string().contains("(code: 13)"), "{error}");
        match end {
            "dropped" => drop(transaction),
            "rolled back" => drop(transaction.rollback().await.expect_err("SQLite did it already")),
            _ => drop(transaction.commit().await.expect_err("nothing is open")),
        }
        add_one(&database).await.expect(end);
    }
    assert_eq!(value(&database).await, 3);
}

/// The same of a transaction that reads: it would see the file as it was, for ever.
#[tokio::test]
async fn a_reader_whose_transaction_is_gone_is_closed() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let url = format!("sqlite://{}/store.db", folder.path().display());
    let config = Config { url, max_connections: 1 };
    let database = Database::open(&config, &Migrator::DEFAULT, &Migrator::DEFAULT).await.expect("opens");
    sqlx::query("CREATE TABLE counter (value BIGINT NOT NULL)").execute(database.writer()).await.expect("writes");
    let mut snapshot = database.snapshot().await.expect("begins");
    // As SQLite does it by itself where it cannot read.
    sqlx::query("ROLLBACK").execute(&mut *snapshot).await.expect("rolls back");
    drop(snapshot);
    let mut snapshot = database.snapshot().await.expect("begins");
    sqlx::query("SELECT value FROM counter").fetch_all(&mut *snapshot).await.expect("reads");
    drop(snapshot);
    sqlx::query("INSERT INTO counter VALUES (7)").execute(database.writer()).await.expect("writes");
    assert_eq!(value(&database).await, 7);
}

#[test]
fn a_folder_without_room_is_waited_for() {
    let error = |code| std::io::Error::from_raw_os_error(code);
    assert!(not_made("store.db", error(28)).is_transient(), "ENOSPC");
    assert_eq!(not_made("store.db", error(13)).cause(), Cause::Fault, "EACCES");
}
