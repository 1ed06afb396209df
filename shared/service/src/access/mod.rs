//! Who may do what over HTTP.
//!
//! A key has a name and one [`Role`]. Keys come from the settings, or from a
//! folder that is read again when it changes ([`config`], [`folder`]). Only a
//! hash of each key is kept ([`key`]). A caller's key is compared with all of
//! them ([`keyring`]). Where the router is made, each route says once which
//! role it needs. The guard before the route follows from that, and so does
//! what `/openapi.json` says of it ([`routes`]). A page logs in with a key and
//! gets a cookie that reads ([`session`]). Of a route whose callers cannot set
//! headers the key may be in the body ([`undecided`]).

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
mod undecided;

pub use caller::Caller;
pub use config::{AuthConfig, Entries};
pub use denied::Denied;
pub use guard::Access;
pub use key::{Hash, KeyError, LEAST_BYTES};
pub use role::Role;
pub use routes::{Needs, Routes, Undeclared};
pub use session::{Session, cookie as session_cookie};
pub use undecided::{Admitted, Undecided};
