//! Configuration: a TOML file, then the environment over it.

use std::{net::SocketAddr, path::Path};

use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The prefix of environment variables: `TIDEMILL_<SECTION>__<KEY>`.
pub const ENV_PREFIX: &str = "TIDEMILL_";

/// Section `http`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
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
