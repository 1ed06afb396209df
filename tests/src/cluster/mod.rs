//! The cluster test: the chart on a real Kubernetes, installed, scaled,
//! upgraded, drained and cut off while a shop trades. Afterwards every number
//! equals the truth of what was sent, or the run has failed.
//!
//! - the release without values ([`defaults`]): readiness, `helm test`
//!   (`helm.rs`), forbidden connections (`policies.rs`), what an uninstall
//!   leaves (`release.rs`)
//! - a release that goes from one profile to the next ([`along_profiles`]): `profiles.rs`
//! - the release of values-ha.yaml ([`under_load`]): `load.rs` through
//!   `forward.rs`, and meanwhile `scale.rs`, `autoscale.rs`, `scale_out.rs`, `trace.rs` and
//!   `nodes.rs`; then the same release made anew from a backup (`restore.rs`)
//! - what came of it: [`Verdict`]
//!
//! values-ha.yaml gets a release of its own, since one NATS server's streams do
//! not become those of three.

mod autoscale;
mod command;
mod complaints;
mod debris;
mod forward;
mod helm;
mod images;
mod kubectl;
mod load;
mod nodes;
mod policies;
mod profiles;
mod release;
mod restore;
mod scale;
mod scale_out;
mod stage;
mod trace;
mod verdict;

use std::{
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tidemill_domain::{Clock, SystemClock};
use tidemill_service::Role;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};

pub use profiles::{ProfilePath, ProfileRun};
pub use scale_out::{LeastReplicas, ScaleOut, Try};
pub use stage::{Selection, Stage};
pub use verdict::Verdict;

pub use crate::{error::Error, shop::shared_data_set};

use self::{
    debris::Debris,
    forward::{Forward, Target},
    helm::Chart,
    images::Images,
    kubectl::Kubectl,
    load::{Load, Sent, Way},
    release::{READY, Release},
    restore::Dump,
};
use crate::{
    journal::Journal,
    service::Service,
    shop::{
        self,
        reader::{Reader, Reading},
        traffic::Traffic,
    },
};

/// Lines that are made where there is no data set and no number is given.
const GENERATED_LINES: usize = 400_000;
/// Port-forwards to ingestion.
const DOORS: usize = 3;
const INGESTION: Target = Target { component: "ingestion", port: 7070, probe: "/v1/events" };
const REPORTING: Target = Target { component: "reporting", port: 7080, probe: "/v1/metrics" };
const JAEGER: Target = Target { component: "jaeger", port: 16686, probe: "/" };
/// How long a port-forward may take.
const OPEN: Duration = Duration::from_secs(60);
/// The metrics API knows a pod that long after its start.
const METRICS: Duration = Duration::from_secs(40);
/// How long the load runs undisturbed first.
const WARM_UP: Duration = Duration::from_secs(15);
/// How often the totals are read before a broken connection is an error.
const READINGS: u32 = 5;

/// What a run is.
#[derive(Debug, Clone)]
pub struct Options {
    /// The chart's folder.
    pub chart: PathBuf,
    /// What names of our images begin with: the chart's default, or another.
    pub image_prefix: String,
    /// The tag of our images; the chart's default without one.
    pub tag: Option<String>,
    /// The tag that the upgrade goes to.
    pub next_tag: String,
    /// The command that gives an image to the cluster, its name appended; with
    /// none, images are there.
    pub load_image: Vec<String>,
    /// The command that cuts a node's power, its name appended.
    pub kill_node: Option<Vec<String>>,
    /// The command that restores it.
    pub start_node: Option<Vec<String>>,
    /// Which parts are wanted.
    pub stages: Selection,
    /// Events a second.
    pub rate: u32,
    /// The most invoice lines that are sent: the first ones of the data set.
    pub lines: Option<usize>,
    /// Of repetitions and made lines.
    pub seed: u64,
    /// Online Retail, as CSV or CSV compressed with zstd; lines are made
    /// without it.
    pub data: Option<PathBuf>,
    /// Where a lake has its tables; without one, profiles that have a lake are left out.
    pub bucket: Option<Bucket>,
    /// Whether the namespaces stay.
    pub keep: bool,
}

/// A bucket for a lake.
#[derive(Clone)]
pub struct Bucket {
    /// `s3://bucket` or `s3://bucket/prefix`; the run has a folder of its own in it.
    pub url: String,
    /// Address of a store that is not Amazon's; empty for Amazon's.
    pub endpoint: String,
    /// Its region; empty where none is needed.
    pub region: String,
    /// Id and secret of who may write; without them the pods' own role counts.
    pub key: Option<[String; 2]>,
}

impl std::fmt::Debug for Bucket {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket").field("url", &self.url).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// What stages need that are under load.
struct Scene<'a> {
    release: &'a Release,
    load: &'a Load,
    rate: u32,
    debris: &'a Debris,
    journal: &'a Journal,
}

/// Holds a run, and puts the cluster right afterwards.
///
/// # Errors
/// Where the run could not be held to its end.
pub async fn run(options: &Options) -> Result<Verdict, Error> {
    tidemill_service::install_crypto();
    let folder = std::env::temp_dir().join(format!("tidemill-cluster-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
    let journal = Journal::new(&folder)?;
    let debris = Debris::default();
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::program("signals"))?;
    let result = tokio::select! {
        result = hold(options, &folder, &debris, &journal) => result,
        _ = tokio::signal::ctrl_c() => Err(Error::Interrupted),
        _ = terminate.recv() => Err(Error::Interrupted),
    };
    journal.finish();
    if let Err(error) = &result {
        journal.note(format_args!("FAILED {error}"));
    }
    if options.keep {
        journal.note("the namespaces stay, as they are");
    } else {
        debris.clear(options.start_node.as_deref(), &journal).await;
    }
    if result.as_ref().is_ok_and(Verdict::is_good) && !options.keep {
        std::fs::remove_dir_all(&folder).map_err(Error::file(&folder))?;
    } else {
        journal.note(format_args!("what was seen is in {}", folder.display()));
    }
    result
}

async fn hold(options: &Options, folder: &Path, debris: &Debris, journal: &Journal) -> Result<Verdict, Error> {
    let chart = Chart { folder: options.chart.clone(), image_prefix: options.image_prefix.clone() };
    let tag = match &options.tag {
        Some(tag) => tag.clone(),
        None => chart.app_version().await?,
    };
    look_at_cluster(options, journal).await?;
    let images = Images {
        prefix: &options.image_prefix,
        tag: &tag,
        next: options.stages.has(Stage::Upgrade).then_some(&*options.next_tag),
        lake: options.stages.has(Stage::Profiles) && options.bucket.is_some(),
    };
    images::give(&options.load_image, &images, journal).await?;
    let mut verdict = Verdict::default();
    let values = match &options.tag {
        Some(tag) => json!({"image": {"tag": tag}}),
        None => json!({}),
    };
    if options.stages.has(Stage::Install) || options.stages.has(Stage::Policies) {
        defaults(options, &chart, values.clone(), folder, debris, journal, &mut verdict).await?;
    }
    if options.stages.has(Stage::Profiles) {
        along_profiles(options, &chart, &values, folder, debris, journal, &mut verdict).await?;
    }
    if options.stages.has_load() {
        under_load(options, &chart, values, folder, debris, journal, &mut verdict).await?;
    }
    verdict.seconds = journal.elapsed().as_secs_f64();
    verdict.problems = journal.problems();
    Ok(verdict)
}

/// Says which cluster it is, and whether it is large enough.
async fn look_at_cluster(options: &Options, journal: &Journal) -> Result<(), Error> {
    let version = Kubectl::default().raw("/version").await?;
    let nodes = Kubectl::default().nodes().await?;
    let usable = nodes.iter().filter(|node| node.ready && node.schedulable).count();
    journal.note(format_args!("Kubernetes {}, {usable} nodes", version["gitVersion"].as_str().unwrap_or_default()));
    // Three NATS servers stay on nodes of their own.
    if options.stages.has_load() && usable < 3 {
        return Err(Error::Refused(format!("values-ha.yaml needs three nodes, and {usable} can take pods")));
    }
    Ok(())
}

/// A name that nobody else's namespace has.
fn namespace(what: &str) -> String {
    format!("tidemill-test-{}-{what}", std::process::id())
}

/// The chart with no values: ready, tested, closed to strangers, uninstalled.
async fn defaults(
    options: &Options,
    chart: &Chart,
    values: Value,
    folder: &Path,
    debris: &Debris,
    journal: &Journal,
    verdict: &mut Verdict,
) -> Result<(), Error> {
    let name = namespace("default");
    debris.namespace(&name);
    let release = Release::in_new_namespace(chart, &name).await?;
    let begun = Instant::now();
    release.helm.install(None, values).await?;
    let ready = release.ready(READY).await;
    if ready.is_err() {
        tell_all(&release, folder, journal).await;
    }
    ready?;
    verdict.ready_s = Some(rounded(begun.elapsed()));
    journal.note(format_args!("without values: everything is ready after {:.1} s", begun.elapsed().as_secs_f64()));
    if options.stages.has(Stage::Install) {
        sleep(METRICS).await;
        verdict.idle_memory_mib = release.memory().await.unwrap_or_default();
        verdict.helm_test = Some(match release.helm.test().await {
            Ok(()) => {
                journal.note("helm test passes");
                true
            }
            Err(error) => {
                journal.problem(format_args!("helm test: {error}"));
                false
            }
        });
    }
    if options.stages.has(Stage::Policies) {
        verdict.refused_connections = stage(Stage::Policies, policies::refuse(&release, journal), journal).await;
    }
    if !journal.problems().is_empty() {
        tell_all(&release, folder, journal).await;
    }
    if options.stages.has(Stage::Install) && !options.keep {
        verdict.uninstalled = Some(uninstall(&release, 1, journal).await);
        debris.remove_namespace(&name, journal).await;
    }
    Ok(())
}

/// From one profile to the next, under a load of its own.
async fn along_profiles(
    options: &Options,
    chart: &Chart,
    values: &Value,
    folder: &Path,
    debris: &Debris,
    journal: &Journal,
    verdict: &mut Verdict,
) -> Result<(), Error> {
    if options.bucket.is_none() {
        skip("profiles with a lake", "CLUSTER_LAKE_URL is not set", journal, verdict);
    }
    let rows = shop::rows(options.data.as_deref(), options.lines, options.seed, GENERATED_LINES, journal)?;
    let name = namespace("profiles");
    debris.namespace(&name);
    let release = Release::in_new_namespace(chart, &name).await?;
    let problems = journal.problems().len();
    let along = profiles::along(options, &release, values, rows, journal);
    verdict.profiles = stage(Stage::Profiles, along, journal).await;
    if journal.problems().len() > problems {
        tell_all(&release, folder, journal).await;
    }
    if !options.keep {
        debris.remove_namespace(&name, journal).await;
    }
    Ok(())
}

/// The chart with values-ha.yaml, under load, and what happens to it.
async fn under_load(
    options: &Options,
    chart: &Chart,
    mut values: Value,
    folder: &Path,
    debris: &Debris,
    journal: &Journal,
    verdict: &mut Verdict,
) -> Result<(), Error> {
    let rows = shop::rows(options.data.as_deref(), options.lines, options.seed, GENERATED_LINES, journal)?;
    let name = namespace("ha");
    debris.namespace(&name);
    let release = Release::in_new_namespace(chart, &name).await?;
    if options.stages.has(Stage::Scale) {
        // The number of replicas is `kubectl`'s until the upgrade.
        values["serviceDefaults"] = scale::left_to_hand();
    }
    let begun = Instant::now();
    release.helm.install(Some("values-ha.yaml"), values).await?;
    let result = async {
        release.ready(READY).await?;
        verdict.ha_ready_s = Some(rounded(begun.elapsed()));
        journal.note(format_args!("values-ha.yaml: everything is ready after {:.1} s", begun.elapsed().as_secs_f64()));
        let doors =
            (0..DOORS).map(|n| Forward::open(&release, INGESTION, n, journal)).collect::<Result<Vec<_>, _>>()?;
        let jaeger = Forward::open(&release, JAEGER, 0, journal)?;
        for forward in doors.iter().chain([&jaeger]) {
            forward.wait(OPEN).await?;
        }
        let way = Way {
            doors: doors.iter().map(|door| door.address).collect(),
            key: release.key(Role::Write).await?,
            rate: options.rate,
            seed: options.seed,
        };
        let traffic = Traffic::new(rows, SystemClock.now());
        let load = Load::start(traffic, &way, journal);
        let scene = Scene { release: &release, load: &load, rate: options.rate, debris, journal };
        let dump = tokio::select! {
            dump = stages(options, &scene, &jaeger, verdict) => dump,
            error = load.failed() => return Err(error),
        };
        verdict.memory_mib = release.memory().await.unwrap_or_default();
        let sent = load.finish().await?;
        journal.note(format_args!(
            "{} events are sent, {} acknowledged, {} of them repeated on purpose, in {} requests, of which {} failed",
            sent.events, sent.tally.acknowledged, sent.tally.repeated, sent.tally.requests, sent.tally.failed
        ));
        release.ready(READY).await?;
        verdict.restarts = Some(restarts(&release).await?);
        settle(&release, &sent, journal, verdict).await?;
        if let Some(dump) = dump {
            let restored = made_anew(&release, dump, &sent, folder, journal);
            verdict.restored = stage(Stage::Restore, restored, journal).await;
        }
        Ok(())
    };
    let result = result.await;
    if result.is_err() || !journal.problems().is_empty() {
        tell_all(&release, folder, journal).await;
    }
    result?;
    if !options.keep {
        verdict.uninstalled = Some(uninstall(&release, 3, journal).await && verdict.uninstalled != Some(false));
        debris.remove_namespace(&name, journal).await;
    }
    Ok(())
}

/// One part after the other. What fails is a problem, and the next one follows.
/// The last one begins a backup, which is complete when nothing is sent any
/// more: what it has so far.
async fn stages(options: &Options, scene: &Scene<'_>, jaeger: &Forward, verdict: &mut Verdict) -> Option<Dump> {
    let Scene { release, journal, load, .. } = *scene;
    sleep(WARM_UP).await;
    let pause = |stage: Stage, verdict: &mut Verdict| {
        let longest = load.longest_pause();
        journal.note(format_args!(
            "{}: the longest time without an acknowledgement was {:.2} s",
            stage.name(),
            longest.as_secs_f64()
        ));
        verdict.longest_pause_s.insert(stage.name(), rounded(longest));
        if !load.has_more() {
            journal.problem(format_args!("{}: the load was over before the stage: raise --lines", stage.name()));
        }
    };
    load.longest_pause();
    let wanted = |stage: Stage| options.stages.has(stage);
    if wanted(Stage::Scale) {
        verdict.scaled = stage(Stage::Scale, scale::by_hand(scene), journal).await.map(|()| true);
        pause(Stage::Scale, verdict);
    }
    if wanted(Stage::Upgrade) {
        let upgraded = scale::upgrade(scene, &options.next_tag);
        verdict.upgraded = stage(Stage::Upgrade, upgraded, journal).await.map(|()| true);
        pause(Stage::Upgrade, verdict);
    }
    if wanted(Stage::Trace) {
        let read = async {
            jaeger.wait(OPEN).await?;
            trace::read_back(jaeger.address, &load.traces(), journal).await
        };
        verdict.trace_services = stage(Stage::Trace, read, journal).await;
        pause(Stage::Trace, verdict);
    }
    if wanted(Stage::Hpa) {
        verdict.hpa_max_replicas = stage(Stage::Hpa, autoscale::on_cpu(scene), journal).await;
        pause(Stage::Hpa, verdict);
    }
    if wanted(Stage::Keda) {
        match Kubectl::default().has_api("keda.sh").await {
            Ok(true) => {
                verdict.keda_max_replicas = stage(Stage::Keda, autoscale::on_lag(scene), journal).await;
                pause(Stage::Keda, verdict);
            }
            Ok(false) => skip(&Stage::Keda.name(), "the cluster has no keda.sh", journal, verdict),
            Err(error) => journal.problem(error),
        }
    }
    if wanted(Stage::ScaleOut) {
        verdict.scale_out = stage(Stage::ScaleOut, scale_out::measure(scene), journal).await;
        pause(Stage::ScaleOut, verdict);
    }
    if wanted(Stage::Drain) {
        verdict.drained = stage(Stage::Drain, nodes::drain(scene), journal).await.map(|()| true);
        pause(Stage::Drain, verdict);
    }
    if wanted(Stage::KillNode) {
        match (&options.kill_node, &options.start_node) {
            (Some(kill), Some(start)) => {
                let killed = nodes::kill(scene, kill, start);
                verdict.node_killed = stage(Stage::KillNode, killed, journal).await.map(|()| true);
                pause(Stage::KillNode, verdict);
            }
            _ => {
                skip(&Stage::KillNode.name(), "CLUSTER_KILL_NODE and CLUSTER_START_NODE are not set", journal, verdict)
            }
        }
    }
    if !wanted(Stage::Restore) {
        return None;
    }
    if !restore::is_possible().await {
        skip(&Stage::Restore.name(), "nats (the command line) is not on PATH", journal, verdict);
        return None;
    }
    let dump = stage(Stage::Restore, restore::dump(release, journal), journal).await;
    pause(Stage::Restore, verdict);
    dump
}

/// Does a part; what fails is a problem.
async fn stage<T>(stage: Stage, work: impl Future<Output = Result<T, Error>>, journal: &Journal) -> Option<T> {
    journal.note(format_args!("== {}", stage.name()));
    match work.await {
        Ok(done) => Some(done),
        Err(error) => {
            journal.problem(format_args!("{}: {error}", stage.name()));
            None
        }
    }
}

fn skip(what: &str, why: &str, journal: &Journal, verdict: &mut Verdict) {
    journal.note(format_args!("SKIPPED {what}: {why}"));
    verdict.skipped.push(format!("{what}: {why}"));
}

/// Containers of our services that were started again: those of the node that
/// lost its power, and crashes.
async fn restarts(release: &Release) -> Result<u64, Error> {
    Ok(release.pods().await?.iter().filter(|pod| pod.is_ours()).map(|pod| pod.restarts).sum())
}

/// Makes the release anew from its backup; says whether it comes to the same
/// numbers, and goes on from there.
async fn made_anew(
    release: &Release,
    dump: Dump,
    sent: &Sent,
    folder: &Path,
    journal: &Journal,
) -> Result<bool, Error> {
    restore::anew(release, dump, folder, journal).await?;
    let reading = reading(release, sent, journal).await?;
    // What is wrong is a problem already.
    let Reading { books, is_true, .. } = reading;
    journal.note(format_args!(
        "made anew, it has counted {} events, and {}",
        books.totals.counted,
        if is_true { "everything equals the truth" } else { "that is not the truth" }
    ));
    release.helm.test().await?;
    journal.note("helm test passes on it");
    Ok(is_true)
}

/// Fills in what came of the load.
async fn settle(release: &Release, sent: &Sent, journal: &Journal, verdict: &mut Verdict) -> Result<(), Error> {
    let reading = reading(release, sent, journal).await?;
    let totals = &reading.books.totals;
    verdict.sent = Some(sent.events);
    verdict.received = Some(totals.received);
    verdict.counted = Some(totals.counted);
    verdict.duplicate = Some(totals.duplicate);
    verdict.late = Some(totals.late);
    let dead = reading.dead.values().map(|ids| u64::try_from(ids.len()).unwrap_or_default()).sum();
    verdict.dead_lettered = Some(dead);
    verdict.lost = Some(reading.difference.lost);
    verdict.double = Some(reading.difference.double);
    verdict.balanced = Some(reading.books.balanced);
    verdict.equals_truth = Some(reading.is_true);
    Ok(())
}

/// Waits until the books balance, and compares everything with the truth.
async fn reading(release: &Release, sent: &Sent, journal: &Journal) -> Result<Reading, Error> {
    journal.count_to("settling", sent.tally.acknowledged);
    let reporting = Forward::open(release, REPORTING, 0, journal)?;
    reporting.wait(OPEN).await?;
    let mut left = READINGS;
    loop {
        let key = Some(release.key(Role::Operate).await?);
        let reader = Reader::new(reporting.address, key, journal, &sent.expected)?.without_slack();
        let read = async {
            reader.settled(sent.tally.acknowledged).await?;
            reader.read(&sent.tally).await
        };
        left -= 1;
        match read.await {
            Ok(reading) => return Ok(reading),
            Err(error) if left == 0 => return Err(error),
            Err(error) => journal.note(format_args!("{error}; again")),
        }
    }
}

/// Uninstalls; says whether what it leaves is what it says it leaves.
async fn uninstall(release: &Release, nats_servers: u64, journal: &Journal) -> bool {
    match release.uninstall(nats_servers).await {
        Ok(differ) if differ.is_empty() => {
            journal.note("the uninstall leaves the volumes and the secrets that open them, and nothing else");
            true
        }
        Ok(differ) => {
            journal.problem(format_args!("what the uninstall leaves is not what it says: {}", differ.join(", ")));
            false
        }
        Err(error) => {
            journal.problem(format_args!("uninstall: {error}"));
            false
        }
    }
}

/// Writes down what the cluster can tell of a release that is not well.
async fn tell_all(release: &Release, folder: &Path, journal: &Journal) {
    let kubectl = &release.kubectl;
    let mut calls = vec![
        ("pods.txt".to_owned(), kubectl.call(["get", "pods,hpa,pvc", "--output=wide"])),
        ("events.txt".to_owned(), kubectl.call(["get", "events", "--sort-by=.lastTimestamp"])),
        ("describe.txt".to_owned(), kubectl.call(["describe", "pods"])),
    ];
    let components = Service::ALL.iter().map(|service| service.name()).chain(["nats", "postgres", "test"]);
    calls.extend(components.map(|component| {
        let selector = format!("--selector={}", release::selector_of(component));
        let logs = kubectl.call(["logs", &selector, "--prefix", "--tail=2000", "--max-log-requests=20"]);
        (format!("{component}.log"), logs)
    }));
    for (name, call) in calls {
        let told = call.output().await.unwrap_or_else(|error| error.to_string());
        let path = folder.join(format!("{}-{name}", release.namespace));
        if let Err(error) = std::fs::write(&path, told) {
            journal.note(format_args!("{}: {error}", path.display()));
        }
    }
}

/// Seconds with two decimals.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 100.0).round() / 100.0
}
