//! What a key is for.

use std::fmt;

/// What a key is for. Write never reads, and read never changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sends events; a shop's page may show such a key.
    Write,
    /// Reads numbers: metrics, alerts, the books, health, the live stream.
    Read,
    /// Reads, and handles dead letters, reference data and customers' profiles.
    Operate,
}

impl Role {
    /// All of them, as their files and settings are named.
    pub const ALL: [Self; 3] = [Self::Write, Self::Read, Self::Operate];

    /// Its name, in settings, files, problems and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }

    /// Whether a key of this role opens what needs `needed`.
    pub const fn opens(self, needed: Self) -> bool {
        matches!(
            (self, needed),
            (Self::Write, Self::Write) | (Self::Read, Self::Read) | (Self::Operate, Self::Read | Self::Operate)
        )
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_never_reads_and_reading_never_writes() {
        let opened = |key: Role| Role::ALL.map(|needed| key.opens(needed));
        assert_eq!(opened(Role::Write), [true, false, false]);
        assert_eq!(opened(Role::Read), [false, true, false]);
        assert_eq!(opened(Role::Operate), [false, true, true]);
    }
}
