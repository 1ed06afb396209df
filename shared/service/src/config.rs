//! Configuration: a TOML file, then the environment over it.

use std::{collections::BTreeSet, net::SocketAddr, num::NonZeroU32, path::Path, time::Duration};

use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{clients::Network, guard::HostName};

/// The prefix of environment variables: `TIDEMILL_<SECTION>__<KEY>`.
pub const ENV_PREFIX: &str = "TIDEMILL_";

/// Section `http`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address and port of `/metrics`, `/livez` and `/readyz`, so that who
    /// reaches the API need not reach them. Without it they are on `listen`.
    #[serde(default)]
    pub operations: Option<SocketAddr>,
    /// Names by which `listen` may be asked, without port, for instance
    /// `localhost` or `[::1]`; a request that names another host is answered
    /// 421. It keeps pages out that make a name of theirs point here (DNS
    /// rebinding). Any name where there are none.
    #[serde(default)]
    pub hosts: BTreeSet<HostName>,
    /// Connections at once, on each of the two ports; more are closed at once.
    #[serde(default = "default_connections")]
    pub connections: NonZeroU32,
    /// Connections at once from one address; of IPv6, from one /64 network.
    #[serde(default = "default_connections_per_address")]
    pub connections_per_address: NonZeroU32,
    /// Networks whose addresses each stand for many clients, for instance those
    /// of a proxy, a load balancer or a cluster's nodes (`10.0.0.0/8`): no
    /// address of theirs is held to a share.
    #[serde(default)]
    pub shared_networks: Vec<Network>,
    /// Seconds for the head of a request, from its first byte, and on a new
    /// connection from its beginning.
    #[serde(default = "default_header_seconds")]
    pub header_seconds: NonZeroU32,
    /// Seconds for which a connection is kept open between two requests. Longer
    /// than a proxy in front keeps it, which would else send into a closed one.
    #[serde(default = "default_idle_seconds")]
    pub idle_seconds: NonZeroU32,
    /// Seconds for which a client may be waited for, in all, while it sends a
    /// body, or reads an answer. What it sends or reads earns it more.
    #[serde(default = "default_stall_seconds")]
    pub stall_seconds: NonZeroU32,
    /// Bytes that earn a client one second of `stall_seconds` back. Who is
    /// slower than that is let go when they are used up.
    #[serde(default = "default_min_bytes_per_second")]
    pub min_bytes_per_second: NonZeroU32,
}

const fn positive(value: u32) -> NonZeroU32 {
    match NonZeroU32::new(value) {
        Some(value) => value,
        None => NonZeroU32::MIN,
    }
}

fn default_connections() -> NonZeroU32 {
    positive(10_000)
}

fn default_connections_per_address() -> NonZeroU32 {
    positive(256)
}

fn default_header_seconds() -> NonZeroU32 {
    positive(10)
}

/// Proxies keep theirs for 60 seconds.
fn default_idle_seconds() -> NonZeroU32 {
    positive(75)
}

fn default_stall_seconds() -> NonZeroU32 {
    positive(20)
}

/// A fourth of what the slowest of mobile networks carry.
fn default_min_bytes_per_second() -> NonZeroU32 {
    positive(4096)
}

impl HttpConfig {
    /// Listening there, with the defaults for the rest.
    pub fn at(listen: SocketAddr) -> Self {
        Self {
            listen,
            operations: None,
            hosts: BTreeSet::new(),
            connections: default_connections(),
            connections_per_address: default_connections_per_address(),
            shared_networks: Vec::new(),
            header_seconds: default_header_seconds(),
            idle_seconds: default_idle_seconds(),
            stall_seconds: default_stall_seconds(),
            min_bytes_per_second: default_min_bytes_per_second(),
        }
    }

    /// Where `/readyz` is answered.
    pub(crate) fn readiness(&self) -> SocketAddr {
        self.operations.unwrap_or(self.listen)
    }
}

/// A number of seconds as a duration.
pub(crate) fn seconds(number: NonZeroU32) -> Duration {
    Duration::from_secs(number.get().into())
}

/// The configuration could not be read or is wrong.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {0}")]
pub struct ConfigError(#[from] Box<figment::Error>);

/// Reads a configuration: `file` where given, then the environment variables
/// `TIDEMILL_<SECTION>__<KEY>`. Unknown keys are errors that name the key.
pub fn load<T: DeserializeOwned>(file: Option<&Path>) -> Result<T, ConfigError> {
    let mut figment = Figment::new();
    if let Some(file) = file {
        figment = figment.merge(Toml::file_exact(file));
    }
    // Only variables with a section are settings; TIDEMILL_CONFIG is not.
    let environment = Env::prefixed(ENV_PREFIX).filter(|key| key.as_str().contains("__")).split("__");
    figment.merge(environment).extract().map_err(|e| ConfigError(Box::new(e)))
}

/// Reads a configuration from TOML text alone.
pub fn parse<T: DeserializeOwned>(toml: &str) -> Result<T, ConfigError> {
    Figment::new().merge(Toml::string(toml)).extract().map_err(|e| ConfigError(Box::new(e)))
}
