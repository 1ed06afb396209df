//! What an earlier release has stored is read by this one.

use sqlx::migrate::Migration;
use tidemill_store::Database;

use super::*;

/// The schema of before distinct values were packed.
fn earlier(migrator: &Migrator) -> Migrator {
    let earlier: Vec<Migration> = migrator.iter().filter(|migration| migration.version < 6).cloned().collect();
    Migrator::with_migrations(earlier)
}

async fn distinct_values_are_read_as_they_were(config: Config) {
    let database = Database::open(&config, &earlier(&SQLITE), &earlier(&POSTGRES)).await.expect("opens");
    let totals = r#"[{"kind":"distinct_keyed","state":3},{"kind":"sum","state":"1.00"}]"#;
    let (id, other) = (vec![7_u8; 16], vec![8_u8; 16]);
    for id in [&id, &other] {
        let cell = sqlx::query(
            "INSERT INTO cells (id, partition, metric, version, window_start, window_end, dimensions, totals, raw_seq) \
             VALUES ($1, 3, 'daily', 'v', 0, 86400000, '{}', $2, 9)",
        );
        cell.bind(id.clone()).bind(totals).execute(database.writer()).await.expect("writes");
    }
    let hashes = [i64::MIN, -1, 0, 1, 0x0123_4567_89AB_CDEF, i64::MAX];
    for (n, hash) in hashes.into_iter().enumerate() {
        let id = if n < 4 { &id } else { &other };
        let seen = sqlx::query("INSERT INTO seen (cell, measure, hash) VALUES ($1, 0, $2)").bind(id.clone()).bind(hash);
        seen.execute(database.writer()).await.expect("writes");
    }
    database.close().await;

    let fixture = Fixture::open(config).await;
    let (id, other) = ([7; 16], [8; 16]);
    let cells = fixture.store.cells(&[id, other]).await.expect("reads");
    let seen = |id: &CellId| {
        let mut seen: Vec<i64> = match &cells[id].measures[0] {
            MeasureState::Keyed { seen, .. } => seen.iter().map(|hash| hash.cast_signed()).collect(),
            MeasureState::Plain(_) => panic!("a distinct count"),
        };
        seen.sort_unstable();
        seen
    };
    assert_eq!((seen(&id), seen(&other)), (hashes[..4].to_vec(), hashes[4..].to_vec()));
    assert_eq!(fixture.store.size().await.expect("answers").values, 6);
    assert_eq!(updates(&fixture.store, 8).await.len(), 2);
}

#[tokio::test]
async fn distinct_values_are_read_as_they_were_on_sqlite() {
    distinct_values_are_read_as_they_were(sqlite(&tempdir())).await;
}

#[tokio::test]
async fn distinct_values_are_read_as_they_were_on_postgres() {
    let Some(server) = Postgres::start().await else {
        return skipped("distinct_values_are_read_as_they_were_on_postgres", "no PostgreSQL is installed");
    };
    distinct_values_are_read_as_they_were(Config { url: server.url(), max_connections: 4 }).await;
}

/// A release that knows no pages must not go on where this one has written some.
#[tokio::test]
async fn an_earlier_release_does_not_open_what_has_pages() {
    let folder = tempdir();
    let mut fixture = Fixture::open(sqlite(&folder)).await;
    let floor = async |fixture: &Fixture| -> i64 {
        let row = sqlx::query("SELECT floor FROM partitions WHERE partition = 3");
        row.fetch_one(fixture.store.database.pool()).await.expect("is there").try_get(0).expect("a number")
    };
    let mut owner = fixture.owner(P).await;
    assert_eq!(floor(&fixture).await, 0, "it may still go on");
    sqlx::query("UPDATE partitions SET floor = 4").execute(fixture.store.database.writer()).await.expect("as it did");
    owner.start_behind(4);
    for (raw_seq, raw_prev) in [(7, 4), (9, 7)] {
        fixture.take(&mut owner, &batch(raw_seq, raw_prev, &[(1, 100)])).await;
        let changes = owner.take_changes(Timestamp::EPOCH);
        fixture.store.checkpoint(&changes, &owner.claim, &owner.pages).await.expect("writes");
        assert!(floor(&fixture).await < 0, "which it takes for malformed");
    }
    let behind = batch(8, 7, &[(1, 100)]);
    let mut old = fixture.owner(P).await;
    assert_eq!(old.claim.floor, 9);
    old.state.floor = 7;
    fixture.take(&mut old, &behind).await;
    let refused = fixture.store.checkpoint(&old.take_changes(Timestamp::EPOCH), &old.claim, &old.pages).await;
    assert_eq!(refused.expect_err("lies behind").code().as_str(), "superseded");
}
