//! From one profile to the next on a cluster, as docs/patterns.md tells an
//! operator to go, while a shop trades: what was sent under each is in the
//! numbers of all that follow it.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidemill::{
    client::{Client, Keys, LakeClient},
    profile::{ProfilePart, SuiteProfile},
};
use tidemill_domain::{Clock, SystemClock};
use tidemill_service::Role;
use tokio::time::{Instant, sleep};

use super::{
    Bucket, INGESTION, OPEN, Options, REPORTING,
    forward::{Forward, Target},
    kubectl::until,
    load::{Load, Sent, Way},
    reading,
    release::{READY, Release},
    rounded,
};
use crate::{
    error::Error,
    journal::Journal,
    service::Service,
    shop::{dataset::Row, reader::Reading, traffic::Traffic},
};

/// Port-forwards to ingestion.
const DOORS: usize = 2;
const LAKE: Target = Target { component: "lake", port: 7075, probe: "/v1/tables" };
/// How long the shop trades under each profile.
const DWELL: Duration = Duration::from_secs(20);
/// How long it may take until what was sent is in the numbers, and in the tables.
const TOLD: Duration = Duration::from_secs(240);
/// A question to the lake.
const ASKED: Duration = Duration::from_secs(30);
/// Seconds between computations of gold, and of batch views: those of the chart are minutes.
const GOLD_SECONDS: u32 = 10;
const BATCH_SECONDS: u32 = 20;
/// The lake's Secret.
const BUCKET: &str = "bucket";
/// The six services that the chart installs by itself, where there is no bucket for more.
const SIX: &str = "six services";

/// A run along the profiles.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ProfilePath {
    /// One after the other.
    pub profiles: Vec<ProfileRun>,
    /// Distinct events that were sent.
    pub sent: u64,
    /// Events that are in the totals at the end.
    pub counted: u64,
    /// Invoice lines that are missing in the totals at the end, by day and country.
    pub lost: u64,
    /// Invoice lines that are in the totals too often.
    pub double: u64,
    /// Whether every event of every source has exactly one outcome.
    pub balanced: bool,
    /// Whether totals, books, alerts, dead letters, and the tables where there is a lake, are what they must be.
    pub equals_truth: bool,
}

/// A profile under way.
#[derive(Debug, Clone, Serialize)]
pub struct ProfileRun {
    /// Its name.
    pub profile: &'static str,
    /// Seconds from `helm upgrade` until what it has is ready, and what it has not is gone.
    pub ready_s: f64,
    /// Longest time without an acknowledgement, in seconds.
    pub longest_pause_s: f64,
    /// Valid events that were sent so far, under this profile and those before it.
    pub accepted: u64,
    /// Those that its totals have; null where it has none.
    pub told: Option<u64>,
    /// Those that are rows of silver; null where it has none.
    pub rows: Option<u64>,
}

/// A part of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    name: &'static str,
    /// Its file in the chart's `profiles`, if it has one.
    file: Option<&'static str>,
    services: BTreeSet<Service>,
    /// Whether answers are merged from batch views.
    merges: bool,
}

impl Step {
    fn of(profile: SuiteProfile) -> Self {
        let services = profile.parts().iter().map(|part: &ProfilePart| Service::of(*part)).collect();
        Self { name: profile.name(), file: Some(profile.name()), services, merges: profile.merges() }
    }

    /// The whole path; without a lake what is left of it, and the services that the chart has beyond that.
    fn path(with_lake: bool) -> Vec<Self> {
        if with_lake {
            return SuiteProfile::ALL.into_iter().map(Self::of).collect();
        }
        let six = Self { name: SIX, file: None, services: Service::SUITE.into(), merges: false };
        vec![Self::of(SuiteProfile::Kappa), six]
    }

    fn has(&self, service: Service) -> bool {
        self.services.contains(&service)
    }

    /// Values beside those of its file.
    fn values(&self, bucket: Option<&Bucket>, prefix: &str) -> Value {
        let mut values = json!({});
        if self.file.is_none() {
            for service in &self.services {
                values["services"][service.name()] = json!({"enabled": true});
            }
        }
        if let Some(bucket) = bucket.filter(|_| self.has(Service::Lake)) {
            let batch = if self.merges { BATCH_SECONDS } else { 0 };
            let config = json!({"gold": {"every_seconds": GOLD_SECONDS}, "batch": {"every_seconds": batch}});
            values["lake"] = json!({
                "url": format!("{}/{prefix}", bucket.url.trim_end_matches('/')),
                "endpoint": bucket.endpoint,
                "region": bucket.region,
                "allowHttp": bucket.endpoint.starts_with("http:"),
                "existingSecret": if bucket.key.is_some() { BUCKET } else { "" },
                "service": {"config": config},
            });
        }
        values
    }
}

/// Goes along the path in a release that is to be, and compares everything with the truth.
pub(super) async fn along(
    options: &Options,
    release: &Release,
    values: &Value,
    rows: Vec<Row>,
    journal: &Journal,
) -> Result<ProfilePath, Error> {
    let namespace = &*release.namespace;
    let bucket = options.bucket.as_ref();
    if let Some(Bucket { key: Some([id, secret]), .. }) = bucket {
        give_secret(release, id, secret).await?;
    }
    let path = Step::path(bucket.is_some());
    let Some(first) = path.first() else { return Ok(ProfilePath::default()) };
    let mut begin = first.values(bucket, namespace);
    if let (Some(begin), Some(values)) = (begin.as_object_mut(), values.as_object()) {
        begin.extend(values.clone());
    }
    let mut ready_s = arrive(release, first, begin, journal).await?;
    let (doors, load) = trade(options, release, rows, journal).await?;
    let mut found = ProfilePath::default();
    for (n, step) in path.iter().enumerate() {
        let stay = async {
            if n > 0 {
                ready_s = arrive(release, step, step.values(bucket, namespace), journal).await?;
            }
            sleep(DWELL).await;
            watch(release, step, &load, journal).await
        };
        let (accepted, told, rows) = tokio::select! {
            seen = stay => seen?,
            error = load.failed() => return Err(error),
        };
        let longest_pause_s = rounded(load.longest_pause());
        journal.note(format_args!(
            "{}: of {accepted} valid events {} are in the totals and {} in silver; the longest time without an \
             acknowledgement was {longest_pause_s:.2} s",
            step.name,
            of_some(told),
            of_some(rows)
        ));
        if !load.has_more() {
            journal.problem(format_args!("{}: the load was over before the profile: raise --lines", step.name));
        }
        let profile = step.name;
        found.profiles.push(ProfileRun { profile, ready_s, longest_pause_s, accepted, told, rows });
    }
    let sent = load.finish().await?;
    drop(doors);
    let told = reading(release, &sent, journal).await?;
    let tables = match path.last() {
        Some(step) if step.has(Service::Lake) => are_exact(release, &sent, &told, journal).await?,
        _ => true,
    };
    release.helm.test().await?;
    journal.note("helm test passes at the end of the path");
    Ok(ProfilePath {
        sent: sent.events,
        counted: told.books.totals.counted,
        lost: told.difference.lost,
        double: told.difference.double,
        balanced: told.books.balanced,
        equals_truth: told.is_true && tables,
        ..found
    })
}

/// What opens the bucket, not as arguments, which everybody on the machine can read.
async fn give_secret(release: &Release, id: &str, secret: &str) -> Result<(), Error> {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": BUCKET},
        "stringData": {"access-key-id": id, "secret-access-key": secret}});
    release.kubectl.call(["apply", "--filename=-"]).input(secret.to_string()).output().await.map(drop)
}

/// Goes to a profile; answers after how many seconds what it has is ready and what it has not is gone.
async fn arrive(release: &Release, step: &Step, values: Value, journal: &Journal) -> Result<f64, Error> {
    let begun = Instant::now();
    release.helm.profile(step.file, values).await?;
    release.ready(READY).await?;
    release.calm().await?;
    let pods = release.pods().await?;
    let found: BTreeSet<&str> = pods.iter().filter(|pod| pod.is_ours()).map(|pod| pod.component.as_str()).collect();
    let wanted: BTreeSet<&str> = step.services.iter().map(|service| service.name()).collect();
    if found != wanted {
        return Err(Error::Refused(format!("{}: {found:?} run, not {wanted:?}", step.name)));
    }
    let ready_s = rounded(begun.elapsed());
    journal.note(format_args!("{}: everything is ready after {ready_s:.1} s", step.name));
    Ok(ready_s)
}

/// The shop begins to trade.
async fn trade(
    options: &Options,
    release: &Release,
    rows: Vec<Row>,
    journal: &Journal,
) -> Result<(Vec<Forward>, Load), Error> {
    let doors = (0..DOORS).map(|n| Forward::open(release, INGESTION, n, journal)).collect::<Result<Vec<_>, _>>()?;
    for door in &doors {
        door.wait(OPEN).await?;
    }
    let way = Way {
        doors: doors.iter().map(|door| door.address).collect(),
        key: release.key(Role::Write).await?,
        rate: options.rate,
        seed: options.seed,
    };
    Ok((doors, Load::start(Traffic::new(rows, SystemClock.now()), &way, journal)))
}

/// Waits until all that was acknowledged so far is in what the profile has; answers how much that is, how much is in the
/// totals, and how much in silver.
async fn watch(
    release: &Release,
    step: &Step,
    load: &Load,
    journal: &Journal,
) -> Result<(u64, Option<u64>, Option<u64>), Error> {
    let accepted = load.accepted();
    let (mut told, mut rows) = (None, None);
    if step.has(Service::Reporting) {
        let door = Forward::open(release, REPORTING, 0, journal)?;
        door.wait(OPEN).await?;
        let url: reqwest::Url = format!("http://{}", door.address).parse().map_err(Error::program("reporting"))?;
        let keys = Keys { write: None, read: Some(release.key(Role::Read).await?) };
        let client = Client::new(url.clone(), url, keys);
        told = Some(
            until("what was sent is in the totals", TOLD, || async {
                let totals = client.books().await.map_err(|error| error.to_string())?.totals;
                enough(totals.counted + totals.late, accepted)
            })
            .await?,
        );
    }
    if step.has(Service::Lake) {
        let lake = Tables::open(release, journal).await?;
        rows = Some(
            until("what was sent is in silver", TOLD, || async {
                enough(lake.count(SILVER).await.map_err(|error| error.to_string())?, accepted)
            })
            .await?,
        );
    }
    Ok((accepted, told, rows))
}

fn enough(found: u64, wanted: u64) -> Result<u64, String> {
    if found >= wanted { Ok(found) } else { Err(format!("{found} of {wanted}")) }
}

fn of_some(count: Option<u64>) -> String {
    count.map_or("none".to_owned(), |count| count.to_string())
}

const SILVER: &str = "select count(*) as n from silver.events";
const BRONZE: &str = "select count(*) as n from bronze.events";
const GOLD: &str = "select cast(coalesce(sum(lines), 0) as bigint) as n from gold.daily_country";

/// Whether the tables have what was sent: each line of the log in bronze, each event once in silver, each invoice line
/// that counts in gold.
async fn are_exact(release: &Release, sent: &Sent, told: &Reading, journal: &Journal) -> Result<bool, Error> {
    let totals = &told.books.totals;
    let lines = sent.expected.daily.values().map(|[lines, ..]| lines / 1_000_000).sum::<i128>();
    let wanted = [
        (BRONZE, totals.received - totals.dead_lettered),
        (SILVER, totals.counted + totals.late),
        (GOLD, u64::try_from(lines).unwrap_or_default()),
    ];
    let lake = Tables::open(release, journal).await?;
    let mut exact = true;
    for (question, wanted) in wanted {
        let equal = until("the tables have what was sent", TOLD, || async {
            let found = lake.count(question).await.map_err(|error| error.to_string())?;
            if found == wanted { Ok(()) } else { Err(format!("{found}, not {wanted}")) }
        });
        if let Err(error) = equal.await {
            journal.problem(format_args!("{question}: {error}"));
            exact = false;
        }
    }
    Ok(exact)
}

/// The lake's tables.
struct Tables {
    client: LakeClient,
    _door: Forward,
}

#[derive(Deserialize)]
struct Answer {
    rows: Vec<Counted>,
}

#[derive(Deserialize)]
struct Counted {
    n: u64,
}

impl Tables {
    async fn open(release: &Release, journal: &Journal) -> Result<Self, Error> {
        let door = Forward::open(release, LAKE, 0, journal)?;
        door.wait(OPEN).await?;
        let url = format!("http://{}", door.address).parse().map_err(Error::program("the lake"))?;
        let client = LakeClient::new(url, Some(release.key(Role::Read).await?)).with_timeout(ASKED);
        Ok(Self { client, _door: door })
    }

    async fn count(&self, question: &str) -> Result<u64, Error> {
        let asked = json!({"sql": question, "format": "json"});
        let answer = self.client.post("/v1/sql", &asked).await.map_err(Error::program("the lake"))?;
        let answer: Answer = serde_json::from_slice(&answer).map_err(Error::program("the lake's answer"))?;
        Ok(answer.rows.first().map(|row| row.n).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_bucket_the_path_has_no_lake() {
        let path = Step::path(false);
        assert!(path.iter().all(|step| !step.has(Service::Lake)));
        assert_eq!(path.iter().map(|step| step.name).collect::<Vec<_>>(), ["kappa", SIX]);
        let values = path[1].values(None, "");
        assert_eq!(values["services"]["alert"], json!({"enabled": true}));
        assert_eq!(values["lake"], Value::Null);
        assert_eq!(Step::path(true).len(), SuiteProfile::ALL.len());
    }

    #[test]
    fn a_lake_is_told_where_its_bucket_is() {
        let key = Some(["id".to_owned(), "secret".to_owned()]);
        let bucket = Bucket { url: "s3://b/".into(), endpoint: "http://s3:8333".into(), region: "eu".into(), key };
        let values = Step::of(SuiteProfile::Lambda).values(Some(&bucket), "run");
        let lake = &values["lake"];
        assert_eq!((&lake["url"], &lake["allowHttp"]), (&json!("s3://b/run"), &json!(true)));
        assert_eq!(lake["existingSecret"], BUCKET);
        assert_eq!(lake["service"]["config"]["batch"]["every_seconds"], BATCH_SECONDS);
        assert!(!values.to_string().contains("secret\""), "the key is no value of the chart");
        // What a profile without a lake has is kept, and not used.
        assert_eq!(Step::of(SuiteProfile::Kappa).values(Some(&bucket), "run"), json!({}));
    }
}
