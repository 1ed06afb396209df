//! A store that gives out no empty version of a table, and writes nothing where its folder is another one.
//!
//! A system that loses its power may leave a file that is there, and empty. Readers of
//! Delta take an empty version for one that changes nothing: its rows would be gone, and
//! the next version would say that the log is further.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use deltalake::ObjectStore;
use futures::{StreamExt as _, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, path::Path,
};

use crate::{error::EmptyLog, folder::LakeFolder};

/// A store behind these looks.
#[derive(Debug)]
pub(crate) struct SoundStore {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) folder: LakeFolder,
}

impl fmt::Display for SoundStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for SoundStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.folder.check_write()?;
        self.store.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, to: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.folder.check_write()?;
        self.store.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let found = self.store.get_opts(location, options).await?;
        let is_version = location.as_ref().contains("_delta_log/") && location.extension() == Some("json");
        if is_version && found.meta.size == 0 {
            return Err(Error::Generic { store: "lake", source: Box::new(EmptyLog(location.clone())) });
        }
        Ok(found)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.store.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let folder = self.folder.clone();
        let looked = locations.map(move |location| location.and_then(|path| folder.check_write().map(|()| path)));
        self.store.delete_stream(looked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.folder.check_write()?;
        self.store.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.folder.check_write()?;
        self.store.rename_opts(from, to, options).await
    }
}
