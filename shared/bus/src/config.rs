//! How to reach NATS, and how large the log may grow.

use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Section `nats`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Server addresses, separated by commas. One may carry a user and password
    /// (`nats://user:password@host`), which then go for all where `user` is not
    /// set.
    #[schemars(extend("writeOnly" = true))]
    pub url: String,
    /// User name, where the server asks for one.
    pub user: Option<String>,
    /// Password that goes with `user`. Give it by a file or by environment.
    #[serde(skip_serializing)]
    #[schemars(extend("writeOnly" = true))]
    pub password: Option<String>,
    /// Partitions of the log (1 to 1024). Fixed once the log is made: a service with another number does not start.
    pub partitions: u16,
    /// Replicas of each stream: 1, or 3 on a cluster of three servers.
    pub replicas: u8,
    /// Bytes that the log (`RAW`) may take on disk. When it is full,
    /// ingestion answers 503 rather than forget. The other streams are sized
    /// in proportion: `ENRICHED` a half, `METRICS` and `DLQ` a quarter, `LATE`
    /// an eighth, `ALERTS`, `REDRIVE` and `MEASURED` a sixteenth.
    pub log_bytes: u64,
    /// Seconds to wait for an answer of the server.
    pub timeout_seconds: u64,
}

impl std::fmt::Debug for Config {
    /// Without the password, and without the addresses: they may hold one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("user", &self.user)
            .field("partitions", &self.partitions)
            .field("replicas", &self.replicas)
            .field("log_bytes", &self.log_bytes)
            .field("timeout_seconds", &self.timeout_seconds)
            .finish_non_exhaustive()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".into(),
            user: None,
            password: None,
            partitions: 8,
            replicas: 1,
            log_bytes: 4 << 30,
            timeout_seconds: 5,
        }
    }
}

impl Config {
    /// The servers' addresses without what is secret, and the user and password,
    /// where there are any. The client ignores those in an address, and tells
    /// addresses in its logs.
    pub(crate) fn servers(&self) -> (Vec<String>, Option<(String, String)>) {
        let mut credentials = self.user.clone().zip(self.password.clone());
        let servers = self.url.split(',').map(str::trim).map(|address| {
            let (scheme, rest) = address.split_once("://").unwrap_or(("nats", address));
            let Some((user_info, host)) = rest.rsplit_once('@') else { return address.to_owned() };
            let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
            let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
            credentials.get_or_insert_with(|| (decoded(user), decoded(password)));
            format!("{scheme}://{host}")
        });
        (servers.collect(), credentials)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(url: &str, user: Option<&str>) -> (Vec<String>, Option<(String, String)>) {
        let password = user.map(|_| "set".to_owned());
        Config { url: url.into(), user: user.map(str::to_owned), password, ..Config::default() }.servers()
    }

    #[test]
    fn what_is_secret_in_an_address_goes_another_way() {
        let of = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(servers("nats://a:4222", None), (vec!["nats://a:4222".into()], None));
        assert_eq!(servers("a:4222", None), (vec!["a:4222".into()], None));
        assert_eq!(servers("tls://u:p@a:1, b:2", None), (vec!["tls://a:1".into(), "b:2".into()], of("u", "p")));
        assert_eq!(servers("nats://u:p%40%3A@a", None), (vec!["nats://a".into()], of("u", "p@:")));
        assert_eq!(servers("nats://u:p@a", Some("me")), (vec!["nats://a".into()], of("me", "set")));
    }
}
