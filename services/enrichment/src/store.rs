//! The service's database: reference data, floors, and the events seen.

use std::collections::HashMap;

use sqlx::{Any, AnyConnection, Row, Transaction, any::AnyRow, migrate::Migrator};
use tidemill_domain::{Partition, Timestamp, text::has_control};
use tidemill_store::{Config, Database, Error as StoreError, placeholders, refused, rows_per_statement};
use tokio::sync::Mutex;

use crate::{
    duplicates::{Batch, Key, Marks},
    error::Error,
    records::{File, Record},
    reference::{Attributes, Change, Kind, Verdict, decide},
};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// The open database.
pub(crate) struct Store {
    database: Database,
    /// One writer at a time. SQLite lets in no more, and waiting here is
    /// quicker and fairer than its polling.
    writing: Mutex<()>,
}

/// What one step of a partition leaves behind.
pub(crate) struct Step<'a> {
    pub(crate) partition: Partition,
    /// The floor as the step found it.
    pub(crate) from: u64,
    /// And as it leaves it.
    pub(crate) to: u64,
    /// Its batches.
    pub(crate) batches: Vec<&'a Batch>,
    /// Batches below this are no longer needed.
    pub(crate) prune_below: Option<u64>,
}

type Histories = HashMap<String, Vec<Change>>;

impl Store {
    pub(crate) async fn open(config: &Config) -> Result<Self, StoreError> {
        let database = Database::open(config, &SQLITE, &POSTGRES).await?;
        Ok(Self { database, writing: Mutex::default() })
    }

    /// The last batch of a partition that is done; 0 before the first.
    pub(crate) async fn floor(&self, partition: Partition) -> Result<u64, StoreError> {
        let floor: Option<i64> = sqlx::query_scalar("SELECT raw_seq FROM floors WHERE partition = $1")
            .bind(i64::from(partition.index()))
            .fetch_optional(self.database.pool())
            .await?;
        floor.map_or(Ok(0), unsigned)
    }

    /// The batches of a partition that are remembered, in their order.
    pub(crate) async fn batches(&self, partition: Partition) -> Result<Vec<Batch>, StoreError> {
        let rows = sqlx::query(
            "SELECT raw_seq, log_clock, keys, marks FROM seen_batches WHERE partition = $1 ORDER BY raw_seq",
        )
        .bind(i64::from(partition.index()))
        .fetch_all(self.database.pool())
        .await?;
        rows.iter().map(batch).collect()
    }

    /// Keeps a step, as a whole or not at all. An error when the floor is not
    /// where the step found it: another instance has been at work.
    pub(crate) async fn keep(&self, step: &Step<'_>) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        let mut transaction = self.begin().await?;
        if self.advance(&mut transaction, step).await? {
            insert_batches(&mut transaction, step).await?;
            if let Some(below) = step.prune_below {
                sqlx::query("DELETE FROM seen_batches WHERE partition = $1 AND raw_seq < $2")
                    .bind(i64::from(step.partition.index()))
                    .bind(signed(below))
                    .execute(&mut *transaction)
                    .await
                    .map_err(StoreError::from)?;
            }
            Ok(transaction.commit().await.map_err(StoreError::from)?)
        } else {
            Err(Error::Superseded(step.partition))
        }
    }

    /// Moves the floor from where the step found it; tells whether it was there.
    async fn advance(&self, connection: &mut AnyConnection, step: &Step<'_>) -> Result<bool, StoreError> {
        let (partition, from, to) = (i64::from(step.partition.index()), signed(step.from), signed(step.to));
        let statement = if step.from == 0 {
            sqlx::query("INSERT INTO floors (partition, raw_seq) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(partition)
                .bind(to)
        } else {
            sqlx::query("UPDATE floors SET raw_seq = $2 WHERE partition = $1 AND raw_seq = $3")
                .bind(partition)
                .bind(to)
                .bind(from)
        };
        Ok(statement.execute(connection).await?.rows_affected() == 1)
    }

    /// The number of accepted changes of reference data.
    pub(crate) async fn version(&self) -> Result<u64, StoreError> {
        let version =
            sqlx::query_scalar("SELECT version FROM reference_version").fetch_one(self.database.pool()).await?;
        unsigned(version)
    }

    /// What changed after `version`, at most `limit` of it.
    pub(crate) async fn changed_ids(&self, version: u64, limit: usize) -> Result<Vec<(Kind, String)>, StoreError> {
        let rows = sqlx::query("SELECT kind, id FROM reference_changes WHERE version > $1 ORDER BY version LIMIT $2")
            .bind(signed(version))
            .bind(signed(limit as u64))
            .fetch_all(self.database.pool())
            .await?;
        rows.iter().map(|row| Ok((kind(row.try_get(0)?)?, row.try_get(1)?))).collect()
    }

    /// What was accepted for these ids; those without anything are left out.
    /// They come from events, so they may be any text. Of one that is no name, or
    /// that the database cannot hold, nothing is known: on every database alike.
    pub(crate) async fn histories(&self, kind: Kind, ids: &[&str]) -> Result<Histories, StoreError> {
        let names: Vec<&str> = ids.iter().copied().filter(|id| !has_control(id)).collect();
        self.known_of(kind, names).await
    }

    async fn known_of(&self, kind: Kind, mut ids: Vec<&str>) -> Result<Histories, StoreError> {
        match self.ask(kind, &ids).await {
            Err(error) if error.is_refusal() => {}
            answer => return answer,
        }
        let trial = |places: Vec<usize>| {
            let some: Vec<&str> = places.iter().map(|place| ids[*place]).collect();
            async move { self.ask(kind, &some).await.map(drop) }
        };
        let refused = refused(ids.len(), trial, StoreError::is_refusal).await?;
        tracing::warn!(%kind, ids = refused.len(), "ids that the database cannot hold: nothing is known of them");
        for place in refused.into_iter().rev() {
            ids.remove(place);
        }
        self.ask(kind, &ids).await
    }

    async fn ask(&self, kind: Kind, ids: &[&str]) -> Result<Histories, StoreError> {
        let mut connection = self.database.pool().acquire().await?;
        histories(&mut connection, kind, ids).await
    }

    /// What was accepted for every id of a kind.
    pub(crate) async fn histories_of(&self, kind: Kind) -> Result<Histories, StoreError> {
        let rows = sqlx::query(
            "SELECT id, version, valid_from, attributes FROM reference_changes WHERE kind = $1 ORDER BY version",
        )
        .bind(kind.as_str())
        .fetch_all(self.database.pool())
        .await?;
        by_id(&rows)
    }

    /// The ids of a kind that come after `after`, in their order.
    pub(crate) async fn ids(&self, kind: Kind, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT DISTINCT id FROM reference_changes WHERE kind = $1 AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(kind.as_str())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await?)
    }

    /// Takes in records, in their order, and says what became of each.
    pub(crate) async fn accept(&self, records: &[Record], earliest: Timestamp) -> Result<Vec<Verdict>, StoreError> {
        let _writing = self.writing.lock().await;
        let mut transaction = self.begin().await?;
        let verdicts = accept(&mut transaction, records, earliest).await?;
        transaction.commit().await?;
        Ok(verdicts)
    }

    /// Takes in a file, if its content is not what was loaded last.
    pub(crate) async fn load(&self, file: &File, earliest: Timestamp) -> Result<Option<Vec<Verdict>>, Error> {
        let _writing = self.writing.lock().await;
        let mut transaction = self.begin().await?;
        // This row is the writers' turn, also among replicas that start at once.
        lock_version(&mut transaction).await?;
        let sql = "INSERT INTO reference_files (path, digest) VALUES ($1, $2)
                   ON CONFLICT (path) DO UPDATE SET digest = excluded.digest
                   WHERE reference_files.digest <> excluded.digest";
        let fresh = sqlx::query(sql)
            .bind(&file.path)
            .bind(&file.digest)
            .execute(&mut *transaction)
            .await
            .map_err(StoreError::from)?;
        if fresh.rows_affected() == 0 {
            return Ok(None);
        }
        let verdicts = accept(&mut transaction, &file.records, earliest).await?;
        if let Some(at) = verdicts.iter().position(|verdict| *verdict == Verdict::TooEarly) {
            let Record { kind, id, .. } = &file.records[at];
            let reason = format!("{kind} {id:?}: {}", Error::TooEarly { earliest });
            return Err(Error::Definition { file: file.path.clone(), reason });
        }
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(Some(verdicts))
    }

    async fn begin(&self) -> Result<Transaction<'_, Any>, StoreError> {
        Ok(self.database.begin().await?)
    }
}

async fn insert_batches(connection: &mut AnyConnection, step: &Step<'_>) -> Result<(), StoreError> {
    for chunk in step.batches.chunks(rows_per_statement(5)) {
        let sql = format!(
            "INSERT INTO seen_batches (partition, raw_seq, log_clock, keys, marks) VALUES {}",
            placeholders(chunk.len(), 5)
        );
        let mut statement = sqlx::query(sqlx::AssertSqlSafe(sql));
        for batch in chunk {
            let keys: Vec<u8> = batch.keys.iter().flat_map(|key| key.to_bytes()).collect();
            statement = statement
                .bind(i64::from(step.partition.index()))
                .bind(signed(batch.raw_seq))
                .bind(batch.clock.millis())
                .bind(keys)
                .bind(batch.marks.as_ref().map(|marks| marks.as_bytes().to_vec()));
        }
        statement.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Takes the version row for the rest of the transaction.
async fn lock_version(connection: &mut AnyConnection) -> Result<u64, StoreError> {
    let version = sqlx::query_scalar("UPDATE reference_version SET version = version RETURNING version")
        .fetch_one(connection)
        .await?;
    unsigned(version)
}

async fn accept(
    connection: &mut AnyConnection,
    records: &[Record],
    earliest: Timestamp,
) -> Result<Vec<Verdict>, StoreError> {
    let version = lock_version(connection).await?;
    let mut accepted: HashMap<Kind, Histories> = HashMap::new();
    for kind in Kind::ALL {
        let ids: Vec<&str> = records.iter().filter(|r| r.kind == kind).map(|r| r.id.as_str()).collect();
        accepted.insert(kind, histories(connection, kind, &ids).await?);
    }
    let mut newest = version;
    let mut changes: Vec<(&Record, Change)> = Vec::new();
    let mut verdicts = Vec::with_capacity(records.len());
    for record in records {
        let history = accepted.entry(record.kind).or_default().entry(record.id.clone()).or_default();
        let is_new = history.first().is_none_or(|first| first.version > version);
        let verdict = decide(history, is_new, record, earliest, newest + 1);
        if let Verdict::Changed(number, valid_from) = verdict {
            newest = number;
            let change = Change { version: number, valid_from, attributes: record.attributes.clone() };
            history.push(change.clone());
            changes.push((record, change));
        }
        verdicts.push(verdict);
    }
    insert_changes(connection, &changes).await?;
    sqlx::query("UPDATE reference_version SET version = $1").bind(signed(newest)).execute(connection).await?;
    Ok(verdicts)
}

async fn insert_changes(connection: &mut AnyConnection, changes: &[(&Record, Change)]) -> Result<(), StoreError> {
    for chunk in changes.chunks(rows_per_statement(5)) {
        let sql = format!(
            "INSERT INTO reference_changes (kind, id, version, valid_from, attributes) VALUES {}",
            placeholders(chunk.len(), 5)
        );
        let mut statement = sqlx::query(sqlx::AssertSqlSafe(sql));
        for (record, change) in chunk {
            let attributes =
                serde_json::to_string(&change.attributes).map_err(|_| StoreError::Malformed("attributes"))?;
            statement = statement
                .bind(record.kind.as_str())
                .bind(record.id.as_str())
                .bind(signed(change.version))
                .bind(change.valid_from.map(Timestamp::millis))
                .bind(attributes);
        }
        statement.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn histories(connection: &mut AnyConnection, kind: Kind, ids: &[&str]) -> Result<Histories, StoreError> {
    let mut found = Histories::new();
    for chunk in ids.chunks(rows_per_statement(1)) {
        // The kind is bound after the ids, so that those count from $1.
        let sql = format!(
            "SELECT id, version, valid_from, attributes FROM reference_changes WHERE id IN {} AND kind = ${} ORDER BY version",
            placeholders(1, chunk.len()),
            chunk.len() + 1,
        );
        let statement = chunk.iter().fold(sqlx::query(sqlx::AssertSqlSafe(sql)), |statement, id| statement.bind(*id));
        found.extend(by_id(&statement.bind(kind.as_str()).fetch_all(&mut *connection).await?)?);
    }
    Ok(found)
}

fn by_id(rows: &[AnyRow]) -> Result<Histories, StoreError> {
    let mut histories = Histories::new();
    for row in rows {
        let attributes: String = row.try_get(3)?;
        histories.entry(row.try_get(0)?).or_default().push(Change {
            version: unsigned(row.try_get(1)?)?,
            valid_from: row.try_get::<Option<i64>, _>(2)?.map(Timestamp::saturating_from_millis),
            attributes: serde_json::from_str::<Attributes>(&attributes)
                .map_err(|_| StoreError::Malformed("attributes"))?,
        });
    }
    Ok(histories)
}

fn batch(row: &AnyRow) -> Result<Batch, StoreError> {
    let keys: Vec<u8> = row.try_get(2)?;
    let (keys, rest) = keys.as_chunks::<{ Key::BYTES }>();
    if !rest.is_empty() {
        return Err(StoreError::Malformed("keys"));
    }
    Ok(Batch {
        raw_seq: unsigned(row.try_get(0)?)?,
        clock: Timestamp::saturating_from_millis(row.try_get(1)?),
        keys: keys.iter().copied().map(Key::from_bytes).collect(),
        marks: row.try_get::<Option<Vec<u8>>, _>(3)?.map(Marks::from_bytes),
    })
}

fn kind(text: &str) -> Result<Kind, StoreError> {
    Kind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(StoreError::Malformed("kind"))
}

/// Sequences and versions fit: both count one by one from zero.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Malformed("number"))
}

#[cfg(test)]
mod tests {
    use tidemill_testkit::Postgres;

    use super::*;
    use crate::testing;

    const PARTITION: Partition = Partition::new(3);

    fn at(millis: i64) -> Timestamp {
        Timestamp::saturating_from_millis(millis)
    }

    fn seen(raw_seq: u64, keys: u8) -> Batch {
        let marks = (raw_seq != 5).then(|| (0..keys).map(|n| n % 3 == 0).collect());
        let keys = (0..keys).map(|n| Key::from_bytes([n.wrapping_mul(37) ^ 0xff; Key::BYTES])).collect();
        Batch { raw_seq, clock: at(1_000_000 + i64::from(u32::try_from(raw_seq).expect("small"))), keys, marks }
    }

    fn record(kind: Kind, id: &str, category: &str) -> Record {
        let attributes =
            Attributes::from([("category".into(), category.into()), ("na\u{ef}ve".into(), "\"\u{1f30a}".into())]);
        Record { kind, id: id.into(), valid_from: None, attributes }
    }

    fn step(from: u64, to: u64, batches: Vec<&Batch>, prune_below: Option<u64>) -> Step<'_> {
        Step { partition: PARTITION, from, to, batches, prune_below }
    }

    /// What every database has to do.
    async fn suite(store: &Store) {
        batches_and_floor_move_together(store).await;
        changes_are_counted_and_found(store).await;
        a_file_is_loaded_once(store).await;
        writers_take_turns(store).await;
        any_text_may_be_asked_for(store).await;
    }

    async fn batches_and_floor_move_together(store: &Store) {
        assert_eq!(store.floor(PARTITION).await.expect("reads"), 0);
        let (two, five, nine) = (seen(2, 3), seen(5, 0), seen(9, 200));
        store.keep(&step(0, 5, vec![&two, &five], None)).await.expect("keeps");
        for wrong in [0, 4, 6] {
            let late = store.keep(&step(wrong, 9, vec![&nine], Some(100))).await;
            assert!(matches!(late, Err(Error::Superseded(PARTITION))), "{wrong}: {late:?}");
        }
        assert_eq!(store.floor(PARTITION).await.expect("reads"), 5);
        assert_eq!(store.batches(PARTITION).await.expect("reads"), [two, five.clone()]);
        store.keep(&step(5, 9, vec![&nine], Some(5))).await.expect("keeps");
        assert_eq!(store.batches(PARTITION).await.expect("reads"), [five, nine]);
        assert_eq!(store.floor(PARTITION).await.expect("reads"), 9);
        assert_eq!(store.batches(Partition::new(4)).await.expect("reads"), []);
    }

    async fn changes_are_counted_and_found(store: &Store) {
        assert_eq!(store.version().await.expect("reads"), 0);
        let books = record(Kind::Product, "1", "Books");
        let other = [record(Kind::Customer, "1", "x"), record(Kind::Product, "1", "Toys")];
        let first = store.accept(std::slice::from_ref(&books), at(500)).await.expect("accepts");
        assert_eq!(first, [Verdict::Changed(1, None)]);
        assert_eq!(store.accept(&[books], at(600)).await.expect("accepts"), [Verdict::Unchanged(1)]);
        let more = store.accept(&other, at(700)).await.expect("accepts");
        assert_eq!(more, [Verdict::Changed(2, None), Verdict::Changed(3, Some(at(700)))]);
        let early = Record { valid_from: Some(at(10)), ..record(Kind::Product, "1", "Games") };
        assert_eq!(store.accept(&[early], at(800)).await.expect("accepts"), [Verdict::TooEarly]);

        assert_eq!(store.version().await.expect("reads"), 3);
        let changed = store.changed_ids(1, 10).await.expect("reads");
        assert_eq!(changed, [(Kind::Customer, "1".into()), (Kind::Product, "1".into())]);
        assert_eq!(store.changed_ids(0, 1).await.expect("reads").len(), 1);
        let found = store.histories(Kind::Product, &["1", "nothing"]).await.expect("reads");
        assert_eq!(found.len(), 1);
        assert_eq!(
            found["1"].iter().map(|c| (c.version, c.valid_from)).collect::<Vec<_>>(),
            [(1, None), (3, Some(at(700)))]
        );
        assert_eq!(found["1"][1].attributes, record(Kind::Product, "1", "Toys").attributes);
        assert_eq!(store.histories_of(Kind::Customer).await.expect("reads")["1"][0].version, 2);
    }

    async fn any_text_may_be_asked_for(store: &Store) {
        store.accept(&["t-1", "Zo\u{eb}"].map(|id| record(Kind::Product, id, "Books")), at(0)).await.expect("accepts");
        let texts = tidemill_testkit::any_texts();
        let ids: Vec<&str> = texts.iter().map(String::as_str).chain(["t-1", "Zo\u{eb}"]).collect();
        let known = |found: Histories| found.into_keys().collect::<std::collections::BTreeSet<_>>();
        let expected = ["t-1", "Zo\u{eb}"].map(String::from).into();
        assert_eq!(known(store.histories(Kind::Product, &ids).await.expect("answers")), expected);
        // Where a database refuses an id, the others are found all the same.
        assert_eq!(known(store.known_of(Kind::Product, ids).await.expect("answers")), expected);
    }

    async fn a_file_is_loaded_once(store: &Store) {
        let before = store.version().await.expect("reads");
        let file = |digest: &str, records| File { path: "products.yaml".into(), digest: digest.into(), records };
        let many: Vec<Record> = (0..12_000).map(|n| record(Kind::Product, &format!("f-{n:05}"), "Books")).collect();
        let first = file("one", many);
        let verdicts = store.load(&first, at(1000)).await.expect("loads").expect("is new");
        assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Changed(_, None))));
        assert_eq!(store.load(&first, at(2000)).await.expect("loads"), None);
        assert_eq!(store.version().await.expect("reads"), before + 12_000);
        assert_eq!(store.ids(Kind::Product, "f-11997", 10).await.expect("reads"), ["f-11998", "f-11999"]);

        let second =
            file("two", vec![record(Kind::Product, "f-00000", "Books"), record(Kind::Product, "f-00001", "Toys")]);
        let verdicts = store.load(&second, at(3000)).await.expect("loads").expect("is new");
        assert_eq!(verdicts, [Verdict::Unchanged(before + 1), Verdict::Changed(before + 12_001, Some(at(3000)))]);

        let early = Record { valid_from: Some(at(1)), ..record(Kind::Product, "f-00002", "Toys") };
        let wrong = file("three", vec![record(Kind::Product, "new", "Toys"), early]);
        let error = store.load(&wrong, at(4000)).await.expect_err("is refused").to_string();
        assert!(error.contains("products.yaml") && error.contains("f-00002"), "{error}");
        assert_eq!(store.version().await.expect("reads"), before + 12_001, "nothing of it is taken in");
    }

    async fn writers_take_turns(store: &Store) {
        let before = store.version().await.expect("reads");
        let writes = (0..20).map(|n| async move {
            store.accept(&[record(Kind::Product, &format!("w-{n}"), "Books")], at(0)).await.expect("accepts")
        });
        let versions = futures::future::join_all(writes).await;
        let mut versions: Vec<u64> = versions
            .into_iter()
            .map(|verdicts| match verdicts[..] {
                [Verdict::Changed(version, None)] => version,
                ref other => panic!("{other:?}"),
            })
            .collect();
        versions.sort_unstable();
        assert_eq!(versions, (before + 1..=before + 20).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn sqlite_passes() {
        let folder = tidemill_testkit::tempdir();
        suite(&testing::sqlite(&folder).await).await;
    }

    #[tokio::test]
    async fn postgres_passes() {
        let Some(server) = Postgres::start().await else {
            return tidemill_testkit::skipped("the store on PostgreSQL", "it is not installed");
        };
        suite(&testing::open(&server.url()).await).await;
    }

    /// Two instances on one database, as in a rolling update.
    #[tokio::test]
    async fn instances_share_postgres_without_losing_a_version() {
        let Some(server) = Postgres::start().await else {
            return tidemill_testkit::skipped("two instances on PostgreSQL", "it is not installed");
        };
        let (one, two) = (testing::open(&server.url()).await, testing::open(&server.url()).await);
        let write = |store: &'static str, n: usize| {
            let id = format!("{store}-{n}");
            let store = if store == "one" { &one } else { &two };
            async move { store.accept(&[record(Kind::Customer, &id, "x")], at(0)).await.expect("accepts") }
        };
        futures::future::join_all((0..20).flat_map(|n| [write("one", n), write("two", n)])).await;
        assert_eq!(one.version().await.expect("reads"), 40);
        assert_eq!(two.changed_ids(0, 100).await.expect("reads").len(), 40);
        let batch = seen(1, 1);
        let step = step(0, 1, vec![&batch], None);
        let (a, b) = tokio::join!(one.keep(&step), two.keep(&step));
        assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1, "{a:?} {b:?}");
    }
}
