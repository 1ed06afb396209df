//! A way to a component through `kubectl port-forward`, which goes to one pod
//! and ends with it: here it comes back, to another one.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::Stdio,
    time::Duration,
};

use reqwest::redirect::Policy;
use tokio::{
    process::Child,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    kubectl::{Kubectl, has_condition, text},
    release::{Release, selector_of},
};
use crate::{error::Error, journal::Journal};

/// How often a forward is looked at.
const INTERVAL: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(2);
/// Looks in a row without an answer after which another pod is taken.
const MISSES: u32 = 2;
/// How long a new forward may take until it answers.
const OPEN: Duration = Duration::from_secs(10);

/// A forward; it ends when dropped.
#[derive(Debug)]
pub(super) struct Forward {
    /// Where it listens.
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

/// Where a forward leads.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The component, for instance `ingestion`.
    pub(super) component: &'static str,
    /// The port of its pods.
    pub(super) port: u16,
    /// A path that answers without an error as long as the pod takes requests.
    pub(super) probe: &'static str,
}

impl Forward {
    /// To a pod of a component, for as long as this lives: the one whose turn it
    /// is, so that several forwards lead to several pods.
    pub(super) fn open(release: &Release, target: Target, turn: usize, journal: &Journal) -> Result<Self, Error> {
        let address = free_address().map_err(Error::program("a port"))?;
        let http = reqwest::Client::builder().timeout(TIMEOUT).redirect(Policy::none()).build();
        let http = http.map_err(Error::program("the HTTP client"))?;
        let kubectl = release.kubectl.clone();
        let keeper = Keeper { kubectl, target, turn, address, http, journal: journal.clone() };
        Ok(Self { address, task: tokio::spawn(async move { keeper.keep().await }) })
    }

    /// Waits until it leads somewhere.
    pub(super) async fn wait(&self, deadline: Duration) -> Result<(), Error> {
        let begun = Instant::now();
        while let Err(last) = tokio::net::TcpStream::connect(self.address).await {
            if begun.elapsed() > deadline {
                let what = format!("a port-forward at {}", self.address);
                return Err(Error::Deadline { what, deadline, last: last.to_string() });
            }
            sleep(INTERVAL).await;
        }
        Ok(())
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Keeper {
    kubectl: Kubectl,
    target: Target,
    turn: usize,
    address: SocketAddr,
    http: reqwest::Client,
    journal: Journal,
}

impl Keeper {
    /// One pod after the other, for ever.
    async fn keep(&self) {
        let mut turn = self.turn;
        loop {
            let Some(pod) = self.choose(turn).await else {
                sleep(INTERVAL).await;
                continue;
            };
            match self.forward(&pod) {
                Ok(child) => {
                    self.watch(child).await;
                    self.journal.note(format_args!("the port-forward to {pod} is over"));
                }
                Err(error) => self.journal.note(error),
            }
            turn += 1;
            sleep(INTERVAL).await;
        }
    }

    /// A pod that is ready, if there is one: another one at the next turn, if
    /// there are several.
    async fn choose(&self, turn: usize) -> Option<String> {
        let items = self.kubectl.list(&["pods", "--selector", &selector_of(self.target.component)]).await.ok()?;
        let ready =
            |item: &&serde_json::Value| has_condition(item, "Ready") && item["metadata"]["deletionTimestamp"].is_null();
        let mut names: Vec<String> = items.iter().filter(ready).map(|item| text(&item["metadata"]["name"])).collect();
        names.sort_unstable();
        names.get(turn % names.len().max(1)).cloned()
    }

    fn forward(&self, pod: &str) -> Result<Child, Error> {
        let ports = format!("{}:{}", self.address.port(), self.target.port);
        let call = self.kubectl.call(["port-forward", "--address=127.0.0.1", &format!("pod/{pod}"), &ports]);
        let mut command = call.command();
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map_err(Error::program(call.line()))
    }

    /// Until it ends, or its pod does not answer any more.
    async fn watch(&self, mut child: Child) {
        let (begun, mut answered, mut misses) = (Instant::now(), false, 0);
        let url = format!("http://{}{}", self.address, self.target.probe);
        loop {
            tokio::select! {
                _ = child.wait() => return,
                () = sleep(INTERVAL) => {}
            }
            let answer = self.http.get(&url).send().await;
            // Who is not ready says 503; a page may say where it is.
            if answer.is_ok_and(|answer| !answer.status().is_server_error()) {
                (answered, misses) = (true, 0);
            } else {
                misses += 1;
            }
            let patience = answered || begun.elapsed() > OPEN;
            if patience && misses >= MISSES {
                // It may have ended by itself, which serves as well.
                let _ = child.kill().await;
                return;
            }
        }
    }
}

/// A port that was free a moment ago. Whoever takes it meanwhile makes
/// `kubectl` fail, and it is tried again.
pub(super) fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
