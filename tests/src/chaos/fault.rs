//! What goes wrong.

use std::{fmt, time::Duration};

use clap::ValueEnum;
use serde::Serialize;

use super::proxy::Trouble;
use crate::service::Service;

/// What is reached through proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dependency {
    /// The log.
    Nats,
    /// The services' databases.
    Postgres,
    /// The metrics store, where it is InfluxDB.
    Influx,
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nats => "NATS",
            Self::Postgres => "PostgreSQL",
            Self::Influx => "InfluxDB",
        })
    }
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// SIGKILL to a replica, and a start after a while.
    Kill,
    /// SIGTERM to a replica, and a start after a while.
    Terminate,
    /// SIGSTOP to a replica, and SIGCONT after a while.
    Pause,
    /// One more replica of a service for a while.
    Scale,
    /// SIGKILL to the nats-server, and a start after a while.
    NatsKill,
    /// SIGTERM to the nats-server, and a start after a while.
    NatsRestart,
    /// An immediate stop of PostgreSQL, and a start after a while.
    PostgresCrash,
    /// A fast stop of PostgreSQL, and a start after a while.
    PostgresRestart,
    /// Connections to a dependency break.
    Sever,
    /// Connections to a dependency break, and none can be made for a while.
    Refuse,
    /// Nothing passes to or from a dependency for a while.
    Stall,
    /// Everything to and from a dependency comes late for a while.
    Slow,
    /// Slack refuses some calls.
    SlackAway,
    /// The folder of the lake's tables is away for a while, and nothing can be written.
    LakeAway,
    /// An empty folder is in its place for a while.
    LakeEmpty,
}

impl Kind {
    /// Whether it needs a lake.
    pub(super) const fn is_of_lake(self) -> bool {
        matches!(self, Self::LakeAway | Self::LakeEmpty)
    }
}

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL, and a start after a while.
    Kill { replica: String, down: Duration },
    /// SIGTERM, and a start after a while.
    Terminate { replica: String, down: Duration },
    /// SIGSTOP, and SIGCONT after a while.
    Pause { replica: String, lasts: Duration },
    /// One more replica of a service for a while.
    Scale { service: Service, lasts: Duration },
    /// The nats-server is killed, and comes back.
    NatsKill { down: Duration },
    /// The nats-server is ended in order, and comes back.
    NatsRestart { down: Duration },
    /// PostgreSQL ends without a checkpoint, and recovers.
    PostgresCrash { down: Duration },
    /// PostgreSQL ends in order, and comes back.
    PostgresRestart { down: Duration },
    /// The network between a dependency and one replica, or all of them.
    Network { dependency: Dependency, replica: Option<String>, trouble: Trouble },
    /// Slack refuses so many calls.
    SlackAway { calls: u32 },
    /// The folder of the lake's tables is away, and comes back. Meanwhile there is
    /// nothing in its place, or an empty folder.
    LakeAway { lasts: Duration, is_empty: bool },
}

impl Fault {
    /// What it is counted as.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Kill { .. } => Kind::Kill,
            Self::Terminate { .. } => Kind::Terminate,
            Self::Pause { .. } => Kind::Pause,
            Self::Scale { .. } => Kind::Scale,
            Self::NatsKill { .. } => Kind::NatsKill,
            Self::NatsRestart { .. } => Kind::NatsRestart,
            Self::PostgresCrash { .. } => Kind::PostgresCrash,
            Self::PostgresRestart { .. } => Kind::PostgresRestart,
            Self::Network { trouble, .. } => match trouble {
                Trouble::Sever => Kind::Sever,
                Trouble::Refuse(_) => Kind::Refuse,
                Trouble::Stall(_) => Kind::Stall,
                Trouble::Slow(..) => Kind::Slow,
            },
            Self::SlackAway { .. } => Kind::SlackAway,
            Self::LakeAway { is_empty: false, .. } => Kind::LakeAway,
            Self::LakeAway { is_empty: true, .. } => Kind::LakeEmpty,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { replica, down } => write!(f, "SIGKILL {replica}, down for {down:?}"),
            Self::Terminate { replica, down } => write!(f, "SIGTERM {replica}, down for {down:?}"),
            Self::Pause { replica, lasts } => write!(f, "SIGSTOP {replica} for {lasts:?}"),
            Self::Scale { service, lasts } => write!(f, "one more {service} for {lasts:?}"),
            Self::NatsKill { down } => write!(f, "SIGKILL nats-server, down for {down:?}"),
            Self::NatsRestart { down } => write!(f, "SIGTERM nats-server, down for {down:?}"),
            Self::PostgresCrash { down } => write!(f, "immediate stop of PostgreSQL, down for {down:?}"),
            Self::PostgresRestart { down } => write!(f, "fast stop of PostgreSQL, down for {down:?}"),
            Self::Network { dependency, replica, trouble } => {
                let whose = replica.as_deref().unwrap_or("everybody");
                match trouble {
                    Trouble::Sever => write!(f, "sever {whose} from {dependency}"),
                    Trouble::Refuse(lasts) => write!(f, "refuse {whose} connections to {dependency} for {lasts:?}"),
                    Trouble::Stall(lasts) => write!(f, "stall {whose} and {dependency} for {lasts:?}"),
                    Trouble::Slow(lasts, delay) => {
                        write!(f, "slow {whose} and {dependency} down by {delay:?} for {lasts:?}")
                    }
                }
            }
            Self::SlackAway { calls } => write!(f, "Slack refuses {calls} calls"),
            Self::LakeAway { lasts, is_empty: false } => write!(f, "the lake's folder is away for {lasts:?}"),
            Self::LakeAway { lasts, is_empty: true } => write!(f, "the lake's folder is empty for {lasts:?}"),
        }
    }
}
