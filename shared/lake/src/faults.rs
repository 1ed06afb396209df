//! What is wrong with files of a table, and how it is told.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tidemill_domain::Code;
use tidemill_testkit::skipped_even_in_ci;

use crate::{
    Appender, Lake, LakeError, S3Config, StorageConfig,
    append::tests::{part, properties},
    tables::BronzeEvent,
};

fn lake(folder: &Path) -> Lake {
    let storage = StorageConfig { url: folder.display().to_string(), s3: S3Config::default() };
    Lake::open(&storage).expect("a folder").owned_by("a")
}

/// Appends a row, from the first look at the table on.
async fn append(lake: &Lake, sequence: i64) -> Result<u64, LakeError> {
    let table = lake.table(&BronzeEvent::TABLE, &properties("a")).await?;
    let appended = Appender::new(table, "raw_seq").append(&[part(0, [sequence], sequence)]).await?;
    Ok(appended.version)
}

/// A table of so many versions behind the one that makes it.
async fn table(folder: &Path, versions: i64) -> Lake {
    let lake = lake(folder);
    for sequence in 1..=versions {
        append(&lake, sequence).await.expect("is written");
    }
    lake
}

fn log(folder: &Path, version: u64) -> PathBuf {
    folder.join(format!("bronze/events/_delta_log/{version:020}.json"))
}

fn cut(file: &Path, to: usize) {
    let bytes = std::fs::read(file).expect("a file");
    std::fs::write(file, &bytes[..to.min(bytes.len() - 1)]).expect("writes");
}

fn code(done: Result<u64, LakeError>) -> Code {
    let error = done.expect_err("it does not work");
    let text = error.to_string();
    assert!(text.starts_with(&format!("{}: bronze.events: ", error.code().as_str())), "{text}");
    assert!(!text.contains("backtrace") && !text.contains('\n'), "{text}");
    eprintln!("{text}");
    error.code()
}

#[tokio::test]
async fn a_log_that_is_cut_is_damaged() {
    for to in [0, 1, 40, 300] {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = table(folder.path(), 3).await;
        cut(&log(folder.path(), 2), to);
        assert_eq!(code(append(&lake, 9).await), Code::LakeDamaged, "{to}");
    }
}

#[tokio::test]
async fn a_version_that_is_missing_is_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = table(folder.path(), 3).await;
    std::fs::remove_file(log(folder.path(), 1)).expect("is there");
    assert_eq!(code(append(&lake, 9).await), Code::LakeDamaged);
}

#[tokio::test]
async fn a_checkpoint_that_is_cut_is_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = table(folder.path(), 3).await;
    let mut table = lake.table(&BronzeEvent::TABLE, &properties("a")).await.expect("a table");
    table.checkpoint().await.expect("is made");
    let name = format!("bronze/events/_delta_log/{:020}.checkpoint.parquet", 3);
    cut(&folder.path().join(name), 200);
    assert_eq!(code(append(&lake, 9).await), Code::LakeDamaged);
}

#[tokio::test]
async fn a_newer_protocol_is_told() {
    for (from, to) in [
        ("\"minReaderVersion\":1", "\"minReaderVersion\":99"),
        ("\"minWriterVersion\":2", "\"minWriterVersion\":99"),
        (
            "\"minReaderVersion\":1,\"minWriterVersion\":2",
            "\"minReaderVersion\":3,\"minWriterVersion\":7,\
          \"readerFeatures\":[\"ofTomorrow\"],\"writerFeatures\":[\"ofTomorrow\"]",
        ),
        // Known here, and not to every engine that reads the table.
        (
            "\"minReaderVersion\":1,\"minWriterVersion\":2",
            "\"minReaderVersion\":3,\"minWriterVersion\":7,\
          \"readerFeatures\":[\"deletionVectors\"],\"writerFeatures\":[\"deletionVectors\"]",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = table(folder.path(), 1).await;
        let first = log(folder.path(), 0);
        let text = std::fs::read_to_string(&first).expect("a log");
        assert!(text.contains(from), "{text}");
        std::fs::write(&first, text.replace(from, to)).expect("writes");
        assert_eq!(code(append(&lake, 9).await), Code::LakeProtocol, "{to}");
    }
}

/// A disk that holds little; it goes when this does.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where this process may not mount one.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=512k", "lake"]).arg(folder.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What is left of it is no more than memory.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_table_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        return skipped_even_in_ci("a_full_disk_is_told", "a small disk cannot be mounted here");
    };
    let lake = table(disk.0.path(), 2).await;
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![0; 1 << 20]).expect_err("it is full now");
    assert_eq!(code(append(&lake, 3).await), Code::LakeFull);
    std::fs::remove_file(&ballast).expect("is there");
    append(&lake, 3).await.expect("there is room");
    let table = lake.table(&BronzeEvent::TABLE, &properties("a")).await.expect("a table");
    assert_eq!(table.version(), 3, "as many versions as there are rows");
}
