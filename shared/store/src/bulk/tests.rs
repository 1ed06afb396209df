use std::cell::RefCell;

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use sqlx::{Row, migrate::Migrator};
use tidemill_testkit::{Postgres, skipped, tempdir};
use tokio::runtime::Runtime;

use super::*;
use crate::{Config, Database};

#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    id: i64,
    number: Option<i64>,
    text: Option<String>,
    bytes: Option<Vec<u8>>,
}

impl Item {
    fn values(&self) -> SqlValues {
        SqlValues::new().bind(self.id).bind(self.number).bind(self.text.clone()).bind(self.bytes.clone())
    }

    fn of(row: &AnyRow) -> Self {
        let get = "a column of this type";
        Self {
            id: row.try_get(0).expect(get),
            number: row.try_get(1).expect(get),
            text: row.try_get(2).expect(get),
            bytes: row.try_get(3).expect(get),
        }
    }
}

const UPDATE: &str =
    "ON CONFLICT (id) DO UPDATE SET number = excluded.number, text = excluded.text, bytes = excluded.bytes";

async fn write(connection: &mut AnyConnection, items: &[Item]) {
    let written = insert_rows(connection, "items (id, number, text, bytes)", UPDATE, items.iter().map(Item::values));
    assert!(written.await.expect("writes").is_empty(), "nothing is asked back");
}

/// What is found by some keys, in their order.
async fn read<K: Into<SqlValue>>(connection: &mut AnyConnection, by: &str, keys: Vec<K>) -> Vec<Item> {
    let sql = format!("SELECT id, number, text, bytes FROM items WHERE ? < 2 AND {by} IN (?)");
    let rows = for_keys(connection, &sql, &SqlValues::new().bind(1_i64), keys).await.expect("reads");
    let mut items: Vec<Item> = rows.iter().map(Item::of).collect();
    items.sort_by_key(|item| item.id);
    items
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    // PostgreSQL takes no U+0000 in a text.
    let text = || prop_oneof![r#"[^\x00]{0,12}"#, r#"["\\{},N'\n é😀]{0,8}"#, Just("NULL".to_owned())];
    let item = (any::<Option<i64>>(), proptest::option::of(text()), any::<Option<Vec<u8>>>());
    vec(item, 0..700).prop_map(|items| {
        let numbered = |(id, (number, text, bytes))| Item { id: id as i64, number, text, bytes };
        items.into_iter().enumerate().map(numbered).collect()
    })
}

async fn what_is_written_comes_back(connection: &mut AnyConnection, items: &[Item]) {
    sqlx::query("DELETE FROM items").execute(&mut *connection).await.expect("deletes");
    // Written twice, the second time over what is there.
    let blank = |item: &Item| Item { id: item.id, number: Some(7), text: None, bytes: None };
    write(connection, &items.iter().map(blank).collect::<Vec<_>>()).await;
    write(connection, items).await;
    assert_eq!(read(connection, "id", (-1..items.len() as i64).collect()).await, items);
    for item in items.iter().take(40) {
        if let Some(text) = &item.text {
            assert!(
                read(connection, "text", vec![text.clone(), "none".into(), text.clone()]).await.contains(item),
                "{item:?}"
            );
        }
        if let Some(bytes) = &item.bytes {
            assert!(read(connection, "bytes", vec![bytes.clone()]).await.contains(item), "{item:?}");
        }
    }
}

/// Around every length that a statement has, and what it returns or changes.
async fn every_length_is_written(connection: &mut AnyConnection) {
    for length in [0, 1, 2, 3, 4, 5, 63, 64, 65, 255, 256, 257, 1023, ARRAY_KEYS, ARRAY_KEYS + 1] {
        sqlx::query("DELETE FROM items").execute(&mut *connection).await.expect("deletes");
        let rows = (0..length as i64).map(|id| SqlValues::new().bind(id).bind(format!("{id}")));
        let written =
            insert_rows(connection, "items (id, text)", "ON CONFLICT (id) DO NOTHING RETURNING id", rows).await;
        let mut ids: Vec<i64> =
            written.expect("writes").iter().map(|row| row.try_get(0).expect("an id")).collect::<Vec<_>>();
        ids.sort_unstable();
        assert_eq!(ids, (0..length as i64).collect::<Vec<_>>());
        for_keys(connection, "DELETE FROM items WHERE id IN (?)", &SqlValues::new(), ids).await.expect("deletes");
        let left: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM items").fetch_one(&mut *connection).await.expect("counts");
        assert_eq!(left, 0, "of {length}");
    }
}

/// Long values make more statements, and not one that no server takes.
async fn long_values_are_written(connection: &mut AnyConnection) {
    let long = |id| Item { id, number: None, text: Some("é\"\\".repeat(700_000)), bytes: Some(vec![0xFE; 1 << 20]) };
    let items: Vec<Item> = (0..5).map(long).collect();
    what_is_written_comes_back(connection, &items).await;
}

fn check(url: String, types: &str) {
    let runtime = Runtime::new().expect("a runtime");
    let connection = RefCell::new(runtime.block_on(async {
        let none = Migrator::DEFAULT;
        let database = Database::open(&Config { url, max_connections: 1 }, &none, &none).await.expect("opens");
        let mut connection = database.writer().acquire().await.expect("connects").detach();
        let table = format!("CREATE TABLE items (id BIGINT PRIMARY KEY, number BIGINT, text TEXT, bytes {types})");
        sqlx::query(AssertSqlSafe(table)).execute(&mut connection).await.expect("makes a table");
        every_length_is_written(&mut connection).await;
        long_values_are_written(&mut connection).await;
        connection
    }));
    let mut runner = TestRunner::new(ProptestConfig { cases: 40, ..ProptestConfig::default() });
    let checked = runner.run(&items(), |items| {
        runtime.block_on(what_is_written_comes_back(&mut connection.borrow_mut(), &items));
        Ok(())
    });
    checked.expect("what is written comes back");
}

#[test]
fn what_is_written_comes_back_on_sqlite() {
    let folder = tempdir();
    check(format!("sqlite://{}/items.db", folder.path().display()), "BLOB");
}

#[test]
fn what_is_written_comes_back_on_postgres() {
    let runtime = Runtime::new().expect("a runtime");
    let Some(server) = runtime.block_on(Postgres::start()) else {
        return skipped("what_is_written_comes_back_on_postgres", "no PostgreSQL is installed");
    };
    check(server.url(), "BYTEA");
}

/// A table of which PostgreSQL knows nothing yet: it would rather read all of it.
#[tokio::test]
async fn keys_of_a_table_that_has_grown_are_found_by_its_index() {
    let Some(server) = Postgres::start().await else {
        return skipped("keys_of_a_table_that_has_grown_are_found_by_its_index", "no PostgreSQL is installed");
    };
    let none = Migrator::DEFAULT;
    let config = Config { url: server.url(), max_connections: 1 };
    let database = Database::open(&config, &none, &none).await.expect("opens");
    for sql in [
        "CREATE TABLE grown (id BIGINT PRIMARY KEY, bytes BYTEA)",
        "INSERT INTO grown SELECT n, '\\x00' FROM generate_series(1, 20000) AS n",
    ] {
        sqlx::query(sql).execute(database.writer()).await.expect("makes the table");
    }
    let keys: Vec<String> = (1..=2_000).map(|key| (key * 7).to_string()).collect();
    let sql = format!("EXPLAIN SELECT bytes FROM grown WHERE id = ANY('{{{}}}'::BIGINT[])", keys.join(","));
    let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(database.pool()).await.expect("explains");
    assert!(plan.iter().any(|line| line.contains("Index Scan") && line.contains("grown")), "{plan:#?}");
}

#[test]
fn a_statement_is_one_of_few() {
    let rows = |count| vec![SqlValues::new().bind(1_i64).bind("x"); count];
    let lengths = |count| {
        inserts("t (a, b)", "", rows(count), str::to_owned).iter().map(|(_, v)| v.len() / 2).collect::<Vec<_>>()
    };
    assert!(lengths(0).is_empty());
    assert_eq!(lengths(341), [256, 64, 16, 4, 1]);
    let (sql, _) = &inserts("t (a, b)", "ON CONFLICT DO NOTHING", rows(5), numbered)[0];
    assert_eq!(**sql, *"INSERT INTO t (a, b) VALUES ($1,$2),($3,$4),($5,$6),($7,$8) ON CONFLICT DO NOTHING");
    let keys: Vec<SqlValue> = (0..5_i64).map(SqlValue::from).collect();
    let (sql, values) =
        &sqlite_lookups("DELETE FROM t WHERE a = ? AND b IN (?)", &SqlValues::new().bind("x"), &keys)[0];
    assert_eq!(**sql, *"DELETE FROM t WHERE a = ? AND b IN (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
    assert_eq!(values.len(), 6);
    let (sql, values) = &array_lookups("DELETE FROM t WHERE a = ? AND b IN (?)", &SqlValues::new().bind("x"), &keys)[0];
    assert_eq!(**sql, *"DELETE FROM t WHERE a = $1 AND b = ANY($2::BIGINT[]) AND b >= $3 AND b <= $4");
    assert_eq!(values[..], [SqlValue::from("x"), SqlValue::from("{0,1,2,3,4}"), 0.into(), 4.into()]);
    let texts = [SqlValue::from("a"), SqlValue::from("b")];
    let (sql, values) =
        &array_lookups("DELETE FROM t WHERE a = ? AND b IN (?)", &SqlValues::new().bind("x"), &texts)[0];
    assert_eq!((&**sql, values.len()), ("DELETE FROM t WHERE a = $1 AND b = ANY($2::TEXT[])", 2));
}
