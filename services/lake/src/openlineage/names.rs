//! How datasets are named, by OpenLineage's conventions: where they are, and what they are there.

use tidemill_events::StreamName;

/// A dataset, as a catalogue knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DatasetName {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// The places of datasets.
#[derive(Debug)]
pub(super) struct DatasetNames {
    /// Namespace of streams.
    log: String,
    /// Namespace of tables.
    store: String,
    /// What the names of tables begin with.
    prefix: String,
    /// Root of the tables, with a slash at its end.
    root: String,
}

impl DatasetNames {
    /// `root` is the address of the tables, and `log` that of NATS.
    pub(super) fn new(root: &str, log: &str) -> Self {
        let root = format!("{}/", root.trim_end_matches('/'));
        // A file is known by its path, an object by its bucket and key.
        let (store, prefix) = match root.strip_prefix("file://") {
            Some(path) => ("file".to_owned(), path.to_owned()),
            None => {
                let (scheme, rest) = root.split_once("://").unwrap_or(("file", &root));
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                (format!("{scheme}://{bucket}"), key.to_owned())
            }
        };
        Self { log: log_namespace(log), store, prefix, root }
    }

    pub(super) fn stream(&self, stream: StreamName) -> DatasetName {
        DatasetName { namespace: self.log.clone(), name: stream.as_str().to_owned() }
    }

    /// Of the table at this path (`silver/events`).
    pub(super) fn table(&self, path: &str) -> DatasetName {
        DatasetName { namespace: self.store.clone(), name: format!("{}{path}", self.prefix) }
    }

    /// The address of the table at this path.
    pub(super) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }
}

/// The first of NATS's addresses, without who logs in there.
fn log_namespace(addresses: &str) -> String {
    let first = addresses.split(',').next().unwrap_or_default().trim().trim_end_matches('/');
    let (scheme, rest) = first.split_once("://").unwrap_or(("nats", first));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_by_their_place() {
        let table = |root: &str| {
            let DatasetName { namespace, name } = DatasetNames::new(root, "").table("gold/sales");
            (namespace, name)
        };
        assert_eq!(table("file:///srv/lake/"), ("file".into(), "/srv/lake/gold/sales".into()));
        assert_eq!(table("s3://bucket/a/b/"), ("s3://bucket".into(), "a/b/gold/sales".into()));
        assert_eq!(table("s3://bucket"), ("s3://bucket".into(), "gold/sales".into()));
        assert_eq!(DatasetNames::new("s3://bucket", "").address("gold/sales"), "s3://bucket/gold/sales");
    }

    #[test]
    fn nobody_is_told_how_to_log_in() {
        for log in ["nats://me:hush@log:4222,nats://b:4222", "me:hush@log:4222", "nats://log:4222/"] {
            let of_log = DatasetNames::new("file:///x", log).stream(StreamName::Raw);
            assert_eq!(of_log, DatasetName { namespace: "nats://log:4222".into(), name: "RAW".into() });
        }
    }
}
