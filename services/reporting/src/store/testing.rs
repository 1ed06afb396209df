//! What the tests of the tables build on.

use futures::future::BoxFuture;
use tidemill_domain::Timestamp;
use tidemill_events::{DeadLetter, MetricsUpdate};
use tidemill_store::{Config, Error};
use tidemill_testkit::{TempDir, tempdir};

use super::{Folded, Store, StoredCell};
use crate::{
    books::{BookEntry, BookLine, IntakeCounts},
    dead_letters::ListedLetter,
    read_model::MetricsFold,
    testing::{at, dead_letter, sales},
    unit::SequenceRange,
    watermark::Watermarks,
};

/// What both databases hold to: a name, and the check on a store that is empty.
pub(super) type Check = (&'static str, fn(Store) -> BoxFuture<'static, ()>);

/// Makes of each check a test on SQLite, and lists them in `CHECKS` for
/// PostgreSQL.
macro_rules! checks {
    ($($check:ident),+ $(,)?) => {
        pub(in crate::store) const CHECKS: &[crate::store::testing::Check] =
            &[$((stringify!($check), |store| Box::pin(async move { $check(&store).await }))),+];

        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $check() {
                    let (store, _folder) = crate::store::testing::sqlite().await;
                    super::$check(&store).await;
                }
            )+
        }
    };
}
pub(super) use checks;

/// Any range: it follows whatever is folded.
const ANY: SequenceRange = SequenceRange { after: 0, last: 1 };

pub(super) fn to(after: u64, last: u64) -> SequenceRange {
    SequenceRange { after, last }
}

pub(super) async fn sqlite() -> (Store, TempDir) {
    let folder = tempdir();
    let url = format!("sqlite://{}/reporting.db", folder.path().display());
    (Store::open(&Config { url, max_connections: 4 }).await.expect("opens"), folder)
}

/// All that questions can see.
pub(super) async fn seen(store: &Store) -> (Vec<String>, Vec<((String, Timestamp), BookLine)>, Watermarks) {
    let mut cells = Vec::new();
    let visit = |cell: StoredCell<'_>| -> Result<(), Error> {
        cells.push(format!("{cell:?}"));
        Ok(())
    };
    store.each_cell(&sales(), at(i64::MIN), at(i64::MAX), visit).await.expect("cells");
    // The cells of a window come in no order.
    cells.sort();
    let mut hours = store.book_hours(at(i64::MIN)).await.expect("hours");
    hours.sort_by(|a, b| a.0.cmp(&b.0));
    (cells, hours, store.standing().await.expect("standing").watermarks)
}

pub(super) async fn fold(store: &Store, updates: &[MetricsUpdate]) -> Option<u64> {
    let mut fold = MetricsFold::default();
    updates.iter().for_each(|update| fold.observe(update.clone()));
    let Folded::Done(change) = store.fold_metrics(ANY, &fold, at(1)).await.expect("folds") else {
        panic!("any range follows")
    };
    change
}

pub(super) fn batches(range: std::ops::Range<u64>) -> Vec<BookEntry> {
    let lines = |n: u64| vec![(("shop".to_owned(), at(0)), IntakeCounts { accepted: n, ..IntakeCounts::default() })];
    range.map(|sequence| BookEntry { sequence, lines: lines(sequence) }).collect()
}

pub(super) fn letter(sequence: u64, code: &str, text: &str) -> ListedLetter {
    let letter = DeadLetter {
        id: format!("letter-{sequence}"),
        code: code.into(),
        reason: text.into(),
        first_failed_at: at(sequence.cast_signed()),
        source: text.into(),
        event_id: Some(text.into()),
        ..dead_letter("ingestion", None)
    };
    ListedLetter::new(sequence, &letter)
}
