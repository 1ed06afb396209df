//! Who may do what over HTTP.
//!
//! A key has a name and one [`Role`]. Keys come from the settings or from a
//! folder that is read again when it changes ([`config`], [`folder`]); of each
//! only a hash is kept ([`key`]), and a caller's is compared with all of them
//! ([`keyring`]). A route says once which role it needs, where the router is
//! made; from that follow the guard before it and what `/openapi.json` says of
//! it ([`routes`]). A page logs in with a key and gets a cookie that reads
//! ([`session`]).

mod caller;
mod config;
mod credentials;
mod denied;
mod folder;
mod guard;
mod key;
mod keyring;
mod role;
mod routes;
mod session;
mod telemetry;

pub use caller::Caller;
pub use config::{AuthConfig, Entries};
pub use denied::Denied;
pub use guard::Access;
pub use key::{Hash, KeyError, LEAST_BYTES};
pub use role::Role;
pub use routes::{Needs, Routes, Undeclared};
pub use session::{Session, cookie as session_cookie};
