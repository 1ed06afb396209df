//! The protocol of commits against its rule: two writers in any order, each broken
//! off before or behind a commit, or without its answer; in the end every row is
//! there once.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex},
};

use deltalake::{
    ObjectStore, Path,
    arrow::array::AsArray,
    arrow::datatypes::{Int32Type, Int64Type},
    parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
};
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStoreExt, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result as StoreResult, memory::InMemory,
};
use proptest::prelude::*;
use url::Url;

use super::{
    Appender,
    tests::{part, properties},
};
use crate::{Lake, tables::BronzeEvent};

const PARTITIONS: u16 = 2;
const END: i64 = 12;

/// What happens to the next commit of a writer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    None,
    /// It never reaches the store.
    Before,
    /// The store has it, and does not say so.
    After,
}

/// A store of which the writes of versions fail as planned.
pub(crate) struct FaultyStore {
    pub(crate) inner: Arc<InMemory>,
    pub(crate) faults: Mutex<VecDeque<Fault>>,
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

fn away() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "it is away".into() }
}

#[async_trait::async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        let is_commit = location.as_ref().contains("_delta_log/");
        let fault = match is_commit {
            true => self.faults.lock().expect("a lock").pop_front().unwrap_or(Fault::None),
            false => Fault::None,
        };
        match fault {
            Fault::None => self.inner.put_opts(location, payload, options).await,
            Fault::Before => Err(away()),
            Fault::After => {
                self.inner.put_opts(location, payload, options).await?;
                Err(away())
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// What a writer does next.
#[derive(Debug, Clone)]
struct Step {
    partition: u16,
    /// Batches that it has read.
    batches: i64,
    fault: Fault,
    /// Whether it dies behind it: its memory is gone, and it goes on from a place
    /// before or at what it knew to be stored.
    dies: bool,
    /// How far behind that.
    behind: i64,
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![4 => Just(Fault::None), 1 => Just(Fault::Before), 2 => Just(Fault::After)];
    (0..PARTITIONS, 1..5i64, fault, any::<bool>(), 0..4i64).prop_map(|(partition, batches, fault, dies, behind)| Step {
        partition,
        batches,
        fault,
        dies,
        behind,
    })
}

/// A batch has none to two rows: its sequence decides.
fn rows_of(sequence: i64) -> impl Iterator<Item = i64> {
    std::iter::repeat_n(sequence, usize::try_from(sequence % 3).expect("small"))
}

struct Writer {
    lake: Lake,
    faults: Arc<FaultyStore>,
    appender: Appender,
    /// Where it goes on, by partition.
    floors: BTreeMap<u16, i64>,
}

impl Writer {
    async fn new(store: &Arc<InMemory>) -> Self {
        let faults = Arc::new(FaultyStore { inner: store.clone(), faults: Mutex::default() });
        let lake = Lake::over(Url::parse("memory:///lake/").expect("a URL"), faults.clone());
        let appender = Self::open(&lake).await;
        Self { lake, faults, appender, floors: BTreeMap::new() }
    }

    async fn open(lake: &Lake) -> Appender {
        Appender::new(lake.table(&BronzeEvent::TABLE, &properties("a")).await.expect("a table"), "raw_seq")
    }

    async fn take(&mut self, step: &Step) {
        let floor = self.floors.get(&step.partition).copied().unwrap_or_default();
        let reaches = (floor + step.batches).min(END);
        self.faults.faults.lock().expect("a lock").push_back(step.fault);
        let rows = (floor + 1..=reaches).flat_map(rows_of);
        let appended = self.appender.append(&[part(step.partition, rows, reaches)]).await;
        self.faults.faults.lock().expect("a lock").clear();
        let stored = if appended.is_ok() { reaches } else { floor };
        self.floors.insert(step.partition, stored);
        if step.dies {
            self.appender = Self::open(&self.lake).await;
            self.floors.insert(step.partition, (stored - step.behind).max(0));
        }
    }

    async fn run(&mut self, steps: &[Step]) {
        for step in steps {
            self.take(step).await;
        }
    }
}

/// How often each row is in the newest version.
async fn counted(lake: &Lake, store: &InMemory) -> BTreeMap<(i32, i64), usize> {
    let table = lake.existing("bronze/events").await.expect("answers").expect("a table");
    let mut counts = BTreeMap::new();
    let uris: Vec<String> = table.get_file_uris().expect("files").collect();
    for uri in uris {
        let path = Path::from_url_path(Url::parse(&uri).expect("a URL").path()).expect("a path");
        let bytes = store.get(&path).await.expect("a file").bytes().await.expect("bytes");
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("Parquet").build().expect("a reader");
        for batch in reader {
            let batch = batch.expect("rows");
            let partitions = batch.column_by_name("partition").expect("a column").as_primitive::<Int32Type>();
            let sequences = batch.column_by_name("raw_seq").expect("a column").as_primitive::<Int64Type>();
            for (partition, sequence) in partitions.values().iter().zip(sequences.values()) {
                *counts.entry((*partition, *sequence)).or_default() += 1;
            }
        }
    }
    counts
}

async fn check(first: Vec<Step>, second: Vec<Step>) {
    let store = Arc::new(InMemory::new());
    let (mut one, mut two) = (Writer::new(&store).await, Writer::new(&store).await);
    tokio::join!(one.run(&first), two.run(&second));
    // Whoever goes on brings the rest, from the very beginning.
    let mut last = Writer::new(&store).await;
    for partition in 0..PARTITIONS {
        last.take(&Step { partition, batches: END, fault: Fault::None, dies: false, behind: 0 }).await;
    }
    let counts = counted(&last.lake, &store).await;
    let expected = (0..PARTITIONS).flat_map(|partition| (1..=END).map(move |sequence| (partition, sequence)));
    let expected: BTreeMap<(i32, i64), usize> = expected
        .map(|(partition, sequence)| ((i32::from(partition), sequence), rows_of(sequence).count()))
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(counts, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 50, ..ProptestConfig::default() })]
    #[test]
    fn every_row_is_there_once(
        first in proptest::collection::vec(step(), 1..7), second in proptest::collection::vec(step(), 1..7),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(check(first, second));
    }
}
