//! How much memory a question's process may have.

use std::{fs, io};

use rustix::process::{Resource, Rlimit, setrlimit};
use tidemill_batch_views::SqlLimits;

/// Threads of a process that wait for files.
pub(super) const BLOCKING_THREADS: usize = 32;
/// What a process may have beside its pool of memory and its answer: stacks of threads, each of 8 MiB, and what
/// the pool does not count, such as pages of files that are read and values of the question.
const BASE_BYTES: u64 = 512 << 20;
/// The answer is there as it was computed, and as it is written, which may be twice as long.
const ANSWERS: u64 = 3;

/// Bounds the memory of this process from now on. An allocation beyond it fails, which ends the process.
///
/// What a process writes to is counted (`RLIMIT_DATA`), and not all of its addresses (`RLIMIT_AS`): the allocator
/// reserves 64 MiB of those for each thread, which are never used.
pub(super) fn bound(limits: &SqlLimits) -> io::Result<()> {
    let most = Some(data_bytes()? + more_bytes(limits));
    setrlimit(Resource::Data, Rlimit { current: most, maximum: most })?;
    // An abort writes no image of all that memory.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // Where the system itself runs out of memory it ends this process first. Not every container lets it be said.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

/// What a process may have beyond what it has at its start.
fn more_bytes(limits: &SqlLimits) -> u64 {
    BASE_BYTES + limits.memory_bytes as u64 + ANSWERS * limits.answer_bytes as u64
}

/// What this process has by now; none where the system does not tell.
fn data_bytes() -> io::Result<u64> {
    let status = match fs::read_to_string("/proc/self/status") {
        Ok(status) => status,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    Ok(parse(&status).unwrap_or_default())
}

fn parse(status: &str) -> Option<u64> {
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmData:"))?;
    kilobytes.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_follows_the_settings() {
        let limits = SqlLimits { memory_bytes: 100, answer_bytes: 10, ..SqlLimits::default() };
        assert_eq!(more_bytes(&limits), BASE_BYTES + 130);
        assert_eq!(parse("VmPeak:\t  9 kB\nVmData:\t  1536 kB\nVmStk:\t 8 kB\n"), Some(1536 * 1024));
        assert_eq!(parse("VmPeak:\t  9 kB\n"), None);
        assert!(data_bytes().expect("a status") > 0);
    }
}
