//! Autoscalers that react: to CPU, and to the lag of consumers.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    Scene,
    kubectl::until,
    release::{READY, object, selector_of},
    scale::left_to_hand,
};
use crate::{error::Error, service::Service};

/// Whose CPU rises at once when more comes in.
const ON_CPU: Service = Service::Ingestion;
/// Whose lag is made and worked off.
const ON_LAG: Service = Service::Aggregation;
/// How many times the steady load a rush is.
const RUSH: u32 = 6;
/// Share of the requested CPU that the steady load is to take: under the 70 %
/// that is held, while any rush is above.
const STEADY_SHARE: f64 = 0.55;
/// No less is requested, in thousandths of a core.
const LEAST_REQUEST: f64 = 5.0;
/// The metrics API needs that long to know new pods.
const METRICS: Duration = Duration::from_secs(60);
/// How long an autoscaler may take to react.
const REACTION: Duration = Duration::from_secs(180);
/// How long lag grows, with nobody to work it off.
const NEGLECT: Duration = Duration::from_secs(40);
/// Batches behind for each replica: a tenth of what was neglected asks for more.
const LAG_THRESHOLD: u32 = 50;
const INTERVAL: Duration = Duration::from_secs(2);

/// A HorizontalPodAutoscaler under a rush of events. How much CPU an event
/// costs depends on the machine, so that the request is set by what the steady
/// load takes on this one. Answers the most replicas.
pub(super) async fn on_cpu(scene: &Scene<'_>) -> Result<u64, Error> {
    let (release, journal) = (scene.release, scene.journal);
    let taken = taken_by(scene, ON_CPU).await?;
    let request = (taken / STEADY_SHARE).max(LEAST_REQUEST).ceil();
    journal.note(format_args!("the steady load takes {taken:.1}m of {ON_CPU}'s pods each: {request}m are requested"));
    release.helm.upgrade(of(ON_CPU, json!({"resources": {"requests": {"cpu": format!("{request}m")}}}))).await?;
    release.ready(READY).await?;
    sleep(METRICS).await;
    let before = release.replicas(ON_CPU).await?;
    scene.load.set_rate(scene.rate * RUSH);
    let most = most_replicas(scene, ON_CPU, before).await;
    scene.load.set_rate(scene.rate);
    let most = most?;
    release.ready(READY).await?;
    journal.note(format_args!("{ON_CPU} went from {before} to {most} replicas by CPU"));
    Ok(most)
}

/// A ScaledObject with lag to work off: the service is taken away for a while
/// under a rush, and comes back with KEDA. Answers the most replicas.
pub(super) async fn on_lag(scene: &Scene<'_>) -> Result<u64, Error> {
    let (release, journal) = (scene.release, scene.journal);
    release.helm.upgrade(of(ON_LAG, left_to_hand())).await?;
    release.scale(&[ON_LAG], 0).await?;
    scene.load.set_rate(scene.rate * RUSH);
    sleep(NEGLECT).await;
    scene.load.set_rate(scene.rate);
    let keda = json!({"enabled": true, "pollingInterval": 5, "lagThreshold": LAG_THRESHOLD.to_string()});
    release.helm.upgrade(of(ON_LAG, json!({"keda": keda, "autoscaling": {"minReplicas": 1}}))).await?;
    let most = most_replicas(scene, ON_LAG, 1).await?;
    release.ready(READY).await?;
    journal.note(format_args!("{ON_LAG} went from 0 to {most} replicas by lag"));
    back_to_cpu(scene).await?;
    Ok(most)
}

/// From KEDA back to CPU: KEDA's autoscaler has the name of the chart's own, so
/// that it has to go first.
async fn back_to_cpu(scene: &Scene<'_>) -> Result<(), Error> {
    let Scene { release, journal, .. } = *scene;
    let autoscalers = async || {
        let kinds = ["hpa,scaledobjects", &format!("--selector={}", selector_of(ON_LAG.name()))];
        Ok::<_, Error>(release.kubectl.list(&kinds).await?.len())
    };
    let none = json!({"keda": {"enabled": false}, "autoscaling": {"enabled": false}, "replicas": null});
    release.helm.upgrade(of(ON_LAG, none)).await?;
    until("KEDA takes its autoscaler away", REACTION, || async {
        let left = autoscalers().await.map_err(|e| e.to_string())?;
        if left == 0 { Ok(()) } else { Err(format!("{left} are left")) }
    })
    .await?;
    release.helm.upgrade(of(ON_LAG, json!({"autoscaling": {"enabled": true}}))).await?;
    release.ready(READY).await?;
    if autoscalers().await? != 1 {
        return Err(Error::Refused(format!("{ON_LAG} has no autoscaler by CPU after KEDA's")));
    }
    journal.note(format_args!("{ON_LAG} is scaled by CPU again"));
    Ok(())
}

/// Values of one service.
pub(super) fn of(service: Service, values: Value) -> Value {
    json!({"services": {service.name(): values}})
}

/// Thousandths of a core that a pod of a service takes, on average.
pub(super) async fn taken_by(scene: &Scene<'_>, service: Service) -> Result<f64, Error> {
    let usage = scene.release.usage().await?;
    let prefix = format!("{}-", object(service.name()));
    let cpus: Vec<f64> = usage.iter().filter(|(pod, _)| pod.starts_with(&prefix)).map(|(_, (cpu, _))| *cpu).collect();
    let count = u32::try_from(cpus.len()).unwrap_or(u32::MAX);
    if count == 0 {
        return Err(Error::Refused(format!("the metrics API knows no pod of {service}: is metrics-server there?")));
    }
    Ok(cpus.iter().sum::<f64>() / f64::from(count))
}

/// The most replicas that a service comes to. Once it is above `before` it has
/// reacted, and a little later it has come as far as it will.
async fn most_replicas(scene: &Scene<'_>, service: Service, before: u64) -> Result<u64, Error> {
    let begun = Instant::now();
    let (mut most, mut risen) = (0, Instant::now());
    loop {
        let now = scene.release.replicas(service).await?;
        if now > most {
            (most, risen) = (now, Instant::now());
        }
        if most > before && risen.elapsed() > REACTION / 6 {
            return Ok(most);
        }
        if begun.elapsed() > REACTION {
            let what = format!("{service} is scaled beyond {before} replicas");
            return match most > before {
                true => Ok(most),
                false => Err(Error::Deadline { what, deadline: REACTION, last: format!("it has {now}") }),
            };
        }
        sleep(INTERVAL).await;
    }
}
