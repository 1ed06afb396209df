//! A table, opened or made, and checked to be the one that is declared.

use deltalake::{
    DeltaTable,
    kernel::{StructField, StructType, transaction::CommitProperties},
    logstore::LogStoreRef,
    operations::create::CreateBuilder,
    protocol::SaveMode,
};

use crate::{
    definition::TableDefinition,
    error::{LakeError, LakeErrorKind},
    more::{MoreColumn, is_more},
    progress::{AppId, Reached},
    schema::{delta_fields, delta_type},
};

/// The property that names the lake that a table belongs to.
pub(crate) const OWNER: &str = "tidemill.lake";

/// How a table is made.
#[derive(Debug, Clone)]
pub struct TableProperties {
    /// The lake that the table belongs to: two suites that write to one folder would
    /// take each other's rows for their own.
    pub owner: String,
    /// Versions between two checkpoints.
    pub checkpoint_interval: u32,
    /// Hours for which versions can be gone back to.
    pub log_retention_hours: u32,
    /// Hours for which files that no version has any more are kept.
    pub deleted_files_hours: u32,
}

impl TableProperties {
    /// The lake that a table says it belongs to.
    ///
    /// # Errors
    /// It was not read.
    pub fn owner_of(table: &DeltaTable) -> Result<Option<String>, LakeError> {
        Ok(table.snapshot()?.metadata().configuration().get(OWNER).cloned())
    }

    /// As Delta has them.
    pub fn configuration(&self) -> [(&'static str, String); 5] {
        let hours = |hours: u32| format!("interval {hours} hours");
        [
            (OWNER, self.owner.clone()),
            ("delta.checkpointInterval", self.checkpoint_interval.to_string()),
            ("delta.logRetentionDuration", hours(self.log_retention_hours)),
            ("delta.deletedFileRetentionDuration", hours(self.deleted_files_hours)),
            // Not every engine reads them.
            ("delta.enableDeletionVectors", "false".into()),
        ]
    }
}

/// The protocol that a reader has to know, of all our tables: every engine does.
const READER_VERSION: i32 = 1;

/// Whether every engine can still read it. What another one has switched on, such as deletion
/// vectors, shuts readers out who could read the table before, and takes rows away from those who do not look for it.
pub(crate) fn check_protocol(table: &DeltaTable) -> Result<(), LakeError> {
    let protocol = table.snapshot()?.protocol();
    if protocol.min_reader_version() <= READER_VERSION {
        return Ok(());
    }
    let version = protocol.min_reader_version();
    let reason =
        format!("who reads it has to know version {version} of the protocol now, and not {READER_VERSION} as before");
    Err(LakeError::new(LakeErrorKind::Protocol, reason))
}

/// A table that is declared.
#[derive(Debug, Clone)]
pub struct LakeTable {
    definition: &'static TableDefinition,
    table: DeltaTable,
}

impl LakeTable {
    pub(crate) async fn open_or_make(
        log_store: LogStoreRef,
        definition: &'static TableDefinition,
        properties: &TableProperties,
    ) -> Result<Self, LakeError> {
        if !log_store.is_delta_table_location().await? {
            make(log_store.clone(), definition, properties).await?;
        }
        let mut table = DeltaTable::new(log_store);
        table.load().await?;
        check_protocol(&table)?;
        Ok(Self { definition, table })
    }

    /// What it is declared as.
    pub const fn definition(&self) -> &'static TableDefinition {
        self.definition
    }

    /// The table as Delta has it.
    pub const fn delta(&self) -> &DeltaTable {
        &self.table
    }

    /// Its version, as it was read last.
    pub fn version(&self) -> u64 {
        self.table.version().unwrap_or_default()
    }

    /// Reads what others have written meanwhile.
    ///
    /// # Errors
    /// The store is away, or the table cannot be read.
    pub async fn refresh(&mut self) -> Result<(), LakeError> {
        let updated = self.table.update_state().await.map_err(LakeError::from);
        updated.and_then(|()| check_protocol(&self.table)).map_err(|error| error.of(self.definition))
    }

    /// How far the log is in it, as of its version.
    ///
    /// # Errors
    /// The store is away, or the table cannot be read.
    pub async fn reached(&self, apps: impl IntoIterator<Item = AppId>) -> Result<Reached, LakeError> {
        let (state, log_store) = (self.table.snapshot()?, self.table.log_store());
        let mut reached = Reached::new();
        for app in apps {
            let version = state.transaction_version(log_store.as_ref(), app.as_str()).await;
            let version = version.map_err(|error| LakeError::from(error).of(self.definition))?;
            reached.insert(app, version.unwrap_or_default());
        }
        Ok(reached)
    }

    /// Whether it is this lake's.
    pub(crate) fn check_owner(&self, properties: &TableProperties) -> Result<(), LakeError> {
        let other = |what: String| Err(LakeError::new(LakeErrorKind::Schema, what));
        let metadata = self.table.snapshot()?.metadata();
        let owner = TableProperties::owner_of(&self.table)?.unwrap_or_else(|| "nobody".into());
        if owner != properties.owner {
            return Err(LakeError::other_owner(&owner, &properties.owner));
        }
        match metadata.partition_columns() == self.definition.partitioned_by {
            true => Ok(()),
            false => other(format!("it is partitioned by {}", metadata.partition_columns().join(", "))),
        }
    }

    /// Whether it has the columns that are declared.
    pub(crate) fn check_columns(&self, more: &[MoreColumn]) -> Result<(), LakeError> {
        let other = |what: String| Err(LakeError::new(LakeErrorKind::Schema, what));
        let metadata = self.table.snapshot()?.metadata();
        let schema: StructType = metadata.parse_schema().map_err(deltalake::DeltaTableError::from)?;
        for declared in delta_fields(self.definition)? {
            match schema.field(declared.name()) {
                None => return other(format!("it has no column {}", declared.name())),
                Some(found) if found.data_type() != declared.data_type() => {
                    return other(format!("its column {} is {}", declared.name(), found.data_type()));
                }
                Some(found) if found.is_nullable() != declared.is_nullable() => {
                    return other(format!("its column {} may be null, or may not", declared.name()));
                }
                Some(_) => {}
            }
        }
        for wanted in more {
            let (kind, name) = (delta_type(wanted.kind)?, &wanted.name);
            match schema.field(name) {
                Some(found) if *found.data_type() == kind && found.is_nullable() => {}
                Some(found) => {
                    let is = found.data_type();
                    return other(format!("its column {name} is {is}, and is to be {kind}: give that another name"));
                }
                None => return other(format!("it has no column {name}")),
            }
        }
        let is_known = |found: &StructField| {
            let names = self.definition.columns.iter().map(|column| column.name);
            names.chain(more.iter().map(|column| &*column.name)).any(|name| name == found.name()) || is_more(found)
        };
        match schema.fields().find(|found| !is_known(found)) {
            Some(unknown) => other(format!("its column {} is not known to this release", unknown.name())),
            None => Ok(()),
        }
    }
}

/// Makes a table. Somebody else may make it at the same time.
async fn make(
    log_store: LogStoreRef,
    definition: &TableDefinition,
    properties: &TableProperties,
) -> Result<(), LakeError> {
    let configuration = properties.configuration().map(|(name, value)| (name, Some(value)));
    let made = CreateBuilder::new()
        .with_log_store(log_store.clone())
        .with_table_name(definition.to_string())
        .with_comment(definition.about)
        .with_columns(delta_fields(definition)?)
        .with_partition_columns(definition.partitioned_by.iter().copied())
        .with_configuration(configuration)
        .with_raise_if_key_not_exists(false)
        .with_save_mode(SaveMode::ErrorIfExists)
        // A second version with the same table in it would be made otherwise.
        .with_commit_properties(CommitProperties::default().with_max_retries(0));
    match made.await {
        Ok(_) => Ok(()),
        // Somebody else was first.
        Err(_) if log_store.is_delta_table_location().await.unwrap_or(false) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
