//! Ports that stay the same while nobody listens on them.

use std::net::TcpListener;

use crate::error::Error;

/// Below the range that systems take outgoing connections' ports from (Linux:
/// 32,768, others higher): a port that is free for a moment stays free.
const RANGE: std::ops::Range<u16> = 18_000..32_000;

/// What a run takes, by and large.
const PER_RUN: u16 = 100;

/// Gives out ports of loopback.
#[derive(Debug)]
pub(crate) struct Ports {
    next: u16,
}

impl Ports {
    /// Two runs on one machine begin at different places.
    pub(crate) fn new() -> Self {
        let slots = u32::from((RANGE.end - RANGE.start) / PER_RUN);
        let slot = u16::try_from(std::process::id() % slots).unwrap_or_default();
        Self { next: RANGE.start + slot * PER_RUN }
    }

    /// A port that nobody listens on now.
    pub(crate) fn take(&mut self) -> Result<u16, Error> {
        for _ in RANGE {
            let port = self.next;
            self.next = if port + 1 < RANGE.end { port + 1 } else { RANGE.start };
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return Ok(port);
            }
        }
        Err(Error::Program { program: "ports".into(), reason: format!("none is free in {RANGE:?}") })
    }
}
