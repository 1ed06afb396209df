//! Scaling by hand, and an upgrade, under load.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Scene, release::READY};
use crate::{error::Error, service::Service};

/// To these numbers of replicas, one after the other.
const STEPS: [u32; 3] = [1, 5, 2];
/// How long each number stays, once it is reached: partitions find new owners
/// within seven seconds, and then they have to work.
const DWELL: Duration = Duration::from_secs(20);

/// `kubectl scale` of every service at once.
pub(super) async fn by_hand(scene: &Scene<'_>) -> Result<(), Error> {
    for replicas in STEPS {
        scene.release.scale(&Service::SUITE, replicas).await?;
        let took = scene.release.ready(READY).await?;
        scene.journal.note(format_args!("every service has {replicas} replicas, after {:.1} s", took.as_secs_f64()));
        sleep(DWELL).await;
    }
    scene.release.calm().await
}

/// `helm upgrade` to another image tag, and back to autoscalers; an error,
/// unless every pod of a service then runs it.
pub(super) async fn upgrade(scene: &Scene<'_>, tag: &str) -> Result<(), Error> {
    let values = json!({"image": {"tag": tag}, "serviceDefaults": {"autoscaling": {"enabled": true}}});
    scene.release.helm.upgrade(values).await?;
    let took = scene.release.ready(READY).await?;
    scene.release.calm().await?;
    let suffix = format!(":{tag}");
    let pods = scene.release.pods().await?;
    let old: Vec<&str> = pods
        .iter()
        .filter(|pod| pod.is_ours() && !pod.images.iter().all(|image| image.ends_with(&suffix)))
        .map(|pod| pod.name.as_str())
        .collect();
    if !old.is_empty() {
        return Err(Error::Refused(format!("after the upgrade to {tag} these run something else: {old:?}")));
    }
    scene.journal.note(format_args!("every service runs {tag}, after {:.1} s", took.as_secs_f64()));
    sleep(DWELL).await;
    Ok(())
}

/// Values with which nothing scales by itself and the number is `kubectl`'s.
pub(super) fn left_to_hand() -> Value {
    json!({"autoscaling": {"enabled": false}, "replicas": null})
}
