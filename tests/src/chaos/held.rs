//! A run, from its start to its verdict.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use tidemill_domain::{Clock, SystemClock};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    Options, Verdict, faults,
    forgetting::{self, NOTHING_FOR},
    lake::{self, LakeTruth},
    log::LogReader,
    recommendations,
    replays::{Disturbances, Replays},
    suite::Suite,
    watch,
};
use crate::{
    error::Error,
    journal::Journal,
    service::Service,
    shop::{
        self,
        reader::{Reader, Reading},
        storefront::Storefront,
        till::{Done, Pace, Tally, Till},
        traffic::{Expected, Sender, Traffic},
    },
};

/// Lines that are made where there is no data set and no number is given.
const GENERATED_LINES: usize = 200_000;
/// The most events of a batch.
const LARGEST_BATCH: usize = 900;

/// What is sent, and what must come of it.
struct Trade {
    senders: Vec<Sender>,
    storefront: Storefront,
    expected: Expected,
    events: u64,
}

/// What was sent, and what was done meanwhile.
struct Sent {
    tally: Tally,
    senders: Vec<Sender>,
    by_kind: std::collections::BTreeMap<super::Kind, u64>,
    forgotten: u64,
    disturbances: Disturbances,
}

/// Holds a run in a folder.
pub(super) async fn hold(options: &Options, folder: &Path, journal: &Journal) -> Result<Verdict, Error> {
    let trade = Trade::new(options, journal)?;
    let suite = Suite::start(folder.to_owned(), options.replicas, journal.clone()).await?;
    let suite = Arc::new(suite);
    journal.note(format_args!("{} processes are ready", suite.replicas().len()));
    let mut aside = JoinSet::new();
    let (supervised, watched) = (suite.clone(), suite.clone());
    aside.spawn(async move { supervised.supervise().await });
    aside.spawn(async move { watch::counts_never_go_back(&watched).await });
    let Trade { senders, storefront, expected, events } = trade;
    let replays = Replays::of(&suite)?;
    let sent = disturbed(&suite, options, senders, &storefront, replays.as_ref()).await?;
    let Sent { tally, senders, by_kind, forgotten, disturbances } = sent;
    journal.note(format_args!(
        "all sent: {} events acknowledged, {} of them repeated on purpose, in {} requests, of which {} failed",
        tally.acknowledged, tally.repeated, tally.requests, tally.failed
    ));

    let begun = Instant::now();
    if let Err(error) = suite.ready().await {
        journal.problem(error);
    }
    if let Some(replays) = &replays {
        replays.roll_back(disturbances).await;
    }
    let readings = readings(&suite, &expected, &tally).await?;
    let settle_seconds = begun.elapsed().as_secs_f64();
    if let Some(replays) = &replays {
        answered_again(&suite, replays, &readings, (&expected, &tally)).await?;
    }
    check_slack(&suite, &expected, journal);
    let first = readings.first().ok_or_else(|| Error::Refused("no replica of reporting".into()))?;
    let log = LogReader::connect(suite.nats.url_at(suite.nats.address())).await?;
    let recommendations = match options.replicas.recommendation {
        0 => 0,
        _ => recommendations::check(&suite, &log, &storefront.visitors).await?,
    };
    let lake_events = match options.replicas.lake {
        0 => None,
        _ => {
            let truth = LakeTruth::write(suite.folder(), &log, &senders, &expected, first).await?;
            Some(lake::check(&suite, &truth).await?)
        }
    };
    // What runs aside holds the suite until it is gone.
    aside.shutdown().await;
    let ended_by_themselves = suite.ended_by_themselves();
    faults::terminate_all(&suite).await;
    match Arc::try_unwrap(suite) {
        Ok(suite) => suite.stop().await?,
        Err(_) => journal.note("the servers are still in use; they are killed"),
    }
    let dead = first.dead.values().map(|ids| u64::try_from(ids.len()).unwrap_or_default()).sum();
    let totals = &first.books.totals;
    Ok(Verdict {
        seed: options.seed,
        faults: by_kind.values().sum(),
        sent: events,
        received: totals.received,
        counted: totals.counted,
        duplicate: totals.duplicate,
        late: totals.late,
        dead_lettered: dead,
        lost: first.difference.lost,
        double: first.difference.double,
        balanced: readings.iter().all(|reading| reading.books.balanced),
        equals_truth: readings.iter().all(|reading| reading.is_true),
        alerts: [u64::try_from(expected.suspicious.len()).unwrap_or_default(), first.alerts],
        forgotten,
        recommendations,
        lake_events,
        ended_by_themselves,
        seconds: journal.elapsed().as_secs_f64(),
        settle_seconds,
        by_kind,
        problems: journal.problems(),
    })
}

impl Trade {
    fn new(options: &Options, journal: &Journal) -> Result<Self, Error> {
        let rows = shop::rows(options.data.as_deref(), options.lines, options.seed, GENERATED_LINES, journal)?;
        let now = SystemClock.now();
        let mut storefront = Storefront::new(rows.len(), options.seed, now);
        let mut traffic = Traffic::new(rows, now);
        let visitors = std::mem::take(&mut storefront.sender.events);
        traffic.senders.push(Sender { source: storefront.sender.source.clone(), events: visitors });
        let all = traffic.senders.iter().chain([&storefront.again]).map(|sender| (sender, sender.events.len()));
        let expected = Expected::of(&traffic.rows, all)?;
        let events = traffic.len() + u64::try_from(storefront.again.events.len()).unwrap_or_default();
        Ok(Self { senders: traffic.senders, storefront, expected, events })
    }
}

/// Sends everything while the faults happen, and has visitors forgotten.
async fn disturbed(
    suite: &Arc<Suite>,
    options: &Options,
    senders: Vec<Sender>,
    storefront: &Storefront,
    replays: Option<&Replays<'_>>,
) -> Result<Sent, Error> {
    let journal = &suite.journal;
    let count: u64 = senders.iter().map(|sender| u64::try_from(sender.events.len()).unwrap_or_default()).sum();
    let pace = Arc::new(Pace::new(options.faults, count));
    journal.count_to("sending", count);
    let acknowledged = Arc::new(AtomicUsize::default());
    let mut tills = JoinSet::new();
    for (n, sender) in (0..).zip(senders) {
        let of_visitors = sender.source == storefront.sender.source;
        let counted = if of_visitors { acknowledged.clone() } else { Arc::default() };
        let till = till(suite, sender, pace.clone(), counted);
        tills.spawn(till.run(options.seed.wrapping_mul(1_000).wrapping_add(n)));
    }
    let plan = options.plan();
    let faults = async {
        let kinds = faults::happen(suite, &plan, &pace).await;
        pace.release_all();
        Ok(kinds)
    };
    let sending = async {
        let mut done = Vec::new();
        while let Some(ended) = tills.join_next().await {
            done.push(ended.map_err(Error::program("a sender"))??);
        }
        Ok(done)
    };
    let forgetting = async {
        match options.replicas.recommendation {
            0 => Ok(0),
            _ => forgetting::forget(suite, &storefront.visitors, &acknowledged, options.seed).await,
        }
    };
    let showing = async {
        loop {
            journal.position(pace.sent());
            sleep(Duration::from_millis(250)).await;
        }
    };
    let mut disturbances = Disturbances::default();
    let replaying = async {
        match replays {
            Some(replays) => replays.disturb(options.seed, &mut disturbances).await,
            None => std::future::pending().await,
        }
    };
    let (by_kind, mut done, forgotten) = tokio::select! {
        all = async { tokio::try_join!(faults, sending, forgetting) } => all?,
        never = showing => never,
        failed = replaying => match failed? {},
    };
    if forgotten > 0 {
        journal.note(format_args!("{forgotten} times somebody was forgotten"));
        sleep(NOTHING_FOR).await;
    }
    let again = Sender { source: storefront.again.source.clone(), events: storefront.again.events.clone() };
    let last = Arc::new(Pace::new(0, u64::try_from(again.events.len()).unwrap_or_default()));
    done.push(till(suite, again, last, Arc::default()).run(options.seed).await?);
    let mut tally = Tally::default();
    done.iter().for_each(|done| tally += done.tally);
    let senders = done.into_iter().map(|Done { sender, .. }| sender).collect();
    Ok(Sent { tally, senders, by_kind, forgotten, disturbances })
}

fn till(suite: &Suite, sender: Sender, pace: Arc<Pace>, acknowledged: Arc<AtomicUsize>) -> Till {
    Till {
        sender,
        doors: suite.addresses(Service::Ingestion),
        key: None,
        largest: LARGEST_BATCH,
        traces: None,
        acknowledged,
        pace,
        journal: suite.journal.clone(),
    }
}

/// The same is answered once a generation answers that was counted beside all of it.
async fn answered_again(
    suite: &Suite,
    replays: &Replays<'_>,
    readings: &[Reading],
    (expected, tally): (&Expected, &Tally),
) -> Result<(), Error> {
    let replay = replays.settle().await?;
    let again = self::readings(suite, expected, tally).await?;
    drop(replay);
    if again.iter().zip(readings).any(|(again, before)| !again.is_true || again.daily != before.daily) {
        suite.journal.problem("what the generation answers is not what the live totals are");
    }
    Ok(())
}

/// What every replica of reporting says, once the books stand.
async fn readings(suite: &Suite, expected: &Expected, tally: &Tally) -> Result<Vec<Reading>, Error> {
    let journal = &suite.journal;
    journal.count_to("settling", tally.acknowledged);
    let mut readings: Vec<Reading> = Vec::new();
    for address in suite.addresses(Service::Reporting) {
        let reader = Reader::new(address, None, journal, expected)?;
        reader.settled(tally.acknowledged).await?;
        readings.push(reader.read(tally).await?);
    }
    if readings.windows(2).any(|pair| pair[0].daily != pair[1].daily) {
        journal.problem("replicas of reporting differ");
    }
    Ok(readings)
}

/// Every alert was told, at least once, and nothing that Slack refuses.
fn check_slack(suite: &Suite, expected: &Expected, journal: &Journal) {
    if let Some(refusal) = suite.slack.refusals().first() {
        journal.problem(format_args!("Slack refused a message: {refusal}"));
    }
    let messages: Vec<String> = suite.slack.messages().iter().map(ToString::to_string).collect();
    let untold = |customer: &&String| !messages.iter().any(|message| message.contains(customer.as_str()));
    let untold: Vec<&String> = expected.suspicious.iter().filter(untold).collect();
    if !untold.is_empty() {
        journal.problem(format_args!("{} alerts never reached Slack, for instance {:?}", untold.len(), untold[0]));
    }
}
