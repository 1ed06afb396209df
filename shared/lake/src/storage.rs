//! Where the lake is kept: a folder, or a bucket of S3.
//!
//! A bucket needs conditional puts (`If-None-Match`), which every current S3 has:
//! two writers must not make the same version of a table.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc, time::Duration};

use deltalake::{
    DeltaResult, ObjectStore,
    logstore::{LogStore, LogStoreFactory, ObjectStoreRef, StorageConfig as DeltaStorage, default_logstore},
};
use object_store::{
    BackoffConfig, ClientConfigKey, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    local::LocalFileSystem,
};
use url::Url;

use crate::error::{LakeError, LakeErrorKind};

/// How long a request to a bucket is repeated until the lake tells that it is away: the
/// lake repeats whatever it was after that.
const REPEATED: Duration = Duration::from_secs(10);
/// Pauses between two tries.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// How long a request may take: that of a large file over a slow network, too.
const REQUEST_TIMEOUT: &str = "60 seconds";

/// Where the lake is.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// `file:///…`, the path of a folder, or `s3://bucket/prefix`.
    pub url: String,
    /// How to reach a bucket.
    pub s3: S3Config,
}

/// How a bucket is reached: options by their names in object_store, for instance
/// `endpoint` or `access_key_id`. What is not there is taken from the environment
/// (`AWS_…`).
#[derive(Clone, Default)]
pub struct S3Config(pub BTreeMap<String, String>);

/// Some of it is secret.
impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl StorageConfig {
    /// The root as a URL that ends with a slash.
    pub(crate) fn root(&self) -> Result<Url, LakeError> {
        let wrong = |reason: &str| LakeError::new(LakeErrorKind::Internal, format!("{}: {reason}", self.url));
        let mut url = match self.url.contains("://") {
            true => Url::parse(&self.url).map_err(|error| wrong(&error.to_string()))?,
            false => {
                let path = std::path::absolute(&self.url).map_err(|error| wrong(&error.to_string()))?;
                Url::from_directory_path(path).map_err(|()| wrong("is no path"))?
            }
        };
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        match url.scheme() {
            "file" => Ok(url),
            "s3" if url.host_str().is_some() => Ok(url),
            _ => Err(wrong("must be file:///… or s3://bucket/prefix")),
        }
    }

    /// The store that the root is in.
    pub(crate) fn store(&self, root: &Url) -> Result<Arc<dyn ObjectStore>, LakeError> {
        if root.scheme() == "file" {
            if let Ok(folder) = root.to_file_path() {
                std::fs::create_dir_all(&folder).map_err(|error| {
                    LakeError::new(LakeErrorKind::Denied, format!("{} cannot be made: {error}", folder.display()))
                })?;
            }
            return Ok(Arc::new(LocalFileSystem::new()));
        }
        let backoff = BackoffConfig { init_backoff: FIRST_PAUSE, max_backoff: LONGEST_PAUSE, base: 2.0 };
        let retry = RetryConfig { backoff, retry_timeout: REPEATED, ..RetryConfig::default() };
        let timeout = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
        let mut builder =
            AmazonS3Builder::from_env().with_url(root.as_str()).with_retry(retry).with_config(timeout, REQUEST_TIMEOUT);
        for (key, value) in &self.s3.0 {
            let key = AmazonS3ConfigKey::from_str(key)?;
            builder = builder.with_config(key, value);
        }
        register_s3();
        Ok(Arc::new(builder.build()?))
    }
}

/// Tells Delta how a version is made in a bucket: by a conditional put.
fn register_s3() {
    if let Ok(scheme) = Url::parse("s3://") {
        deltalake::logstore::logstore_factories().entry(scheme).or_insert_with(|| Arc::new(ConditionalPut));
    }
}

struct ConditionalPut;

impl LogStoreFactory for ConditionalPut {
    fn with_options(
        &self,
        prefixed_store: ObjectStoreRef,
        root_store: ObjectStoreRef,
        location: &Url,
        options: &DeltaStorage,
    ) -> DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(prefixed_store, root_store, location, options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(url: &str) -> Result<String, String> {
        let config = StorageConfig { url: url.into(), s3: S3Config::default() };
        config.root().map(String::from).map_err(|error| error.to_string())
    }

    #[test]
    fn a_root_is_a_folder_or_a_bucket() {
        assert_eq!(root("file:///srv/lake").as_deref(), Ok("file:///srv/lake/"));
        assert_eq!(root("/srv/a lake").as_deref(), Ok("file:///srv/a%20lake/"));
        assert_eq!(root("s3://shop/lake/").as_deref(), Ok("s3://shop/lake/"));
        for wrong in ["http://shop/lake", "s3:///lake", "gs://shop"] {
            assert!(root(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bucket_has_a_log_store_of_conditional_puts() {
        let s3 = [("access_key_id", "a"), ("secret_access_key", "hush"), ("region", "eu-west-1")];
        let s3 = S3Config(s3.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        assert!(!format!("{s3:?}").contains("hush"), "secrets are not printed");
        let config = StorageConfig { url: "s3://shop/lake".into(), s3 };
        let lake = crate::Lake::open(&config).expect("a bucket");
        let log = lake.log_store("silver/events").expect("a log store");
        assert_eq!(log.name(), "DefaultLogStore");
        let unknown = S3Config([("colour".to_owned(), "red".to_owned())].into());
        let config = StorageConfig { s3: unknown, ..config };
        assert!(crate::Lake::open(&config).is_err());
    }
}
