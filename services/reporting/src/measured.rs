//! For benches: the parts of the service that take its time.

use tidemill_domain::Timestamp;
use tidemill_events::{Encoded, Message as _, MetricsUpdate};
use tidemill_store::Config;

use crate::{
    read_model::MetricsFold,
    store::{Folded, Store},
    unit::SequenceRange,
};

/// Messages that were gathered.
#[derive(Debug)]
pub struct MeasuredUpdates(MetricsFold);

impl MeasuredUpdates {
    /// Reads messages and gathers them.
    ///
    /// # Panics
    /// When they cannot be read.
    #[allow(clippy::expect_used, reason = "a bench that cannot begin ends")]
    pub fn of(messages: &[Encoded]) -> Self {
        let mut fold = MetricsFold::default();
        for message in messages {
            fold.observe(MetricsUpdate::decode(message, message.payload.clone()).expect("is a message"));
        }
        Self(fold)
    }

    /// How many totals there are.
    pub fn cells(&self) -> usize {
        self.0.cells.len()
    }
}

/// The read model, filled from `METRICS` alone.
#[derive(Debug)]
pub struct MeasuredReadModel {
    store: Store,
    reached: u64,
}

impl MeasuredReadModel {
    /// An empty one.
    ///
    /// # Panics
    /// When there is no database.
    #[allow(clippy::expect_used, reason = "a bench that cannot begin ends")]
    pub async fn open(url: &str) -> Self {
        let config = Config { url: url.to_owned(), max_connections: 4 };
        Self { store: Store::open(&config).await.expect("a database"), reached: 0 }
    }

    /// Writes what was gathered.
    ///
    /// # Panics
    /// When the database does not take it.
    #[allow(clippy::expect_used, reason = "a bench that cannot go on ends")]
    pub async fn fold(&mut self, fold: &MeasuredUpdates) {
        let range = SequenceRange { after: self.reached, last: self.reached + 1 };
        let folded = self.store.fold_metrics(range, &fold.0, Timestamp::EPOCH).await.expect("is written");
        assert!(matches!(folded, Folded::Done(_)), "it follows");
        self.reached = range.last;
    }
}
