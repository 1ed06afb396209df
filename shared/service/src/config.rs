//! Configuration: a TOML file, then the environment over it.

mod definitions;
mod environment;
mod error;
mod secrets;

use std::{collections::BTreeSet, net::SocketAddr, num::NonZeroU32, path::Path, time::Duration};

use figment::{
    Figment,
    providers::{Format, Toml},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{clients::Network, guard::HostName};

pub use definitions::DefinitionsConfig;
pub use error::ConfigError;
pub use secrets::Secrets;

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

/// A connection with an unfinished head takes up to 40 KiB (measured). All of
/// them take a third of the smallest pod's 512 MiB.
fn default_connections() -> NonZeroU32 {
    positive(4096)
}

fn default_connections_per_address() -> NonZeroU32 {
    positive(256)
}

fn default_header_seconds() -> NonZeroU32 {
    positive(10)
}

/// Proxies keep their connections for 60 seconds.
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
    /// The settings for this address, with the defaults for the rest.
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

/// Reads a configuration: `file` where given, then the environment variables
/// `TIDEMILL_<SECTION>__<KEY>`, or `TIDEMILL_<SECTION>__<KEY>_FILE` with the
/// name of a file that holds the value. Unknown keys are errors that name the
/// key; no error shows what a secret setting holds.
pub fn load<T: DeserializeOwned + JsonSchema>(file: Option<&Path>) -> Result<T, ConfigError> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let variables = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    read(file.map_or_else(Figment::new, |file| Figment::from(Toml::file_exact(file))), variables)
}

/// Reads a configuration from TOML text alone.
pub fn parse<T: DeserializeOwned + JsonSchema>(toml: &str) -> Result<T, ConfigError> {
    parse_with(toml, [])
}

/// Reads a configuration from TOML text, and `variables` over it.
pub fn parse_with<T: DeserializeOwned + JsonSchema>(
    toml: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<T, ConfigError> {
    read(Figment::from(Toml::string(toml)), variables)
}

fn read<T: DeserializeOwned + JsonSchema>(
    figment: Figment,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<T, ConfigError> {
    let secrets = Secrets::of::<T>();
    environment::variables(variables, &secrets)?
        .into_iter()
        .fold(figment, Figment::merge)
        .extract()
        .map_err(|error| ConfigError::new(error, &secrets))
}

#[cfg(test)]
mod tests;
