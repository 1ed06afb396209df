//! What the machine can do, measured when a run begins: figures of two machines,
//! or of one machine in two states, are told apart by it.

use std::{
    fs::File,
    hint::black_box,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Rounds of the fixed calculation.
const ROUNDS: u64 = 100_000_000;
/// Small writes that are synced.
const SYNCS: u32 = 200;

/// What the machine can do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Processors.
    pub cores: usize,
    /// Seconds that a fixed calculation takes on one processor.
    pub calibration_s: f64,
    /// Milliseconds that a write of 4 KiB takes until it is on disk, the median.
    pub fsync_ms: f64,
    /// Processes that wanted to run, on average of the last minute, before the
    /// run: below half a processor, the machine is quiet.
    pub load: f64,
}

impl Machine {
    /// Measures it; `folder` is where the run writes.
    pub(super) fn measure(folder: &Path) -> Result<Self, Error> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let load = load();
        Ok(Self { cpu: cpu_name(), cores, calibration_s: calibration(), fsync_ms: fsync(folder)?, load })
    }

    /// Whether others left the machine to the run.
    pub fn is_quiet(&self) -> bool {
        self.load < 0.5
    }
}

fn cpu_name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

/// The best of three: what else runs makes it longer, and nothing makes it
/// shorter.
fn calibration() -> f64 {
    let once = || {
        let begun = Instant::now();
        let mut state: u64 = black_box(1);
        for round in 0..ROUNDS {
            // Each round needs the one before it.
            state = (state ^ round).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
        }
        black_box(state);
        begun.elapsed()
    };
    let best = (0..3).map(|_| once()).min().unwrap_or_default();
    rounded(best.as_secs_f64())
}

fn fsync(folder: &Path) -> Result<f64, Error> {
    let path = folder.join("fsync");
    let mut file = File::create(&path).map_err(Error::file(&path))?;
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[7; 4096]).and_then(|()| file.sync_data()).map_err(Error::file(&path))?;
        times.push(begun.elapsed());
    }
    std::fs::remove_file(&path).map_err(Error::file(&path))?;
    times.sort_unstable();
    Ok(rounded(times[times.len() / 2].as_secs_f64() * 1000.0))
}

/// To a thousandth.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
