//! What processes take of the machine, as Linux tells it.

use std::{collections::HashMap, path::Path};

use tidemill_testkit::peak_memory;

use crate::error::Error;

/// What a process and those it started have taken.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    /// Processor seconds, in user and system mode.
    pub(super) cpu_s: f64,
    /// The most memory so far; of several processes, each one's own.
    pub(super) peak_rss: u64,
}

impl Usage {
    /// Of a process, with all its children, also those that have ended.
    pub(super) fn of(pid: Option<u32>) -> Result<Self, Error> {
        let gone = || Error::Program { program: "a process of the suite".into(), reason: "it has ended".into() };
        let root = pid.ok_or_else(gone)?;
        let all = processes();
        let (cpu, _) = all.get(&root).ok_or_else(gone)?;
        let mut usage = Self { cpu_s: *cpu, peak_rss: peak_memory(root).unwrap_or_default() };
        let mut waiting = vec![root];
        while let Some(parent) = waiting.pop() {
            for (child, (cpu, of)) in &all {
                if *of == parent {
                    usage.cpu_s += cpu;
                    usage.peak_rss += peak_memory(*child).unwrap_or_default();
                    waiting.push(*child);
                }
            }
        }
        Ok(usage)
    }
}

/// Processor seconds of this process's children that have ended.
pub(super) fn of_ended_children() -> Result<f64, Error> {
    let path = "/proc/self/stat";
    let stat = std::fs::read_to_string(path).map_err(Error::file(path))?;
    let seconds = ticks(&stat, 13..15);
    seconds.ok_or_else(|| Error::File { path: path.into(), reason: "is not as proc(5) has it".into() })
}

/// Processor seconds and parent of each process.
fn processes() -> HashMap<u32, (f64, u32)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?))).collect()
}

fn stat(pid: u32) -> Option<(f64, u32)> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Processor seconds, those of ended children included, and the parent (proc(5)).
fn parse(stat: &str) -> Option<(f64, u32)> {
    let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
    Some((ticks(stat, 11..15)?, parent))
}

/// The sum of some fields behind the name, in seconds.
fn ticks(stat: &str, fields: std::ops::Range<usize>) -> Option<f64> {
    // The name, in brackets, may hold anything.
    let all: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = all.get(fields)?.iter().map(|field| field.parse::<u64>());
    let ticks: u64 = ticks.sum::<Result<_, _>>().ok()?;
    // Linux tells in hundredths of a second, whatever its clock.
    #[allow(clippy::cast_precision_loss, reason = "years of hundredths are exact")]
    Some(ticks as f64 / 100.0)
}

/// Bytes that the files of a folder take on the disk.
pub(super) fn folder_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        // A file that went meanwhile takes nothing.
        .map(|(path, meta)| if meta.is_dir() { folder_bytes(&path) } else { meta.blocks() * 512 })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read_whatever_the_name() {
        let line = "42 (a) (b c) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 20 10 20 0 12 0 100 0";
        assert_eq!(parse(line), Some((2.3, 7)));
        assert_eq!(parse("42 (x) S 7"), None);
        assert_eq!(ticks(line, 13..15), Some(0.3));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_takes_some() {
        let usage = Usage::of(Some(std::process::id())).expect("it runs");
        assert!(usage.peak_rss > 1 << 20);
        assert!(Usage::of(None).is_err());
    }
}
