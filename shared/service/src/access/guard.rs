//! Who is let in.

use std::{convert::Infallible, future::Future, path::Path, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tidemill_domain::SharedClock;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    AuthConfig, Caller, Hash, Role,
    credentials::Credentials,
    denied::Denied,
    folder::Files,
    keyring::Keyring,
    session::{self, Session},
    telemetry::Telemetry,
};
use crate::{Context, StartError};

/// How often the folder is read. A key that is taken away opens nothing after
/// this time.
const LOOK: Duration = Duration::from_secs(2);
const NOTICE: &str = "keys";

/// The keys of a service, and what they open. Clones share it.
#[derive(Debug, Clone)]
pub struct Access {
    shared: Arc<AccessState>,
    sessions: bool,
}

#[derive(Debug)]
struct AccessState {
    /// `None` where everybody may do everything.
    keys: Option<watch::Sender<Arc<Keyring>>>,
    clock: SharedClock,
    telemetry: Telemetry,
}

impl Access {
    /// Reads the keys of a service, and goes on reading them. The service's
    /// routes need the roles `serves`. It is an error if no key opens any of
    /// these routes: a service is open to everybody only where its settings say
    /// so.
    pub fn start(config: &AuthConfig, context: &Context, serves: &[Role]) -> Result<Self, StartError> {
        if config.open {
            if config.has_keys() {
                return Err(StartError::new("auth: with open = true everybody is let in; give no keys beside it"));
            }
            tracing::info!(
                service = context.service,
                "auth.open is set: everybody who reaches the port may do everything"
            );
            return Ok(Self::new(None, context));
        }
        let (keys, digest) = read(config).map_err(StartError::new)?;
        let missing: Vec<&str> = serves.iter().filter(|role| !keys.opens(**role)).map(|role| role.as_str()).collect();
        if !opens_any(&keys, serves) {
            return Err(StartError::new(format!(
                "auth: no key opens this service; give auth.{}, or files of these names in auth.folder, or say \
                 auth.open = true to let everybody in",
                missing.join(" or auth.")
            )));
        }
        for role in missing {
            tracing::warn!(
                service = context.service,
                role,
                "there is no key of this role: nobody reaches what needs it"
            );
        }
        let access = Self::new(Some(watch::Sender::new(Arc::new(keys))), context);
        if let (Some(digest), Some(folder)) = (digest, config.folder.clone()) {
            tracing::debug!(folder = %folder.display(), "keys are read again when they change");
            context.spawn("keys", access.clone().follow(config.clone(), digest, context.clone(), serves.to_vec()));
        }
        Ok(access)
    }

    /// Lets everybody do everything.
    pub fn everybody(context: &Context) -> Self {
        Self::new(None, context)
    }

    fn new(keys: Option<watch::Sender<Arc<Keyring>>>, context: &Context) -> Self {
        let (clock, telemetry) = (context.clock.clone(), Telemetry::new(&context.registry));
        Self { shared: Arc::new(AccessState { keys, clock, telemetry }), sessions: false }
    }

    /// The same, but a page's cookie reads too.
    #[must_use]
    pub fn with_sessions(self) -> Self {
        Self { sessions: true, ..self }
    }

    /// Whether everybody may do everything.
    pub fn is_open(&self) -> bool {
        self.shared.keys.is_none()
    }

    /// Whether the page's cookie reads.
    pub(super) fn has_sessions(&self) -> bool {
        self.sessions
    }

    /// The caller of a request, if they may do what needs the role `needs`.
    pub fn check(&self, method: &Method, headers: &HeaderMap, needs: Role) -> Result<Caller, Denied> {
        self.judge(method, Credentials::of(headers), needs)
    }

    /// The same for a whole request: its address may hold a key that writes.
    fn check_request(&self, request: &Request, needs: Role) -> Result<Caller, Denied> {
        let credentials = match needs {
            Role::Write => Credentials::of_writer(request.headers(), request.uri()),
            Role::Read | Role::Operate => Credentials::of(request.headers()),
        };
        self.judge(request.method(), credentials, needs)
    }

    pub(super) fn judge(&self, method: &Method, credentials: Credentials, needs: Role) -> Result<Caller, Denied> {
        let Some(keys) = &self.shared.keys else { return Ok(Caller::ANYBODY) };
        let keys = keys.borrow().clone();
        match credentials {
            Credentials::Key(given) => {
                let key = keys.find(&Hash::of(&given)).ok_or(Denied::Unknown { needs })?.clone();
                match key.role.opens(needs) {
                    true => Ok(Caller { key: Some(key), until: None }),
                    false => Err(Denied::Role { held: format!("the key {} may {}", key.name, key.role), needs }),
                }
            }
            Credentials::Session(value) if self.sessions => {
                let holder = session::holder(&value, &keys, self.shared.clock.now());
                let (key, until) = holder.ok_or(Denied::Unknown { needs })?;
                match needs == Role::Read && method.is_safe() && key.role.opens(Role::Read) {
                    true => Ok(Caller { key: Some(key), until: Some(until) }),
                    false => Err(Denied::Role { held: format!("a session of {} may read", key.name), needs }),
                }
            }
            Credentials::Session(_) | Credentials::None => Err(Denied::Unknown { needs }),
        }
    }

    /// A session for the holder of a key that reads; `None` where nobody needs
    /// one.
    pub fn login(&self, given: &str) -> Result<Option<Session>, Denied> {
        let Some(keys) = &self.shared.keys else { return Ok(None) };
        let keys = keys.borrow().clone();
        let needs = Role::Read;
        let key = keys.find(&Hash::of(given)).ok_or(Denied::Unknown { needs })?;
        match key.role.opens(needs) {
            true => Ok(Some(Session::of(key, self.shared.clock.now()))),
            false => Err(Denied::Role { held: format!("the key {} may {}", key.name, key.role), needs }),
        }
    }

    /// Ends when the caller may no longer go on, because its key is gone or its
    /// session is over. This is for answers that last.
    pub fn until_void(&self, caller: &Caller) -> impl Future<Output = ()> + Send + use<> {
        let changes = self.shared.keys.as_ref().map(watch::Sender::subscribe);
        let left = caller.until.map(|until| until.millis() - self.shared.clock.now().millis());
        let key = caller.key.clone();
        async move {
            let over = async {
                match left {
                    Some(millis) => sleep(Duration::from_millis(u64::try_from(millis).unwrap_or_default())).await,
                    None => std::future::pending().await,
                }
            };
            let gone = async {
                match (changes, key) {
                    // It fails only when the service is gone too.
                    (Some(mut changes), Some(key)) => drop(changes.wait_for(|keys| !keys.holds(&key)).await),
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => {}
                () = gone => {}
            }
        }
    }

    /// Reads the keys again and again. If they cannot be read, nothing changes
    /// and a notice says why: a typing error must not lock everybody out. If no
    /// key is left, that is taken as it is, with a notice too: a key may have
    /// to go before another is there.
    async fn follow(
        self,
        config: AuthConfig,
        digest: [u8; 32],
        context: Context,
        serves: Vec<Role>,
    ) -> Result<(), Infallible> {
        let mut seen = Ok(digest);
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = context.shutdown.cancelled() => return Ok(()),
            }
            let config = config.clone();
            let found = tokio::task::spawn_blocking(move || read(&config)).await;
            let found = found.unwrap_or_else(|error| Err(error.to_string()));
            let now = found.as_ref().map(|(_, digest)| digest.unwrap_or_default()).map_err(Clone::clone);
            if now == seen {
                continue;
            }
            match found {
                Ok((keys, _)) => {
                    if opens_any(&keys, &serves) {
                        context.health.withdraw_notice(NOTICE);
                    } else {
                        Telemetry::locked();
                        context.health.notice(NOTICE, "no key opens this service any more: nobody is let in");
                    }
                    self.take(keys);
                }
                Err(reason) => {
                    Telemetry::broken(&reason);
                    context.health.notice(NOTICE, format!("the keys stay as they were: {reason}"));
                }
            }
            seen = now;
        }
    }

    fn take(&self, keys: Keyring) {
        let Some(current) = &self.shared.keys else { return };
        // Keys that could not be read may come back as they were before.
        if **current.borrow() != keys {
            let keys = Arc::new(keys);
            let before = current.send_replace(keys.clone());
            self.shared.telemetry.rotated(&before, &keys);
        }
    }
}

impl Access {
    /// Counts what was decided of a request.
    pub(super) fn tell(&self, decided: &Result<Caller, Denied>) {
        match decided {
            Ok(caller) => self.shared.telemetry.granted(caller),
            Err(denied) => self.shared.telemetry.denied(denied),
        }
    }
}

fn opens_any(keys: &Keyring, serves: &[Role]) -> bool {
    serves.iter().any(|role| keys.opens(*role))
}

/// All keys, and a digest of the folder's files where there is a folder.
fn read(config: &AuthConfig) -> Result<(Keyring, Option<[u8; 32]>), String> {
    let files = config.folder.as_deref().map(|folder: &Path| Files::read(folder)).transpose()?;
    let from_files = files.as_ref().map(Files::entries).transpose()?.unwrap_or_default();
    let keys = Keyring::new(config.entries()?.into_iter().chain(from_files)).map_err(|e| format!("auth: {e}"))?;
    Ok((keys, files.map(|files| files.digest())))
}

/// The guard before a route.
pub(super) async fn admit(State((access, needs)): State<(Access, Role)>, mut request: Request, next: Next) -> Response {
    let decided = access.check_request(&request, needs);
    access.tell(&decided);
    match decided {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(denied) => denied.into_response(),
    }
}
