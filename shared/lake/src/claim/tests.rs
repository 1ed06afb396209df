use std::{fmt, sync::Arc};

use async_trait::async_trait;
use deltalake::ObjectStore;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result, memory::InMemory,
};
use tidemill_domain::Code;

use super::*;
use crate::{S3Config, StorageConfig, append::tests::properties, tables::BronzeEvent};

/// A store that does not look at conditions.
#[derive(Debug, Default)]
struct Careless(InMemory);

impl fmt::Display for Careless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Careless")
    }
}

#[async_trait]
impl ObjectStore for Careless {
    async fn put_opts(&self, location: &Path, payload: PutPayload, _: PutOptions) -> Result<PutResult> {
        self.0.put(location, payload).await
    }

    async fn put_multipart_opts(&self, to: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

fn lake(folder: &std::path::Path, owner: &str) -> Lake {
    let storage = StorageConfig { url: folder.display().to_string(), s3: S3Config::default() };
    Lake::open(&storage).expect("a folder").owned_by(owner)
}

async fn code(lake: &Lake) -> Code {
    lake.claim().await.expect_err("it is refused").code()
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_found_out() {
    let root = "memory:///lake/".parse::<url::Url>().expect("a URL");
    let over = |store: Arc<dyn ObjectStore>| Lake::over(root.clone(), store).owned_by("a");
    let careless = over(Arc::new(Careless::default()));
    assert_eq!(code(&careless).await, Code::LakeUnfit);
    assert_eq!(code(&careless).await, Code::LakeUnfit, "and again");
    let careful = over(Arc::new(InMemory::new()));
    careful.claim().await.expect("it is claimed");
    careful.claim().await.expect("and again");
}

#[tokio::test]
async fn a_place_is_one_lakes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (own, other) = (lake(folder.path(), "a"), lake(folder.path(), "b"));
    own.claim().await.expect("it is claimed");
    assert_eq!(code(&other).await, Code::LakeSchema);
    own.claim().await.expect("it still is");
}

#[tokio::test]
async fn of_two_that_come_at_once_one_has_the_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let lakes: Vec<Lake> = (0..8).map(|n| lake(folder.path(), &format!("lake {n}"))).collect();
    let claims = futures::future::join_all(lakes.iter().map(Lake::claim)).await;
    assert_eq!(claims.iter().filter(|claim| claim.is_ok()).count(), 1, "{claims:?}");
}

#[tokio::test]
async fn tables_from_before_there_were_claims_are_their_lakes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (own, other) = (lake(folder.path(), "a"), lake(folder.path(), "b"));
    own.table(&BronzeEvent::TABLE, &properties("a")).await.expect("is made");
    assert_eq!(code(&other).await, Code::LakeSchema);
    let error = other.existing("bronze/events").await.expect_err("it is not read");
    assert_eq!(error.to_string(), "lake_schema: bronze/events: it belongs to the lake a, and this one is b");
    own.claim().await.expect("it is theirs");
}
