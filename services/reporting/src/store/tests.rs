use std::collections::BTreeMap;

use tidemill_events::AlertState;
use tidemill_store::Database;
use tidemill_testkit::{Postgres, skipped, tempdir};

use super::*;
use crate::{
    store::testing::{batches, fold, seen, sqlite, to},
    testing::{at, transition, update},
    unit::StreamUnit,
};

#[tokio::test]
async fn what_is_stored_is_there_after_a_restart() {
    let (store, folder) = sqlite().await;
    fold(&store, &[update(0, 7), update(1, 9)]).await;
    let log = store.fold_log(to(0, 4), &batches(1..5), &BTreeMap::new(), &BTreeMap::new(), at(1)).await;
    assert_eq!(log.expect("folds"), Folded::Done(()));
    let before = seen(&store).await;
    assert!(!before.0.is_empty() && !before.1.is_empty());
    store.close().await;
    let url = format!("sqlite://{}/reporting.db", folder.path().display());
    let again = Store::open(&Config { url, max_connections: 1 }).await.expect("opens again");
    assert_eq!(seen(&again).await, before);
}

/// Another writer folds between a replica's look at the position and its
/// own fold: each message counts once all the same.
#[tokio::test]
async fn two_writers_on_postgres_count_once() {
    let Some(server) = Postgres::start().await else {
        return skipped("two_writers_on_postgres_count_once", "no PostgreSQL is installed");
    };
    let config = Config { url: server.url(), max_connections: 4 };
    // Both make the schema at once, too.
    let (one, other) = tokio::join!(Store::open(&config), Store::open(&config));
    let stores = [one.expect("opens"), other.expect("opens")];
    let follow = async |store: &Store| {
        for after in 0..40 {
            let (range, sequence) = (to(after, after + 1), after + 1);
            let entries = batches(sequence..sequence + 1);
            let (heads, redriven) = (BTreeMap::new(), BTreeMap::new());
            let log = store.fold_log(range, &entries, &heads, &redriven, at(1)).await;
            assert_eq!(log.expect("folds"), Folded::Done(()));
            let fired = transition(1, AlertState::Firing, at(100 - after.cast_signed()));
            let _ = store.fold_alerts(range, &[(sequence, fired)]).await.expect("folds");
            fold(store, &[update(0, sequence)]).await;
        }
    };
    tokio::join!(follow(&stores[0]), follow(&stores[1]));
    let accepted: u64 = stores[0].book_lines().await.expect("lines").iter().map(|(_, line)| line.accepted).sum();
    assert_eq!(accepted, (1..=40_u64).sum::<u64>());
    assert_eq!(stores[1].alerts(None, 9).await.expect("alerts")[0].fired_at, at(61));
    let standing = stores[1].standing().await.expect("standing");
    assert_eq!((standing.change, standing.reached["log"]), (80, 40));
}

/// One server, and a database for each check: one that fails hides no other.
#[tokio::test]
async fn postgres_holds_to_every_check() {
    let Some(server) = Postgres::start().await else {
        return skipped("postgres_holds_to_every_check", "no PostgreSQL is installed");
    };
    let main = Store::open(&Config { url: server.url(), max_connections: 1 }).await.expect("opens");
    let checks = [
        actions::tests::CHECKS,
        alerts::tests::CHECKS,
        base::tests::CHECKS,
        batch::tests::CHECKS,
        books::tests::CHECKS,
        cells::tests::CHECKS,
        counting::tests::CHECKS,
        dead_letters::tests::CHECKS,
        definitions::tests::CHECKS,
        generations::tests::CHECKS,
        positions::tests::CHECKS,
        rollups::tests::CHECKS,
    ];
    let mut failed = Vec::new();
    for (name, check) in checks.concat() {
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(main.database.pool()).await.expect("a database");
        let url = server.url().replace("/postgres", &format!("/{name}"));
        let store = Store::open(&Config { url, max_connections: 4 }).await.expect("opens");
        if let Err(panic) = tokio::spawn(check(store)).await {
            failed.push(format!("{name}: {panic}"));
        }
    }
    assert_eq!(failed, Vec::<String>::new());
}

/// What an earlier release has set aside of METRICS, and gone on behind, is read
/// again by this one.
#[tokio::test]
async fn an_upgrade_reads_what_an_earlier_release_passed_over() {
    let folder = tempdir();
    let url = format!("sqlite://{}/reporting.db", folder.path().display());
    read_again_after_the_upgrade(Config { url, max_connections: 2 }).await;
    let Some(server) = Postgres::start().await else {
        return skipped("an_upgrade_reads_what_an_earlier_release_passed_over", "no PostgreSQL is installed");
    };
    read_again_after_the_upgrade(Config { url: server.url(), max_connections: 2 }).await;
}

async fn read_again_after_the_upgrade(config: Config) {
    let earlier = |migrator: &Migrator| {
        let known: Vec<_> = migrator.iter().filter(|migration| migration.version < 8).cloned().collect();
        Migrator::with_migrations(known)
    };
    let database = Database::open(&config, &earlier(&SQLITE), &earlier(&POSTGRES)).await.expect("opens");
    for unit in [StreamUnit::Metrics, StreamUnit::Log] {
        let position = sqlx::query("INSERT INTO positions (name, sequence) VALUES ($1, 7)").bind(unit.name());
        position.execute(database.writer()).await.expect("writes");
    }
    database.close().await;
    let store = Store::open(&config).await.expect("opens");
    assert_eq!(store.reached(StreamUnit::Metrics).await.expect("answers"), None, "from the beginning");
    assert_eq!(store.reached(StreamUnit::Log).await.expect("answers"), Some(7), "which nobody writes in another form");
    fold(&store, &[update(0, 7)]).await;
    assert_eq!(store.reached(StreamUnit::Metrics).await.expect("answers"), Some(1));
    store.close().await;
}
