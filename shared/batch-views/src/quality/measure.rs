//! Measures a table.

use std::{collections::BTreeMap, sync::Arc};

use deltalake::{
    DeltaTable,
    arrow::{
        array::{Array, RecordBatch},
        datatypes::Schema,
    },
    datafusion::{catalog::TableProvider, prelude::SessionContext},
};
use futures::TryStreamExt as _;
use tidemill_domain::Timestamp;

use super::{
    counted::CountedTable,
    counts::{FileCounts, KnownCounts, RuleCount},
    folders::folders,
    lag::{LagQuantiles, added_behind},
    terms::QualityTerms,
};
use crate::{SqlEngine, SqlError};

/// Files that are counted by one query.
const FILES_AT_ONCE: usize = 64;
/// The column that names the file of a row.
const FILE: &str = "__file";

/// A table, measured.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredTable {
    /// The version.
    pub version: u64,
    /// What all its files come to.
    pub counts: FileCounts,
    /// How many duplicates it has; none where a folder is too large to be looked at.
    pub duplicates: Option<u64>,
    /// How long the rows took that came since the version that was measured before.
    pub lag: Option<LagQuantiles>,
    /// What was not known before.
    pub counted: KnownCounts,
    /// What was known, and is not in it any more.
    pub gone: Vec<String>,
}

/// A table while it is measured.
struct OpenTable<'e> {
    engine: &'e SqlEngine,
    table: DeltaTable,
    spec: &'static CountedTable,
    schema: Arc<Schema>,
}

impl SqlEngine {
    /// What tells counts of a table by these terms from others; none where there is no
    /// such table.
    ///
    /// # Errors
    /// The store is away, or the table cannot be read.
    pub async fn quality_fingerprint(&self, path: &str, terms: QualityTerms) -> Result<Option<String>, SqlError> {
        let Some(table) = self.open(path).await? else { return Ok(None) };
        Ok(Some(table.spec.fingerprint(terms, &table.schema)))
    }

    /// Measures a table; nothing where there is none. `known` has what was counted before
    /// under the same fingerprint, and `since` the version that was measured before.
    ///
    /// # Errors
    /// The store is away, or the table cannot be read.
    pub async fn measure(
        &self,
        path: &str,
        terms: QualityTerms,
        known: &KnownCounts,
        since: Option<u64>,
    ) -> Result<Option<MeasuredTable>, SqlError> {
        let Some(table) = self.open(path).await? else { return Ok(None) };
        let measured = table.measure(terms, known, since).await;
        measured.map(Some).map_err(|error| error.of_tables(&[path.to_owned()]))
    }

    async fn open(&self, path: &str) -> Result<Option<OpenTable<'_>>, SqlError> {
        let Some(table) = self.lake().existing(path).await? else { return Ok(None) };
        let schema = table.table_provider().await?.schema();
        Ok(Some(OpenTable { engine: self, table, spec: CountedTable::of(path), schema }))
    }
}

impl OpenTable<'_> {
    async fn measure(
        &self,
        terms: QualityTerms,
        known: &KnownCounts,
        since: Option<u64>,
    ) -> Result<MeasuredTable, SqlError> {
        let files = self.files().await?;
        let new: Vec<&String> = files.iter().filter(|path| !known.contains_key(*path)).collect();
        let mut counted = KnownCounts::new();
        for some in new.chunks(FILES_AT_ONCE) {
            self.count(some, terms, &mut counted).await?;
        }
        let mut counts = FileCounts::default();
        let mut rows = BTreeMap::new();
        for path in &files {
            if let Some(file) = known.get(path).or_else(|| counted.get(path)) {
                counts.add(file);
                // Counts of rows are whole numbers.
                rows.insert(path.clone(), file.sum("rows") as u64);
            }
        }
        let (duplicates, standing) = self.duplicates(&rows, terms, known, &mut counted).await?;
        let gone = known.keys().filter(|path| !rows.contains_key(*path) && !standing.contains(path));
        let gone = gone.cloned().collect();
        let lag = match since {
            Some(version) => self.lag(version, &files).await?,
            None => None,
        };
        let version = self.table.version().unwrap_or_default();
        Ok(MeasuredTable { version, counts, duplicates, lag, counted, gone })
    }

    async fn files(&self) -> Result<Vec<String>, SqlError> {
        let log_store = self.table.log_store();
        let views = self.table.snapshot()?.snapshot().file_views(log_store.as_ref(), None);
        Ok(views.map_ok(|view| view.path().into_owned()).try_collect().await?)
    }

    /// A session that has some of the files as the table `counted`.
    async fn session(&self, paths: &[&String]) -> Result<SessionContext, SqlError> {
        let context = self.engine.context();
        self.table.update_datafusion_session(&context.state())?;
        let paths = paths.iter().map(|path| path.as_str());
        let provider = self.table.table_provider().with_file_column(FILE).with_file_paths(paths).await?;
        context.register_table("counted", provider as Arc<dyn TableProvider>)?;
        Ok(context)
    }

    /// Counts some files.
    async fn count(&self, paths: &[&String], terms: QualityTerms, counted: &mut KnownCounts) -> Result<(), SqlError> {
        let context = self.session(paths).await?;
        // One without rows has no group.
        counted.extend(paths.iter().map(|path| ((*path).clone(), FileCounts::default())));
        let query = self.spec.query(FILE, terms, &self.schema);
        each_row(&context, &query.sql, |row| {
            let Some(file) = row.file(paths).and_then(|path| counted.get_mut(path)) else { return };
            let sums = query.sums.iter().enumerate();
            file.sums = sums.map(|(n, name)| ((*name).to_owned(), row.number(n + 1).unwrap_or_default())).collect();
            if self.spec.received.is_some() {
                let first = query.sums.len() + 1;
                (file.newest, file.newest_sent) = (row.time(first), row.time(first + 1));
            }
        })
        .await?;
        let Some(sql) = self.spec.rules(FILE, &self.schema) else { return Ok(()) };
        each_row(&context, &sql, |row| {
            let Some(file) = row.file(paths).and_then(|path| counted.get_mut(path)) else { return };
            let (Some(rule), Some(severity), Some(failed)) = (row.text(1), row.text(3), row.number(4)) else { return };
            file.rules.push(RuleCount { rule, contract: row.text(2), severity, failed: failed as u64 });
        })
        .await
    }

    /// The duplicates of all folders, and the names under which those are known.
    async fn duplicates(
        &self,
        rows: &BTreeMap<String, u64>,
        terms: QualityTerms,
        known: &KnownCounts,
        counted: &mut KnownCounts,
    ) -> Result<(Option<u64>, Vec<String>), SqlError> {
        let Some(sql) = self.spec.duplicates() else { return Ok((None, Vec::new())) };
        let (mut sum, mut standing) = (Some(0), Vec::new());
        for (name, folder) in folders(rows) {
            if let Some(found) = known.get(&name) {
                sum = sum.map(|sum| sum + found.sum("duplicates") as u64);
            } else if folder.rows > terms.most_rows {
                sum = None;
                continue;
            } else {
                let context = self.session(&folder.paths.iter().collect::<Vec<_>>()).await?;
                let mut found = 0.0;
                each_row(&context, &sql, |row| found = row.number(0).unwrap_or_default()).await?;
                sum = sum.map(|sum| sum + found as u64);
                let sums = [("duplicates".to_owned(), found)].into();
                counted.insert(name.clone(), FileCounts { sums, ..FileCounts::default() });
            }
            standing.push(name);
        }
        Ok((sum, standing))
    }

    /// How long the rows took that came behind a version, as far as they are in files
    /// that are still there.
    async fn lag(&self, version: u64, files: &[String]) -> Result<Option<LagQuantiles>, SqlError> {
        let Some(received) = self.spec.received else { return Ok(None) };
        let added = added_behind(&self.table, version).await?;
        let new: Vec<&String> = files.iter().filter(|path| added.contains_key(*path)).collect();
        let mut lags = BTreeMap::new();
        for some in new.chunks(FILES_AT_ONCE) {
            let context = self.session(some).await?;
            let sql = format!("SELECT {FILE}, CAST({received} AS BIGINT), count(*) FROM counted GROUP BY 1, 2");
            each_row(&context, &sql, |row| {
                let committed = row.file(some).and_then(|path| added.get(path));
                if let (Some(committed), Some(received), Some(count)) = (committed, row.time(1), row.number(2)) {
                    *lags.entry((committed - received.millis()).max(0)).or_default() += count as u64;
                }
            })
            .await?;
        }
        Ok(LagQuantiles::of(&lags))
    }
}

/// A row of an answer.
struct AnswerRow<'b> {
    batch: &'b RecordBatch,
    row: usize,
}

impl AnswerRow<'_> {
    fn text(&self, column: usize) -> Option<String> {
        let values = self.batch.column(column);
        let is_there = !values.is_null(self.row);
        is_there.then(|| crate::gold::text(self.batch, column, self.row).ok()).flatten()
    }

    fn number(&self, column: usize) -> Option<f64> {
        self.text(column)?.parse().ok()
    }

    /// A moment in microseconds.
    fn time(&self, column: usize) -> Option<Timestamp> {
        let micros: i64 = self.text(column)?.parse().ok()?;
        Some(Timestamp::saturating_from_millis(micros.div_euclid(1000)))
    }

    /// Which of these the file in the first column is: it is there with its whole address.
    fn file<'p>(&self, paths: &[&'p String]) -> Option<&'p String> {
        let address = self.text(0)?;
        paths.iter().find(|path| address.ends_with(path.as_str())).copied()
    }
}

async fn each_row(context: &SessionContext, sql: &str, mut take: impl FnMut(AnswerRow<'_>)) -> Result<(), SqlError> {
    let mut stream = context.sql(sql).await?.execute_stream().await?;
    while let Some(batch) = stream.try_next().await? {
        (0..batch.num_rows()).for_each(|row| take(AnswerRow { batch: &batch, row }));
    }
    Ok(())
}
