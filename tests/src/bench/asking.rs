//! Questions to recommendation at a fixed rate, whatever becomes of those before.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::visits::{Visits, item_id, mixed};
use crate::error::Error;

/// Connections: a request waits for one only where so many are under way.
const CONNECTIONS: usize = 64;
/// Items of a list, without a parameter.
const N: usize = 20;

/// Times in milliseconds, each from when the question was to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AnswerTimes {
    /// Half are below.
    pub p50: f64,
    /// 90 % are below.
    pub p90: f64,
    /// 99 % are below.
    pub p99: f64,
    /// 99.9 % are below.
    pub p999: f64,
    /// The worst.
    pub max: f64,
    /// How many there were.
    pub count: u64,
}

/// What is asked at what rate.
pub(super) struct Asking {
    pub(super) door: SocketAddr,
    pub(super) visits: Visits,
    pub(super) sessions: u64,
    pub(super) per_second: u64,
    pub(super) seconds: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Of each question, in microseconds.
    pub(super) visits: Vec<u64>,
    pub(super) others: Vec<u64>,
    /// Questions without an answer.
    pub(super) errors: u64,
    /// Answers that are not what was asked for, and the first of them.
    pub(super) wrong: u64,
    pub(super) example: Option<String>,
}

/// One question: its list, its path, and what its answer must not have.
struct Question {
    is_visit: bool,
    path: String,
    without: Option<String>,
    is_full: bool,
}

impl AnswerTimes {
    /// Of times in microseconds.
    #[allow(clippy::cast_precision_loss, reason = "a latency of an hour is exact by far")]
    pub(super) fn of(mut micros: Vec<u64>) -> Option<Self> {
        micros.sort_unstable();
        let last = micros.last().copied()?;
        let at = |thousandths: usize| {
            let rank = (micros.len() * thousandths).div_ceil(1000).max(1);
            micros[rank - 1] as f64 / 1000.0
        };
        let count = micros.len() as u64;
        Some(Self { p50: at(500), p90: at(900), p99: at(990), p999: at(999), max: last as f64 / 1000.0, count })
    }
}

impl Asking {
    /// Mostly what continues a visit of one to three items; and of all other lists some.
    fn question(&self, n: u64) -> Question {
        let drawn = mixed(n, 77);
        let session = mixed(n, 78) % self.sessions;
        let items = self.visits.session(session);
        let last = item_id(items[0]);
        let question = |path: String, without: Option<&String>, is_full| Question {
            is_visit: false,
            path,
            without: without.cloned(),
            is_full,
        };
        match drawn % 20 {
            0..2 => question(format!("/v1/recommendations/similar/{last}"), Some(&last), false),
            2 => question(format!("/v1/recommendations/bought-together/{last}"), Some(&last), false),
            3 if drawn >> 8 & 1 == 0 => question("/v1/recommendations/popular".into(), None, true),
            3 => question("/v1/recommendations/trending".into(), None, true),
            4..7 => Question {
                is_visit: true,
                ..question(format!("/v1/recommendations?customer=visitor-{session}"), None, true)
            },
            _ => {
                let seen: Vec<String> =
                    items[..1 + (drawn >> 8) as usize % 3].iter().rev().map(|item| item_id(*item)).collect();
                let path = format!("/v1/recommendations?session=new-{n}&items={}", seen.join(","));
                Question { is_visit: true, ..question(path, Some(&last), true) }
            }
        }
    }

    /// Asks for so long.
    pub(super) async fn run(self) -> Result<Asked, Error> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .pool_max_idle_per_host(CONNECTIONS)
            .build()
            .map_err(Error::program("the HTTP client"))?;
        let (next, asking, begun) = (Arc::new(AtomicU64::new(0)), Arc::new(self), Instant::now());
        let mut connections = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (next, asking, http) = (next.clone(), asking.clone(), http.clone());
            connections.spawn(async move { asking.ask_in_turn(&next, &http, begun).await });
        }
        let mut all = Asked::default();
        while let Some(ended) = connections.join_next().await {
            all.add(ended.map_err(Error::program("a connection"))?);
        }
        Ok(all)
    }

    /// Takes the next question that nobody has taken, and asks it when it is its time.
    async fn ask_in_turn(&self, next: &AtomicU64, http: &reqwest::Client, begun: Instant) -> Asked {
        let mut asked = Asked::default();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= self.per_second * self.seconds {
                return asked;
            }
            let due = begun + Duration::from_micros(n * 1_000_000 / self.per_second);
            sleep_until(due).await;
            let question = self.question(n);
            match ask(http, self.door, &question.path).await {
                Ok((answer, at)) => {
                    let micros = u64::try_from(at.duration_since(due).as_micros()).unwrap_or(u64::MAX);
                    if question.is_visit {
                        asked.visits.push(micros)
                    } else {
                        asked.others.push(micros)
                    }
                    if let Some(why) = question.wrong(&answer) {
                        asked.wrong += 1;
                        asked.example.get_or_insert(format!("{}: {why}", question.path));
                    }
                }
                Err(why) => {
                    asked.errors += 1;
                    asked.example.get_or_insert(format!("{}: {why}", question.path));
                }
            }
        }
    }
}

/// An answer, and when it was there.
pub(super) async fn ask(http: &reqwest::Client, door: SocketAddr, path: &str) -> Result<(Value, Instant), String> {
    let told = |error: reqwest::Error| error.to_string();
    let answer = http.get(format!("http://{door}{path}")).send().await.map_err(told)?;
    let (status, body) = (answer.status(), answer.bytes().await.map_err(told)?);
    let at = Instant::now();
    match status.is_success() {
        true => Ok((serde_json::from_slice(&body).map_err(|error| error.to_string())?, at)),
        false => Err(format!("{status}: {}", String::from_utf8_lossy(&body))),
    }
}

impl Question {
    /// What an answer is not that it has to be.
    fn wrong(&self, answer: &Value) -> Option<String> {
        let items = answer["items"].as_array()?;
        let mut ids: Vec<&str> = items.iter().filter_map(|item| item["item"].as_str()).collect();
        if self.is_full && ids.len() != N {
            return Some(format!("{} items, not {N}", ids.len()));
        }
        if self.without.as_deref().is_some_and(|without| ids.contains(&without)) {
            return Some("it has the item that it is about".into());
        }
        ids.sort_unstable();
        ids.dedup();
        (ids.len() != items.len()).then(|| "an item is there twice".into())
    }
}

impl Asked {
    fn add(&mut self, other: Self) {
        self.visits.extend(other.visits);
        self.others.extend(other.others);
        self.errors += other.errors;
        self.wrong += other.wrong;
        self.example = self.example.take().or(other.example);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_times_themselves() {
        let times = AnswerTimes::of((1..=1_000).rev().map(|n| n * 1_000).collect()).expect("some");
        let told = (times.p50, times.p90, times.p99, times.p999, times.max, times.count);
        assert_eq!(told, (500.0, 900.0, 990.0, 999.0, 1_000.0, 1_000));
        assert_eq!(AnswerTimes::of(Vec::new()), None);
    }
}
