//! How many replicas a load needs: for once, twice and four times the steady
//! load, the least at which what is in flight does not grow. It is the method
//! of Theodolite (Henning and Hasselbring, "How to Measure Scalability of
//! Distributed Stream Processing Engines?", 2021), with lag for its objective.
//!
//! A pod gets no more CPU than the steady load takes of one, and a little: so
//! the answer depends on the services and not on how many cores the nodes share.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use serde_json::{Value, json};
use tidemill::client::{Client, Keys};
use tidemill_service::Role;
use tokio::time::{Instant, sleep};

use super::{
    OPEN, REPORTING, Scene,
    autoscale::{of, taken_by},
    forward::Forward,
    kubectl::until,
    release::READY,
    scale::left_to_hand,
};
use crate::{error::Error, service::Service};

/// The services that share their work by partitions, and that a number waits for. Ingestion's clients choose its
/// replicas; alert and reporting have a few units of work each, whatever the load is.
const SCALED: [Service; 2] = [Service::Enrichment, Service::Aggregation];
/// Multiples of the steady load.
const LOADS: [u32; 3] = [1, 2, 4];
/// Replicas beyond which nobody looks.
const MOST: u32 = 12;
/// Share of a pod's CPU that the steady load takes of one.
const STEADY_SHARE: f64 = 0.7;
/// No pod gets less, in thousandths of a core: below it the probes suffer.
const LEAST_LIMIT: f64 = 20.0;
/// The metrics API needs that long to know new pods.
const METRICS: Duration = Duration::from_secs(60);
/// Partitions find new owners, and the lag of that is worked off.
const SETTLE: Duration = Duration::from_secs(30);
/// How long what is in flight is looked at.
const LOOK: Duration = Duration::from_secs(40);
const INTERVAL: Duration = Duration::from_secs(2);
/// What is in flight may grow by this share of the load and still be flat.
const FLAT: f64 = 0.02;
/// How long it may take to work off what one try has left.
const WORKED_OFF: Duration = Duration::from_secs(240);

/// What a run found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ScaleOut {
    /// The most CPU of a pod, in thousandths of a core, by service.
    pub cpu_limit_m: BTreeMap<String, f64>,
    /// One for each load.
    pub loads: Vec<LeastReplicas>,
}

/// A load, and how many replicas it needs.
#[derive(Debug, Clone, Serialize)]
pub struct LeastReplicas {
    /// Events a second.
    pub events_per_s: u32,
    /// The least replicas of each service at which the lag stays flat; null
    /// where none of those that were tried were enough.
    pub replicas: Option<u32>,
    /// What was tried.
    pub tried: Vec<Try>,
}

/// A number of replicas under a load.
#[derive(Debug, Clone, Serialize)]
pub struct Try {
    /// Of each service.
    pub replicas: u32,
    /// By how many events a second what is in flight grew: the slope of its
    /// line of least squares.
    pub growth_per_s: f64,
    /// Events in flight at the end.
    pub in_flight: u64,
}

/// Measures it.
pub(super) async fn measure(scene: &Scene<'_>) -> Result<ScaleOut, Error> {
    let Scene { release, load, journal, rate, .. } = *scene;
    let door = Forward::open(release, REPORTING, 0, journal)?;
    door.wait(OPEN).await?;
    let url: reqwest::Url = format!("http://{}", door.address).parse().map_err(Error::program("reporting"))?;
    let keys = Keys { write: None, read: Some(release.key(Role::Read).await?) };
    let books = Client::new(url.clone(), url, keys);
    let limits = limit(scene).await?;
    let mut found = ScaleOut { cpu_limit_m: limits, loads: Vec::new() };
    let mut replicas = 1;
    for times in LOADS {
        let events_per_s = rate * times;
        let mut row = LeastReplicas { events_per_s, replicas: None, tried: Vec::new() };
        // What a smaller load needs, a larger one needs too.
        while row.replicas.is_none() && replicas <= MOST {
            release.scale(&SCALED, replicas).await?;
            release.ready(READY).await?;
            release.calm().await?;
            load.set_rate(events_per_s);
            let tried = look(&books, replicas).await?;
            load.set_rate(1);
            work_off(&books, rate).await?;
            journal.note(format_args!(
                "{events_per_s} events/s, {replicas} replicas: what is in flight grows by {:.0} a second, to {}",
                tried.growth_per_s, tried.in_flight
            ));
            if tried.growth_per_s <= FLAT * f64::from(events_per_s) {
                row.replicas = Some(replicas);
            } else {
                replicas += 1;
            }
            row.tried.push(tried);
        }
        found.loads.push(row);
    }
    load.set_rate(rate);
    release
        .helm
        .upgrade(all(&json!({"resources": {"limits": {"cpu": null}}, "autoscaling": {"enabled": true}})))
        .await?;
    release.ready(READY).await?;
    Ok(found)
}

/// Gives each pod what the steady load takes of one, and a little.
async fn limit(scene: &Scene<'_>) -> Result<BTreeMap<String, f64>, Error> {
    let release = scene.release;
    release.helm.upgrade(all(&left_to_hand())).await?;
    release.scale(&SCALED, 1).await?;
    release.ready(READY).await?;
    release.calm().await?;
    sleep(METRICS).await;
    let (mut limits, mut services) = (BTreeMap::new(), json!({}));
    for service in SCALED {
        let limit = (taken_by(scene, service).await? / STEADY_SHARE).max(LEAST_LIMIT).ceil();
        let cpu = json!({"requests": {"cpu": "5m"}, "limits": {"cpu": format!("{limit}m")}});
        services[service.name()] = json!({"resources": cpu});
        limits.insert(service.name().to_owned(), limit);
    }
    scene.journal.note(format_args!("thousandths of a core for each pod: {limits:?}"));
    release.helm.upgrade(json!({"services": services})).await?;
    release.ready(READY).await?;
    Ok(limits)
}

/// The same values for every service that is scaled.
fn all(values: &Value) -> Value {
    let mut services = json!({});
    for service in SCALED {
        services[service.name()] = of(service, values.clone())["services"][service.name()].take();
    }
    json!({"services": services})
}

/// Watches what is in flight.
async fn look(books: &Client, replicas: u32) -> Result<Try, Error> {
    sleep(SETTLE).await;
    let begun = Instant::now();
    let mut seen = Vec::new();
    while begun.elapsed() < LOOK {
        seen.push((begun.elapsed().as_secs_f64(), in_flight(books).await?));
        sleep(INTERVAL).await;
    }
    let in_flight = seen.last().map_or(0, |(_, count)| *count);
    #[expect(clippy::cast_precision_loss, reason = "a number of events, far below 2^53")]
    let points: Vec<(f64, f64)> = seen.iter().map(|(at, count)| (*at, *count as f64)).collect();
    Ok(Try { replicas, growth_per_s: slope(&points), in_flight })
}

/// Waits until less is in flight than comes in a second.
async fn work_off(books: &Client, rate: u32) -> Result<(), Error> {
    until("the backlog of a try is worked off", WORKED_OFF, || async {
        let left = in_flight(books).await.map_err(|e| e.to_string())?;
        if left <= u64::from(rate) { Ok(()) } else { Err(format!("{left} are left")) }
    })
    .await
}

async fn in_flight(books: &Client) -> Result<u64, Error> {
    let totals = books.books().await.map_err(Error::program("the books"))?.totals;
    Ok(u64::try_from(totals.in_flight).unwrap_or_default())
}

/// The slope of the line of least squares through points; 0 of fewer than two.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = f64::from(u32::try_from(points.len()).unwrap_or(u32::MAX));
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let square: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    if square > 0.0 { points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / square } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_the_slope_of_what_is_in_flight() {
        let line: Vec<(f64, f64)> = (0..20).map(|n| (f64::from(n), 7.0 + 2.5 * f64::from(n))).collect();
        assert!((slope(&line) - 2.5).abs() < 1e-9);
        // A saw of checkpoints does not grow.
        let saw: Vec<(f64, f64)> = (0..40).map(|n| (f64::from(n), f64::from(n % 4) * 100.0)).collect();
        assert!(slope(&saw).abs() < 2.0);
        assert!(slope(&[]).abs() < f64::EPSILON && slope(&[(1.0, 5.0)]).abs() < f64::EPSILON);
    }

    #[test]
    fn every_scaled_service_gets_the_same_values() {
        let values = all(&json!({"replicas": null}));
        assert_eq!(values["services"].as_object().map(|all| all.len()), Some(SCALED.len()));
        assert_eq!(values["services"]["aggregation"], json!({"replicas": null}));
    }
}
