//! Has visitors forgotten while everything else goes wrong.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use reqwest::Url;
use tokio::time::{Instant, sleep};

use super::suite::Suite;
use crate::{error::Error, service::Service, shop::storefront::Visitor};

/// How often it is looked whose time has come.
const LOOK: Duration = Duration::from_millis(200);
/// Who is not forgotten for so long ends the run.
const PATIENCE: Duration = Duration::from_secs(120);
/// For how long after an erasure nothing of the visitor is learnt, and some more.
pub(super) const NOTHING_FOR: Duration = Duration::from_secs(12);

/// Asks a replica of recommendation to forget each visitor who is to be forgotten, once
/// all that they send was acknowledged; and some of them before that, too. Answers how
/// often somebody was forgotten.
pub(super) async fn forget(
    suite: &Suite,
    visitors: &[Visitor],
    acknowledged: &Arc<AtomicUsize>,
    seed: u64,
) -> Result<u64, Error> {
    let mut rng = StdRng::seed_from_u64(seed ^ 0xf0_96e7);
    let mut waiting: Vec<&Visitor> = visitors.iter().filter(|visitor| visitor.is_to_be_forgotten).collect();
    let mut done = 0;
    while !waiting.is_empty() {
        sleep(LOOK).await;
        let sent = acknowledged.load(Ordering::Relaxed);
        let (due, others): (Vec<&Visitor>, Vec<&Visitor>) =
            waiting.into_iter().partition(|visitor| visitor.sent_with <= sent);
        waiting = others;
        let early = waiting.choose(&mut rng).copied().filter(|_| rng.random_bool(0.1));
        for visitor in due.into_iter().chain(early) {
            forget_one(suite, visitor, &mut rng).await?;
            done += 1;
        }
    }
    Ok(done)
}

/// Asks any replica until one has done it.
async fn forget_one(suite: &Suite, visitor: &Visitor, rng: &mut StdRng) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        let doors = suite.addresses(Service::Recommendation);
        let Some(door) = doors.choose(rng) else { return Ok(()) };
        let last = match suite.http.delete(path_of(*door, visitor)).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(error) => error.to_string(),
        };
        if begun.elapsed() > PATIENCE {
            return Err(Error::Deadline { what: format!("{} is forgotten", visitor.name), deadline: PATIENCE, last });
        }
        sleep(LOOK).await;
    }
}

/// Where a visitor is known.
fn path_of(door: SocketAddr, visitor: &Visitor) -> String {
    let kind = if visitor.is_customer { "profiles" } else { "sessions" };
    format!("http://{door}/v1/{kind}/{}", visitor.name)
}

/// A path below a replica, of parts that may be any text, and with parameters.
pub(super) fn url(door: SocketAddr, parts: &[&str], parameters: &[(&str, &str)]) -> Result<Url, Error> {
    let mut url: Url = format!("http://{door}").parse().map_err(Error::program("an address"))?;
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.extend(parts);
    }
    url.query_pairs_mut().extend_pairs(parameters);
    Ok(url)
}
