//! The lake: all tables below one root.

use std::{fmt, sync::Arc};

use deltalake::{
    DeltaTable, ObjectStore,
    logstore::{LogStoreRef, StorageConfig as DeltaStorage, logstore_with},
};
use url::Url;

use crate::{
    definition::TableDefinition,
    error::{LakeError, LakeErrorKind},
    folder::LakeFolder,
    more::MoreColumns,
    sound::SoundStore,
    storage::StorageConfig,
    table::{LakeTable, OWNER, TableProperties, check_protocol},
    tables::ALL,
};

/// Where the tables are.
#[derive(Clone)]
pub struct Lake {
    root: Url,
    store: Arc<dyn ObjectStore>,
    folder: LakeFolder,
    owner: Option<Arc<str>>,
    more: MoreColumns,
}

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lake").field(&self.root.as_str()).finish()
    }
}

impl Lake {
    /// The lake at this place. Nothing is asked of a bucket yet.
    ///
    /// # Errors
    /// The place is none, or the folder cannot be made.
    pub fn open(storage: &StorageConfig) -> Result<Self, LakeError> {
        let root = storage.root()?;
        let store = storage.store(&root)?;
        Ok(Self::over(root, store))
    }

    /// A lake over a store of the caller's.
    pub fn over(root: Url, store: Arc<dyn ObjectStore>) -> Self {
        let folder = LakeFolder::of(&root);
        let store = Arc::new(SoundStore { store, folder: folder.clone() });
        Self { root, store, folder, owner: None, more: MoreColumns::default() }
    }

    /// The same, as the lake of this name knows it: tables of others are not read.
    #[must_use]
    pub fn owned_by(self, owner: &str) -> Self {
        Self { owner: Some(owner.into()), ..self }
    }

    /// The same, whose tables have these columns too.
    #[must_use]
    pub fn with_columns(self, more: MoreColumns) -> Self {
        Self { more, ..self }
    }

    /// The name of the lake.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Its root, which ends with a slash.
    pub const fn root(&self) -> &Url {
        &self.root
    }

    /// The folder that they are in.
    pub const fn folder(&self) -> &LakeFolder {
        &self.folder
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The store that all tables are in, as Delta knows it.
    ///
    /// # Errors
    /// The path is none.
    pub fn log_store(&self, path: &str) -> Result<LogStoreRef, LakeError> {
        let wrong = |error| LakeError::new(LakeErrorKind::Internal, format!("{path}: {error}"));
        let location = self.root.join(&format!("{path}/")).map_err(wrong)?;
        Ok(logstore_with(self.store.clone(), &location, DeltaStorage::default())?)
    }

    /// Opens the table at this path (`gold/revenue`), if there is one.
    ///
    /// # Errors
    /// The store is away, or the table cannot be read.
    pub async fn existing(&self, path: &str) -> Result<Option<DeltaTable>, LakeError> {
        let open = async || {
            let log_store = self.log_store(path)?;
            if !log_store.is_delta_table_location().await? {
                return Ok(None);
            }
            let mut table = DeltaTable::new(log_store);
            table.load().await?;
            check_protocol(&table)?;
            self.check_table(path, &table)?;
            Ok(Some(table))
        };
        open().await.map_err(|error: LakeError| self.folder.explain(error).of(path))
    }

    /// Whether a table is this lake's. Those of gold do not say.
    fn check_table(&self, path: &str, table: &DeltaTable) -> Result<(), LakeError> {
        match table.snapshot()?.metadata().configuration().get(OWNER) {
            Some(owner) => self.check_owner(owner),
            None if ALL.iter().any(|declared| declared.path() == path) => self.check_owner("nobody"),
            None => Ok(()),
        }
    }

    /// Whether something of this owner is this lake's.
    pub(crate) fn check_owner(&self, owner: &str) -> Result<(), LakeError> {
        match self.owner() {
            Some(own) if own != owner => Err(LakeError::other_owner(owner, own)),
            _ => Ok(()),
        }
    }

    /// Opens a table that is declared, and makes it where there is none. One that an older
    /// release has made gets the columns that it lacks.
    ///
    /// # Errors
    /// The store is away, or the table is another one.
    pub async fn table(
        &self,
        definition: &'static TableDefinition,
        properties: &TableProperties,
    ) -> Result<LakeTable, LakeError> {
        let open = async || {
            let log_store = self.log_store(&definition.path())?;
            let mut table = LakeTable::open_or_make(log_store, definition, properties).await?;
            table.check_owner(properties)?;
            let more = self.more.of_table(&definition.path());
            table.add_columns(more).await?;
            table.check_columns(more)?;
            Ok(table)
        };
        open().await.map_err(|error: LakeError| self.folder.explain(error).of(definition))
    }
}
