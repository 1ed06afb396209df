//! Nodes that go: drained in order, and without power.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    Scene,
    command::Call,
    kubectl::{Kubectl, until},
    release::{Pod, READY},
};
use crate::error::Error;

/// Single servers, whose volume may be on the node and does not move.
const SINGLE: [&str; 2] = ["postgres", "influxdb"];
/// `kubectl drain` waits for pods that end in order.
const DRAIN: Duration = Duration::from_secs(300);
/// How long a node stays away, once that is noticed.
const AWAY: Duration = Duration::from_secs(45);
/// How long it may take until the cluster notices.
const NOTICE: Duration = Duration::from_secs(180);
/// How long a node may take to come back.
const RETURN: Duration = Duration::from_secs(180);
/// After so long it is started again: parts of it that came up in the wrong
/// order may have given up.
const AGAIN: Duration = Duration::from_secs(45);

/// Drains a node and gives it back.
pub(super) async fn drain(scene: &Scene<'_>) -> Result<(), Error> {
    let (release, journal) = (scene.release, scene.journal);
    let node = choose(scene).await?;
    let pods = Kubectl::default();
    scene.debris.cordoned(&node);
    let timeout = format!("--timeout={}s", DRAIN.as_secs());
    let call = pods.call(["drain", &node, "--ignore-daemonsets", "--delete-emptydir-data", &timeout]);
    let begun = Instant::now();
    call.within(DRAIN * 2).output().await?;
    let took = begun.elapsed().as_secs_f64();
    let left: Vec<String> = release.pods().await?.into_iter().filter(|p| p.node == node).map(|p| p.name).collect();
    if !left.is_empty() {
        return Err(Error::Refused(format!("{node} is drained, and still has {left:?}")));
    }
    // What keeps its volume waits for the node.
    release.ready_but(READY, &["nats", "postgres", "influxdb"]).await?;
    journal.note(format_args!("{node} is drained after {took:.1} s, and every service is ready without it"));
    sleep(AWAY / 2).await;
    pods.call(["uncordon", &node]).output().await?;
    scene.debris.uncordoned(&node);
    let took = release.ready(READY).await?;
    journal.note(format_args!("{node} is back in use, everything is ready after {:.1} s", took.as_secs_f64()));
    Ok(())
}

/// Cuts a node's power, and restores it.
pub(super) async fn kill(scene: &Scene<'_>, kill: &[String], start: &[String]) -> Result<(), Error> {
    let (release, journal) = (scene.release, scene.journal);
    let node = choose(scene).await?;
    let on_it = |pods: &[Pod]| {
        let names = pods.iter().filter(|pod| pod.node == node).map(|pod| pod.name.clone());
        names.collect::<Vec<_>>().join(", ")
    };
    journal.note(format_args!("the power of {node} is cut, with {}", on_it(&release.pods().await?)));
    scene.debris.killed(&node);
    on_node(kill, &node)?.output().await?;
    let begun = Instant::now();
    until("the cluster misses the node", NOTICE, || async {
        let nodes = Kubectl::default().nodes().await.map_err(|e| e.to_string())?;
        let away = nodes.iter().any(|other| other.name == node && !other.ready);
        if away { Ok(()) } else { Err(format!("{node} is Ready")) }
    })
    .await?;
    let sent = scene.load.sent();
    journal.note(format_args!("{node} is NotReady after {:.1} s", begun.elapsed().as_secs_f64()));
    sleep(AWAY).await;
    let meanwhile = scene.load.sent() - sent;
    journal.note(format_args!("{meanwhile} events were acknowledged in {} s without {node}", AWAY.as_secs()));
    if meanwhile == 0 && scene.load.has_more() {
        journal.problem(format_args!("nothing was acknowledged while {node} was away"));
    }
    let begun = Instant::now();
    loop {
        on_node(start, &node)?.within(RETURN).output().await?;
        let back = until("the node comes back", AGAIN, || async {
            let nodes = Kubectl::default().nodes().await.map_err(|e| e.to_string())?;
            let back = nodes.iter().any(|other| other.name == node && other.ready && other.schedulable);
            if back { Ok(()) } else { Err(format!("{node} is not Ready")) }
        });
        match back.await {
            Ok(()) => break,
            Err(error) if begun.elapsed() > RETURN => return Err(error),
            Err(error) => journal.note(format_args!("{error}; it is started again")),
        }
    }
    scene.debris.started(&node);
    release.ready(READY).await?;
    journal.note(format_args!("{node} is back, everything is ready {:.1} s later", begun.elapsed().as_secs_f64()));
    Ok(())
}

/// The command of somebody's cluster, with the node's name behind it.
pub(super) fn on_node(command: &[String], node: &str) -> Result<Call, Error> {
    let call = Call::configured(command).ok_or_else(|| Error::Refused("no command to cut a node with".into()))?;
    Ok(call.args([node]))
}

/// A node that holds a NATS replica and services, and no single server, if
/// there is one: those are away as long as their node is, and that is not what
/// three servers of NATS are for.
async fn choose(scene: &Scene<'_>) -> Result<String, Error> {
    let pods = scene.release.pods().await?;
    let (node, single) =
        best(&pods).ok_or_else(|| Error::Refused("no node holds both a NATS replica and a service".into()))?;
    if !single.is_empty() {
        scene.journal.note(format_args!("{node} is taken though it holds {}: no other will do", single.join(", ")));
    }
    Ok(node)
}

/// The best node, and which single servers it holds all the same: rather
/// InfluxDB, which only holds copies, than PostgreSQL.
fn best(pods: &[Pod]) -> Option<(String, Vec<String>)> {
    let on = |node: &str, is: &dyn Fn(&Pod) -> bool| pods.iter().filter(|pod| pod.node == node && is(pod)).count();
    let fit = |node: &&str| on(node, &|pod| pod.component == "nats") > 0 && on(node, &Pod::is_ours) > 0;
    let mut nodes: Vec<&str> = pods.iter().map(|pod| pod.node.as_str()).filter(|node| !node.is_empty()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let cost = |node: &&str| {
        let has = |component: &str| on(node, &|pod| pod.component == component);
        (has("postgres"), has("influxdb"), has("jaeger"), usize::MAX - on(node, &Pod::is_ours))
    };
    let node = nodes.into_iter().filter(fit).min_by_key(cost)?;
    let single = SINGLE.into_iter().filter(|component| on(node, &|pod| pod.component == *component) > 0);
    Some((node.to_owned(), single.map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(component: &str, node: &str) -> Pod {
        let name = format!("{component}-on-{node}");
        Pod { name, component: component.into(), node: node.into(), ready: true, images: Vec::new(), restarts: 0 }
    }

    #[test]
    fn a_node_is_cut_that_holds_no_single_server() {
        let mut pods: Vec<Pod> = ["a", "b", "c"].iter().flat_map(|n| [pod("nats", n), pod("alert", n)]).collect();
        pods.extend([pod("postgres", "a"), pod("influxdb", "b"), pod("jaeger", "c"), pod("alert", "")]);
        assert_eq!(best(&pods), Some(("c".into(), Vec::new())));
        pods.retain(|pod| pod.node != "c");
        assert_eq!(best(&pods), Some(("b".into(), vec!["influxdb".into()])));
        pods.retain(|pod| pod.component != "nats");
        assert_eq!(best(&pods), None);
    }
}
