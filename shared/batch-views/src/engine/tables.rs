//! The tables that there are.

use std::{collections::BTreeMap, sync::Arc};

use deltalake::{
    DeltaTable,
    datafusion::{
        catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider},
        common::TableReference,
        prelude::SessionContext,
    },
    kernel::StructField,
};
use futures::{StreamExt as _, TryStreamExt as _, future::ready, stream};
use tidemill_domain::{Outage as _, Timestamp};
use tidemill_lake_tables::{ColumnDefinition, tables::ALL};

use super::{
    SqlEngine,
    as_of::{AsOf, changed_at, go_back},
    statement::NamedTables,
    tiers,
};
use crate::{
    SqlError,
    layers::{GOLD, LAYERS},
    session::CATALOG,
};

/// Tables that are opened at once.
const OPENED_AT_ONCE: usize = 8;

/// A table, and how fresh it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableState {
    /// As questions name it.
    pub name: String,
    /// What a row is, of a table that is declared.
    pub about: Option<&'static str>,
    /// Its version.
    pub version: u64,
    /// When that was made.
    pub changed_at: Option<Timestamp>,
    /// Files that it consists of.
    pub files: usize,
    /// Their bytes.
    pub bytes: i64,
    /// Its columns, and their types.
    pub columns: Vec<ColumnState>,
}

/// A table that cannot be read.
#[derive(Debug)]
pub struct UnreadableTable {
    /// As questions name it.
    pub name: String,
    /// Why it cannot be read.
    pub error: SqlError,
}

/// What there is.
#[derive(Debug, Default)]
pub struct TableListing {
    /// Tables that can be read.
    pub tables: Vec<TableState>,
    /// The others.
    pub unreadable: Vec<UnreadableTable>,
}

/// Tables as a session has them: by their paths, the versions.
#[derive(Debug, Default)]
pub(crate) struct TableVersions(BTreeMap<String, i64>);

impl TableVersions {
    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    pub(crate) fn version(&self, path: &str) -> Option<i64> {
        self.0.get(path).copied()
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnState {
    /// Its name.
    pub name: String,
    /// Its type, as Delta calls it.
    pub kind: String,
    /// What it says, of a table that is declared.
    pub about: Option<&'static str>,
}

impl ColumnState {
    /// One that is declared.
    pub(crate) fn declared(column: &ColumnDefinition) -> Self {
        Self { name: column.name.to_owned(), kind: column.kind.to_string(), about: Some(column.about) }
    }
}

impl SqlEngine {
    /// The paths that tables may have.
    pub(crate) fn paths(&self) -> Vec<String> {
        let declared = ALL.iter().map(|table| table.path());
        let more = GOLD.iter().map(|name| format!("gold/{name}"));
        let metrics = self.metrics.iter().map(|metric| format!("gold/{}", metric.name));
        let mut paths: Vec<String> = declared.chain(more).chain(metrics).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// The tables that there are now.
    async fn existing(&self, paths: Vec<String>) -> Result<Vec<(String, DeltaTable)>, SqlError> {
        let open = |path: String| async move {
            let table = self.lake.existing(&path).await?;
            Ok::<_, SqlError>(table.map(|table| (path, table)))
        };
        let tables = stream::iter(paths).map(open).buffered(OPENED_AT_ONCE);
        tables.try_filter_map(|table| ready(Ok(table))).try_collect().await
    }

    /// All tables, with how fresh they are.
    ///
    /// # Errors
    /// The store is away.
    pub async fn tables(&self) -> Result<TableListing, SqlError> {
        let open = |path: String| async move {
            let opened = self.lake.existing(&path).await;
            (path, opened)
        };
        let mut opened = stream::iter(self.paths()).map(open).buffered(OPENED_AT_ONCE);
        let mut listing = TableListing::default();
        while let Some((path, opened)) = opened.next().await {
            let state = match opened {
                Ok(None) => continue,
                Ok(Some(table)) => state(&path, &table),
                Err(error) if error.is_outage() => return Err(error.into()),
                Err(error) => Err(error.into()),
            };
            match state {
                Ok(state) => listing.tables.push(state),
                Err(error) => {
                    let (name, error) = (path.replace('/', "."), error.of_tables(&[path]));
                    listing.unreadable.push(UnreadableTable { name, error });
                }
            }
        }
        Ok(listing)
    }

    /// Makes those tables of these known to a session that there are.
    pub(crate) async fn sources(&self, context: &SessionContext, paths: &[&str]) -> Result<TableVersions, SqlError> {
        let tables = self.existing(paths.iter().map(ToString::to_string).collect()).await?;
        let version = |table: &DeltaTable| table.version().unwrap_or_default().try_into().unwrap_or(i64::MAX);
        let sources = tables.iter().map(|(path, table)| (path.clone(), version(table))).collect();
        self.provide(context, tables).await?;
        Ok(TableVersions(sources))
    }

    /// The same; answers the tables themselves.
    pub(crate) async fn opened(
        &self,
        context: &SessionContext,
        paths: &[&str],
    ) -> Result<BTreeMap<String, DeltaTable>, SqlError> {
        let tables = self.existing(paths.iter().map(ToString::to_string).collect()).await?;
        self.provide(context, tables.clone()).await?;
        Ok(tables.into_iter().collect())
    }

    /// Makes tables known to a session, by names of the caller's.
    pub(crate) async fn provide(
        &self,
        context: &SessionContext,
        tables: Vec<(String, DeltaTable)>,
    ) -> Result<(), SqlError> {
        self.provide_as_of(context, tables, None).await
    }

    /// Makes the tables that a question names known to a session.
    pub(super) async fn register(
        &self,
        context: &SessionContext,
        names: NamedTables,
        as_of: Option<AsOf>,
    ) -> Result<(), SqlError> {
        let paths = match names {
            NamedTables::All => self.paths(),
            NamedTables::Some(paths) => {
                if matches!(as_of, Some(AsOf::Version(_))) && paths.len() > 1 {
                    return Err(SqlError::VersionOfSeveral(paths.len()));
                }
                let known = self.paths();
                if let Some(unknown) = paths.iter().find(|path| !known.contains(path)) {
                    return Err(self.unknown(unknown).await);
                }
                let tables = self.existing(paths.iter().cloned().collect()).await?;
                if let Some(missing) = paths.iter().find(|path| tables.iter().all(|(there, _)| there != *path)) {
                    return Err(self.unknown(missing).await);
                }
                return self.provide_as_of(context, tables, as_of).await;
            }
        };
        let tables = self.existing(paths).await?;
        self.provide_as_of(context, tables, as_of).await
    }

    async fn unknown(&self, path: &str) -> SqlError {
        match self.existing(self.paths()).await {
            Err(error) => error,
            Ok(tables) => {
                let known: Vec<_> = tables.iter().map(|(path, _)| path.replace('/', ".")).collect();
                let mut known = if known.is_empty() { "none yet".into() } else { known.join(", ") };
                // It is one that can be there.
                if path.starts_with("gold/") && self.paths().iter().any(|could| could == path) {
                    known +=
                        "; it comes with the next computation of gold (`gold.every_seconds`, two minutes by default)";
                }
                SqlError::UnknownTable { name: path.replace('/', "."), known }
            }
        }
    }

    async fn provide_as_of(
        &self,
        context: &SessionContext,
        tables: Vec<(String, DeltaTable)>,
        as_of: Option<AsOf>,
    ) -> Result<(), SqlError> {
        let catalog = MemoryCatalogProvider::new();
        for layer in LAYERS {
            catalog.register_schema(layer, Arc::new(MemorySchemaProvider::new()))?;
        }
        context.register_catalog(CATALOG, Arc::new(catalog));
        for (path, mut table) in tables {
            go_back(&path, &mut table, as_of).await?;
            let provider = match self.cold_of(&path, as_of).await? {
                Some(cold) => tiers::both(context, &table, &cold).await?,
                None => tiers::provider(context, &table).await?,
            };
            if let Some((layer, name)) = path.split_once('/') {
                context.register_table(TableReference::partial(layer, name), provider)?;
            }
        }
        Ok(())
    }
}

/// The columns of the table at this path.
pub(crate) fn columns_of(path: &str, table: &DeltaTable) -> Result<Vec<ColumnState>, SqlError> {
    let declared = ALL.iter().find(|declared| declared.path() == path);
    let about = |name: &str| {
        let column = declared?.columns.iter().find(|column| column.name == name);
        column.map(|column| column.about)
    };
    let schema = table.snapshot()?.schema();
    let column = |field: &StructField| ColumnState {
        name: field.name().clone(),
        kind: field.data_type().to_string(),
        about: about(field.name()),
    };
    Ok(schema.fields().map(column).collect())
}

fn state(path: &str, table: &DeltaTable) -> Result<TableState, SqlError> {
    let files = table.snapshot()?.log_data();
    let declared = ALL.iter().find(|declared| declared.path() == path);
    Ok(TableState {
        name: path.replace('/', "."),
        about: declared.map(|declared| declared.about),
        version: table.version().unwrap_or_default(),
        changed_at: changed_at(table),
        files: files.num_files(),
        bytes: files.iter().map(|file| file.size()).sum(),
        columns: columns_of(path, table)?,
    })
}
