//! Makes the faults of a plan happen.

use std::{
    collections::BTreeMap,
    fs::{File, create_dir, remove_dir_all, remove_file, rename},
    path::Path,
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    fault::{Fault, Kind},
    nats,
    schedule::Plan,
    suite::Suite,
};
use crate::{
    error::Error,
    local::{
        postgres,
        processes::{End, Replica},
    },
    shop::till::Pace,
};

/// Faults under way at once.
const AT_ONCE: usize = 3;
/// How long a replica that was added may take until it works.
const JOIN: Duration = Duration::from_secs(20);
/// How often tables are put back where somebody else is in the way.
const TRIES: u32 = 1_000;
/// How long faults wait for senders that a fault holds up.
const WAIT_FOR_TRAFFIC: Duration = Duration::from_secs(20);

/// Makes everything in the plan happen, in step with the senders; answers how
/// many faults there were of each kind.
pub(super) async fn happen(suite: &Arc<Suite>, plan: &Plan, pace: &Pace) -> BTreeMap<Kind, u64> {
    let mut under_way = JoinSet::new();
    let mut kinds = BTreeMap::new();
    let journal = &suite.journal;
    for (n, step) in plan.steps.iter().enumerate() {
        sleep(step.after).await;
        while under_way.len() >= AT_ONCE {
            under_way.join_next().await;
        }
        pace.wait_for_senders(n, WAIT_FOR_TRAFFIC).await;
        pace.release(n + 1);
        journal.message(format!("fault {} of {}", n + 1, plan.steps.len()));
        *kinds.entry(step.fault.kind()).or_default() += 1;
        let (suite, fault, number) = (suite.clone(), step.fault.clone(), n + 1);
        under_way.spawn(async move {
            suite.journal.note(format_args!("[{number}] {fault}"));
            let begun = Instant::now();
            match commit(&suite, &fault, number).await {
                Ok(()) => suite.journal.note(format_args!("[{number}] over after {:.1?}", begun.elapsed())),
                Err(error) => suite.journal.problem(format_args!("[{number}] {fault}: {error}")),
            }
        });
    }
    while let Some(ended) = under_way.join_next().await {
        if let Err(error) = ended {
            journal.problem(format_args!("a fault was not made: {error}"));
        }
    }
    kinds
}

async fn commit(suite: &Arc<Suite>, fault: &Fault, number: usize) -> Result<(), Error> {
    match fault {
        Fault::Kill { replica, down } => {
            let Some(replica) = suite.replica(replica) else { return Ok(()) };
            let mut process = replica.hold().await;
            process.kill().await;
            sleep(*down).await;
            replica.start_again(&mut process)
        }
        Fault::Terminate { replica, down } => {
            let Some(replica) = suite.replica(replica) else { return Ok(()) };
            terminate(suite, &replica, Some(*down)).await
        }
        Fault::Pause { replica, lasts } => {
            let Some(replica) = suite.replica(replica) else { return Ok(()) };
            replica.hold().await.pause(*lasts).await
        }
        Fault::Scale { service, lasts } => {
            let name = format!("{service}-more-{number}");
            let replica = suite.add(*service, &name).await?;
            let joined = replica.ready_within(JOIN).await;
            if let Err(reason) = joined {
                // Other faults may be in its way.
                suite.journal.note(format_args!("[{number}] {name} is not ready yet: {reason}"));
            }
            sleep(*lasts).await;
            let ended = terminate(suite, &replica, None).await;
            suite.remove(&name);
            ended
        }
        Fault::NatsKill { down } => {
            let _storm = suite.weather.storm();
            suite.nats.restart(nats::End::Killed, *down).await
        }
        Fault::NatsRestart { down } => {
            let _storm = suite.weather.storm();
            suite.nats.restart(nats::End::Stopped, *down).await
        }
        Fault::PostgresCrash { down } => {
            let _storm = suite.weather.storm();
            suite.postgres.restart(postgres::End::Immediate, *down).await
        }
        Fault::PostgresRestart { down } => {
            let _storm = suite.weather.storm();
            suite.postgres.restart(postgres::End::Fast, *down).await
        }
        Fault::Network { dependency, replica, trouble } => {
            let _storm = suite.weather.storm();
            let links = suite.links(*dependency, replica.as_deref());
            join_all(links.iter().map(|link| link.suffer(*trouble))).await;
            Ok(())
        }
        Fault::SlackAway { calls } => {
            suite.slack.fail_next(*calls);
            Ok(())
        }
        Fault::LakeAway { lasts, is_empty } => {
            let _storm = suite.weather.storm();
            lake_away(&suite.lake(), *lasts, *is_empty).await
        }
    }
}

/// The tables are elsewhere for a while, as if their volume were gone. Meanwhile nothing
/// can be put where they were, or it goes into a folder that is another one.
async fn lake_away(tables: &Path, lasts: Duration, is_empty: bool) -> Result<(), Error> {
    let away = tables.with_extension("away");
    if !tables.is_dir() || rename(tables, &away).is_err() {
        // There are none yet, or they are away already.
        return Ok(());
    }
    // Somebody may have begun other tables in the moment before: these go.
    let _ = if is_empty { create_dir(tables) } else { File::create_new(tables).map(drop) };
    sleep(lasts).await;
    let mut tries = 0;
    loop {
        let removed = if tables.is_dir() { remove_dir_all(tables) } else { remove_file(tables) };
        match removed.and_then(|()| rename(&away, tables)) {
            Ok(()) => return Ok(()),
            // Whoever writes there makes the folder again.
            Err(_) if tries < TRIES => tries += 1,
            Err(error) => return Err(Error::file(tables)(error)),
        }
    }
}

/// SIGTERM, and a start after `down`, if one is wanted. In calm weather a
/// service that was ready ends with code 0; in any weather it ends in time.
pub(super) async fn terminate(suite: &Suite, replica: &Replica, down: Option<Duration>) -> Result<(), Error> {
    let mut process = replica.hold().await;
    let was_ready = replica.readiness().await.is_ok();
    let calm = suite.weather.calm();
    let (name, journal) = (&replica.name, &suite.journal);
    match process.terminate().await? {
        End::Exited(status, after) if status.success() => {
            journal.note(format_args!("{name} ended in order after {after:.1?}"));
        }
        End::Exited(status, after) if was_ready && suite.weather.is_calm_since(calm) => {
            journal.problem(format_args!("{name} ended with {status} on SIGTERM, after {after:.1?}"));
        }
        End::Exited(status, after) => {
            journal.note(format_args!("{name}, disturbed, ended with {status} on SIGTERM, after {after:.1?}"));
        }
        End::Overdue => journal.problem(format_args!("{name} did not end on SIGTERM and was killed")),
        End::Gone(status) => journal.problem(format_args!("{name} had ended before SIGTERM: {status:?}")),
    }
    match down {
        Some(down) => {
            sleep(down).await;
            replica.start_again(&mut process)
        }
        None => Ok(()),
    }
}

/// SIGTERM to every replica at once: everything is calm, so all end in order.
pub(super) async fn terminate_all(suite: &Suite) {
    let replicas = suite.replicas();
    let ends = join_all(replicas.iter().map(|replica| terminate(suite, replica, None))).await;
    for error in ends.into_iter().filter_map(Result::err) {
        suite.journal.problem(error);
    }
}
