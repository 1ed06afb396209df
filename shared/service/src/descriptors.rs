//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to the most that the system allows. A process is often
/// started with 1,024, a bound from the days of `select`.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// How many of the wanted connections a port may hold: at most half of the
/// files. So stores and the log can be opened, however many clients there are.
pub(crate) fn for_connections(wanted: u32) -> u32 {
    bounded(wanted, getrlimit(Resource::Nofile).current)
}

fn bounded(wanted: u32, files: Option<u64>) -> u32 {
    let half = files.map_or(u32::MAX, |files| u32::try_from(files / 2).unwrap_or(u32::MAX));
    wanted.min(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_files_for_the_rest() {
        assert_eq!(bounded(10_000, Some(1024)), 512);
        assert_eq!(bounded(10_000, Some(1 << 20)), 10_000);
        assert_eq!(bounded(10_000, Some(1 << 40)), 10_000);
        assert_eq!(bounded(10_000, None), 10_000);
    }

    #[test]
    fn the_limit_is_raised_to_what_is_allowed() {
        raise_limit();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
    }
}
