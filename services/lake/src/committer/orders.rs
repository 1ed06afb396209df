//! What a table's writer is asked for.

use std::collections::BTreeSet;

use tidemill_domain::Timestamp;
use tidemill_lake_tables::{AppId, LakeError, TablePart};
use tokio::sync::oneshot;

/// An order, and where its answer goes. Who has given it may be gone by then.
#[derive(Debug)]
pub(super) enum WriterOrder {
    /// How far is the log?
    Reached { app: AppId, answer: oneshot::Sender<Result<i64, LakeError>> },
    /// Wait until somebody has done with the table.
    Pause { resumed: oneshot::Receiver<()>, answer: oneshot::Sender<Result<(), LakeError>> },
    /// Store these.
    Append { part: TablePart, newest: Timestamp, answer: oneshot::Sender<Result<(), LakeError>> },
}

/// Parts that go into one version, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct CommitBatch {
    pub(super) parts: Vec<TablePart>,
    pub(super) newest: Option<Timestamp>,
    answers: Vec<oneshot::Sender<Result<(), LakeError>>>,
    apps: BTreeSet<AppId>,
}

impl CommitBatch {
    /// Takes a part in, unless there is one of the same app already: a unit that was
    /// opened anew may overlap with what it gave before, so the two must not be in one
    /// version.
    pub(super) fn take(&mut self, order: WriterOrder) -> Option<WriterOrder> {
        match order {
            WriterOrder::Append { part, newest, answer } if self.apps.insert(part.app.clone()) => {
                self.parts.push(part);
                self.newest = self.newest.max(Some(newest));
                self.answers.push(answer);
                None
            }
            other => Some(other),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Tells everybody who waits.
    pub(super) fn answer(self, done: &Result<(), LakeError>) {
        for answer in self.answers {
            // Nobody may wait any more.
            let _ = answer.send(done.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use tidemill_domain::Partition;
    use tidemill_lake_tables::{Row, TableRows, tables::BronzeEvent};

    use super::*;

    fn order(partition: u16, reaches: i64) -> WriterOrder {
        let app = AppId::of(BronzeEvent::table(), Partition::new(partition));
        let rows = TableRows::<BronzeEvent<'static>>::new().and_then(|mut rows| rows.take()).expect("no rows");
        let (answer, _) = oneshot::channel();
        WriterOrder::Append { part: TablePart { app, reaches, rows }, newest: Timestamp::EPOCH, answer }
    }

    #[test]
    fn a_version_has_one_part_of_each() {
        let mut batch = CommitBatch::default();
        assert!(batch.take(order(1, 5)).is_none());
        assert!(batch.take(order(2, 9)).is_none());
        let left = batch.take(order(1, 7));
        assert!(
            matches!(left, Some(WriterOrder::Append { part: TablePart { reaches: 7, .. }, .. })),
            "it waits for the next"
        );
        assert_eq!(batch.parts.len(), 2);
    }
}
