//! A version that has other files than the one before.

use deltalake::{
    DeltaTable,
    kernel::{
        Action, Add, Remove, Transaction,
        transaction::{CommitBuilder, CommitProperties, TableReference},
    },
    protocol::DeltaOperation,
};

use crate::error::{LakeError, is_conflict};

/// Files that take the place of others.
#[derive(Debug, Default, Clone)]
pub(super) struct Exchange {
    pub(super) removed: Vec<Remove>,
    pub(super) added: Vec<Add>,
    pub(super) transactions: Vec<Transaction>,
}

impl Exchange {
    /// Makes the next version; answers whether nobody else was first.
    pub(super) async fn commit(self, table: &DeltaTable, operation: DeltaOperation) -> Result<bool, LakeError> {
        let Self { removed, added, transactions } = self;
        let actions = removed.into_iter().map(Action::Remove).chain(added.into_iter().map(Action::Add)).collect();
        let once = CommitProperties::default()
            .with_max_retries(0)
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false))
            .with_application_transactions(transactions);
        let state: &dyn TableReference = table.snapshot()?;
        let commit = CommitBuilder::from(once).with_actions(actions);
        match commit.build(Some(state), table.log_store(), operation).await {
            Ok(_) => Ok(true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
