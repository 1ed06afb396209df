//! How rows get into a table.

use tidemill_lake_tables::{
    AppId, Appended, Appender, Lake, LakeError, OrderKeeper, TableDefinition, TablePart, TableProperties,
};

/// What a table's rows are.
#[derive(Debug, Clone, Copy)]
pub(super) enum TableKind {
    /// They stay as they are. Their sequence is in this column.
    Rows(&'static str),
    /// Orders, which change.
    Orders,
}

/// An open table.
#[derive(Debug)]
pub(super) enum TableKeeper {
    Rows(Appender),
    Orders(OrderKeeper),
}

impl TableKeeper {
    pub(super) async fn open(
        lake: &Lake,
        table: &'static TableDefinition,
        kind: TableKind,
        properties: &TableProperties,
    ) -> Result<Self, LakeError> {
        let table = lake.table(table, properties).await?;
        Ok(match kind {
            TableKind::Rows(sequence) => Self::Rows(Appender::new(table, sequence)),
            TableKind::Orders => Self::Orders(OrderKeeper::new(table)),
        })
    }

    /// How far the log is in it.
    pub(super) async fn reached(&mut self, app: &AppId) -> Result<i64, LakeError> {
        match self {
            Self::Rows(appender) => appender.reached(app).await,
            Self::Orders(keeper) => keeper.reached(app).await,
        }
    }

    /// Stores what it has not.
    pub(super) async fn store(&mut self, parts: &[TablePart]) -> Result<Appended, LakeError> {
        match self {
            Self::Rows(appender) => appender.append(parts).await,
            Self::Orders(keeper) => keeper.apply(parts).await,
        }
    }

    pub(super) async fn checkpoint(&mut self) -> Result<usize, LakeError> {
        match self {
            Self::Rows(appender) => appender.checkpoint().await,
            Self::Orders(keeper) => keeper.checkpoint().await,
        }
    }
}
