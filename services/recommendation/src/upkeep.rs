//! What goes on beside learning: forgetting visitors, and forgetting with time.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::{app::Recommender, error::Error};

/// How often it is looked whether others have had somebody forgotten.
const LOOK_FOR_ERASURES: Duration = Duration::from_millis(200);
/// After how long it is told that it is not known who is forgotten.
const SILENCE: Duration = Duration::from_secs(5);
/// Under which `/readyz` says so.
const ERASURES: &str = "erasures";
/// How often charts are made anew while somebody asks for them: all items are looked at.
const RENEW_CHARTS: Duration = Duration::from_millis(500);
/// How often it is looked which types of events have come.
const LOOK_FOR_TYPES: Duration = Duration::from_secs(5);
/// How often the index is measured.
const MEASURE: Duration = Duration::from_secs(5);
/// Under which `/readyz` says that types of the definition may be mistyped.
const LEARNING: &str = "learning";
/// How often what is old is deleted.
const PRUNE: Duration = Duration::from_secs(3600);
const DAY: i64 = 24 * 3_600_000;
/// How long erasures are remembered: the log keeps events for a week.
const ERASURES_FOR: i64 = 30 * DAY;

/// Carries out erasures, whichever replica was asked for them.
pub(crate) async fn erase(app: Arc<Recommender>) -> Result<(), Infallible> {
    let mut looks = interval(LOOK_FOR_ERASURES);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known_at = Instant::now();
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = app.erasures.wanted() => {}
            () = app.context.shutdown.cancelled() => return Ok(()),
        }
        let begun = Instant::now();
        // It may end at any await: nothing is lost of what is written down.
        tokio::select! {
            done = keep_up_with_erasures(&app) => match done {
                Ok(()) => {
                    known_at = begun;
                    app.context.health.withdraw_notice(ERASURES);
                }
                Err(error) => tracing::debug!(%error, "whether somebody is to be forgotten is not known"),
            },
            never = tell_of_silence(&app, known_at + SILENCE) => match never {},
            () = app.context.shutdown.cancelled() => return Ok(()),
        }
    }
}

/// Forgets those who were asked to be forgotten, and has what is newer be learnt.
pub(crate) async fn keep_up_with_erasures(app: &Recommender) -> Result<(), Error> {
    let next = app.erasures.next();
    if let Some(up_to) = next {
        app.store.will_learn(up_to).await?;
    }
    carry_out_erasures(app).await?;
    // Those behind this end later.
    next.into_iter().for_each(|up_to| app.erasures.reach(up_to));
    Ok(())
}

/// Says from then on that it is not known who is forgotten, and ends with who waits for it.
async fn tell_of_silence(app: &Recommender, from: Instant) -> Infallible {
    sleep_until(from).await;
    let health = &app.context.health;
    if !health.notices().contains_key(ERASURES) {
        tracing::warn!("the store does not tell who is forgotten: what is newer is not learnt");
        let told = "the store does not tell who is forgotten: answers may go by what they did, and what is newer is not \
                    learnt";
        health.notice(ERASURES, told);
    }
    std::future::pending().await
}

/// Forgets those who were asked to be forgotten since it was last looked.
pub(crate) async fn carry_out_erasures(app: &Recommender) -> Result<(), Error> {
    let erasures = app.store.erasures(app.model.erasure()).await?;
    if !erasures.is_empty() {
        app.model.erase(&erasures);
        app.telemetry.erased(erasures.len());
    }
    Ok(())
}

/// Makes charts anew, beside those who answer.
pub(crate) async fn renew_charts(app: Arc<Recommender>) -> Result<(), Infallible> {
    let mut looks = interval(RENEW_CHARTS);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = app.context.shutdown.cancelled() => return Ok(()),
        }
        let of = app.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || of.model.renew_charts(of.now())).await {
            tracing::warn!(%error, "the charts could not be made anew");
        }
    }
}

/// Measures the index, and deletes what is old: on every replica, since it changes
/// nothing to do it twice.
pub(crate) async fn run(app: Arc<Recommender>) -> Result<(), Infallible> {
    let (mut measures, mut looks, mut prunes) = (interval(MEASURE), interval(LOOK_FOR_TYPES), interval(PRUNE));
    measures.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    prunes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = measures.tick() => app.telemetry.size(&app.model.read().index),
            _ = looks.tick() => tell_of_definition(&app),
            _ = prunes.tick() => {
                if let Err(error) = prune(&app).await {
                    tracing::warn!(%error, "what is old could not be deleted");
                }
            }
            () = app.context.shutdown.cancelled() => return Ok(()),
        }
    }
}

/// Says what of the definition may be mistyped, as long as it looks so.
fn tell_of_definition(app: &Recommender) {
    let health = &app.context.health;
    let Some(told) = app.members.doubts() else { return health.withdraw_notice(LEARNING) };
    if health.notices().get(LEARNING) != Some(&told) {
        tracing::warn!("{told}");
        health.notice(LEARNING, told);
    }
}

async fn prune(app: &Recommender) -> Result<(), Error> {
    // By the log's time, and not by a clock that may be wrong by a month: what is deleted is not there again. Where nothing
    // comes, nothing is to be forgotten by time either.
    let Some(now) = app.model.read().newest_intake(app.now()) else { return Ok(()) };
    while app.store.prune(now.plus_millis(-i64::from(app.kept.days.get()) * DAY)).await? {}
    app.store.prune_erasures(now.plus_millis(-ERASURES_FOR)).await?;
    app.model.forget_erasures(now.plus_millis(-ERASURES_FOR));
    Ok(())
}
