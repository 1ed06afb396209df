//! What recommendation has come to: each of its replicas answers as an index does that
//! is built from the log at once, and knows of its customers what they did.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use serde_json::Value;
use tidemill_domain::{Partition, Timestamp};
use tidemill_recommender::{Index, Interaction, InteractionKind, Query, Recent, RecommenderSettings};
use tokio::time::{Instant, sleep};

use super::{
    forgetting::url,
    log::{EnrichedPartition, LogReader},
    suite::Suite,
};
use crate::{
    error::Error,
    journal::Journal,
    service::Service,
    shop::{
        storefront::{Act, Deed, Storefront, Visitor, latest},
        truth::micros,
    },
};

const SETTLED: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(500);
/// Charts are a second old at most.
const CHARTED: Duration = Duration::from_secs(5);
/// Items that rules may choose from: the most that an answer is made of.
const CANDIDATES: usize = 300;
const MOST: usize = 100;
/// Profiles that are looked at, beside those of everybody who was forgotten.
const PROFILES: usize = 200;

/// An item of an answer: its id, its score as it is written, and the count of its reason.
type Answered = (String, String, u64);

/// What the log comes to, without those who were forgotten.
struct Truth {
    index: Index,
    /// The event time up to which it is learnt.
    newest: Timestamp,
    /// By partition, the last batch of `RAW`.
    ends: Vec<(Partition, u64)>,
}

/// Compares every replica with the log; answers how many answers were compared.
pub(super) async fn check(suite: &Suite, log: &LogReader, visitors: &[Visitor]) -> Result<u64, Error> {
    let truth = Truth::of(log, visitors).await?;
    let (mut compared, items) = (0, Storefront::products());
    for door in suite.addresses(Service::Recommendation) {
        let replica = Replica { door, suite, journal: &suite.journal };
        if !replica.has_learnt(&truth).await? {
            continue;
        }
        for item in items.iter().step_by(3) {
            compared += replica.compare(&["similar", item], &[], || truth.similar(item)).await?;
            compared += replica.compare(&["bought-together", item], &[], || truth.together(item)).await?;
            let with: [(&str, &str); 1] = [("item", item)];
            compared += replica.compare(&[], &with, || truth.recommended(item)).await?;
        }
        compared += replica.compare(&["popular"], &[], || truth.popular()).await?;
        compared += replica.compare(&["trending"], &[], || truth.trending()).await?;
        compared += replica.profiles(visitors).await?;
    }
    Ok(compared)
}

impl Truth {
    async fn of(log: &LogReader, visitors: &[Visitor]) -> Result<Self, Error> {
        let index = Index::new(RecommenderSettings::default()).map_err(Error::program("the index"))?;
        let forgotten: BTreeSet<&str> =
            visitors.iter().filter(|visitor| visitor.is_to_be_forgotten).flat_map(Visitor::names).collect();
        let mut truth = Self { index, newest: Timestamp::EPOCH, ends: Vec::new() };
        for partition in log.partitions() {
            let batches = log.enriched(partition).await?;
            truth.ends.extend(batches.last_key_value().map(|(end, _)| (partition, *end)));
            truth.learn(partition, &batches, &forgotten)?;
        }
        Ok(truth)
    }

    fn learn(
        &mut self,
        partition: Partition,
        batches: &EnrichedPartition,
        forgotten: &BTreeSet<&str>,
    ) -> Result<(), Error> {
        for (ingested_at, lines) in batches.values() {
            for line in tidemill_events::event::lines(lines) {
                let event: Value = serde_json::from_slice(line).map_err(Error::program("a line of ENRICHED"))?;
                self.learn_one(partition, &event, *ingested_at, forgotten);
            }
        }
        Ok(())
    }

    fn learn_one(&mut self, partition: Partition, event: &Value, ingested_at: Timestamp, forgotten: &BTreeSet<&str>) {
        let kind = match event["type"].as_str() {
            Some("product.viewed") => InteractionKind::View,
            Some("cart.item_added") => InteractionKind::Cart,
            Some("order.placed") => InteractionKind::Order,
            _ => return,
        };
        if event["enriched"]["duplicate"] == true {
            return;
        }
        let visitor = event["subject"].as_str().or(event["data"]["session_id"].as_str());
        let Some(visitor) = visitor else { return };
        let data = &event["data"];
        let mut items: Vec<&str> = match data["items"].as_array() {
            Some(list) => list.iter().filter_map(|item| item["product_id"].as_str()).collect(),
            None => data["product_id"].as_str().into_iter().collect(),
        };
        let mut seen = BTreeSet::new();
        items.retain(|item| seen.insert(*item));
        // What is sent again is of another source, and sent when they were forgotten.
        if forgotten.contains(visitor) && event["source"] != "storefront-again" {
            items.iter().for_each(|_| self.index.pass(partition));
            return;
        }
        let time = event["time"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
        let at = time.unwrap_or(Timestamp::EPOCH).min(ingested_at);
        self.newest = self.newest.max(at);
        if kind == InteractionKind::Order {
            return self.index.learn_order(partition, visitor, at, items);
        }
        for item in items {
            self.index.learn(&Interaction { partition, visitor, item, kind, at });
        }
    }

    fn similar(&self, item: &str) -> Vec<Answered> {
        let found = self.index.similar(item, CANDIDATES, |other| other != item);
        answered(found.into_iter().map(|found| (found.item, found.score, found.neighbours)))
    }

    fn together(&self, item: &str) -> Vec<Answered> {
        let found = self.index.bought_together(item, CANDIDATES, |_| true);
        answered(found.into_iter().map(|found| (found.item, found.lift, found.support)))
    }

    fn recommended(&self, item: &str) -> Vec<Answered> {
        let items = [Recent { item: item.into(), kind: InteractionKind::View, at: self.newest }];
        let query = Query { visitor: None, items: &items, at: self.newest, n: CANDIDATES };
        let found = self.index.recommend(&query, |other| other != item);
        answered(found.into_iter().map(|found| (found.item, found.score, found.neighbours)))
    }

    fn popular(&self) -> Vec<Answered> {
        let found = self.index.popular(CANDIDATES, |_| true);
        answered(found.into_iter().map(|found| (found.item.to_string(), found.score, found.sessions)))
    }

    fn trending(&self) -> Vec<Answered> {
        let found = self.index.trending(self.newest, CANDIDATES, |_| true);
        answered(found.into_iter().map(|found| (found.item.to_string(), found.score, found.sessions)))
    }
}

/// As a replica writes it: the highest score first, and of equal ones by the id.
fn answered(found: impl Iterator<Item = (String, f64, u32)>) -> Vec<Answered> {
    let mut found: Vec<(String, f64, u32)> = found.collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    found.truncate(MOST);
    found.into_iter().map(|(item, score, count)| (item, written(score), count.into())).collect()
}

/// A number as both sides come to it, read from JSON.
fn written(score: f64) -> String {
    let text = serde_json::to_string(&score).unwrap_or_default();
    serde_json::from_str::<f64>(&text).unwrap_or(f64::NAN).to_string()
}

/// One replica.
struct Replica<'s> {
    door: SocketAddr,
    suite: &'s Suite,
    journal: &'s Journal,
}

impl Replica<'_> {
    async fn get(&self, parts: &[&str], parameters: &[(&str, &str)]) -> Result<(u16, Value), Error> {
        let url = url(self.door, parts, parameters)?;
        let begun = Instant::now();
        loop {
            let asked = async {
                let answer = self.suite.http.get(url.clone()).send().await?;
                let status = answer.status().as_u16();
                Ok::<_, reqwest::Error>((status, answer.json().await?))
            };
            match asked.await {
                Ok((503, _)) | Err(_) if begun.elapsed() < SETTLED => sleep(POLL).await,
                Ok(answered) => return Ok(answered),
                Err(error) => return Err(Error::program("recommendation")(error)),
            }
        }
    }

    /// Waits until all of the log is learnt, and tells where it is not.
    async fn has_learnt(&self, truth: &Truth) -> Result<bool, Error> {
        let begun = Instant::now();
        loop {
            let (_, answer) = self.get(&["v1", "recommendations", "popular"], &[]).await?;
            let places = answer["model"]["partitions"].as_array().cloned().unwrap_or_default();
            let is_there = |(partition, end): &(Partition, u64)| {
                let place = places.iter().find(|place| place["partition"] == partition.index());
                place.and_then(|place| place["raw_sequence"].as_u64()).is_some_and(|at| at >= *end)
            };
            if truth.ends.iter().all(is_there) {
                self.charted(truth).await?;
                return Ok(true);
            }
            if begun.elapsed() > SETTLED {
                self.journal.problem(format_args!("{} has not learnt all of the log: {places:?}", self.door));
                return Ok(false);
            }
            sleep(POLL).await;
        }
    }

    /// Waits until what is popular is told of all that is learnt, unless it is told otherwise
    /// for longer than charts are kept.
    async fn charted(&self, truth: &Truth) -> Result<(), Error> {
        let (should, begun) = (truth.popular(), Instant::now());
        while self.list(&["popular"], &[]).await?.1 != should && begun.elapsed() < CHARTED {
            sleep(POLL).await;
        }
        Ok(())
    }

    /// A list, with the status of the answer.
    async fn list(&self, list: &[&str], parameters: &[(&str, &str)]) -> Result<(u16, Vec<Answered>), Error> {
        let parts: Vec<&str> = ["v1", "recommendations"].iter().chain(list).copied().collect();
        let most = MOST.to_string();
        let parameters: Vec<(&str, &str)> = parameters.iter().copied().chain([("n", &*most)]).collect();
        let (status, answer) = self.get(&parts, &parameters).await?;
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        Ok((status, items.iter().map(of_answer).collect()))
    }

    /// Compares a list, and tells how it differs.
    async fn compare(
        &self,
        list: &[&str],
        parameters: &[(&str, &str)],
        should: impl Fn() -> Vec<Answered>,
    ) -> Result<u64, Error> {
        let (status, is) = self.list(list, parameters).await?;
        let should = should();
        if status != 200 || is != should {
            let place =
                is.iter().zip(&should).position(|(is, should)| is != should).unwrap_or(is.len().min(should.len()));
            self.journal.problem(format_args!(
                "{} {list:?} {parameters:?}: {status}, {} items, not {}; item {place} should be {:?}, is {:?}",
                self.door,
                is.len(),
                should.len(),
                should.get(place),
                is.get(place)
            ));
        }
        Ok(1)
    }

    /// Compares profiles with what customers did.
    async fn profiles(&self, visitors: &[Visitor]) -> Result<u64, Error> {
        let (forgotten, others): (Vec<&Visitor>, Vec<&Visitor>) =
            visitors.iter().filter(|visitor| visitor.is_customer).partition(|visitor| visitor.is_to_be_forgotten);
        let step = others.len().div_ceil(PROFILES).max(1);
        let mut compared = 0;
        for visitor in forgotten.into_iter().chain(others.into_iter().step_by(step)) {
            let acts = if visitor.is_to_be_forgotten { &visitor.again } else { &visitor.acts };
            let begun = Instant::now();
            // They are kept a little behind what is learnt.
            while let Err(why) = self.profile(visitor, acts).await? {
                if begun.elapsed() > SETTLED / 3 {
                    self.journal.problem(format_args!("{}: the profile of {}: {why}", self.door, visitor.name));
                    break;
                }
                sleep(POLL).await;
            }
            compared += 1;
        }
        Ok(compared)
    }

    async fn profile(&self, visitor: &Visitor, acts: &[Act]) -> Result<Result<(), String>, Error> {
        let (status, profile) = self.get(&["v1", "profiles", &visitor.name], &[]).await?;
        if acts.is_empty() {
            return Ok(if status == 404 { Ok(()) } else { Err(format!("should not be there: {profile}")) });
        }
        let list = |name: &str| -> Vec<(Timestamp, String)> {
            let items = profile[name].as_array().cloned().unwrap_or_default();
            let dated = |item: &Value| {
                let at = item["at"].as_str().and_then(|at| at.parse().ok()).unwrap_or(Timestamp::EPOCH);
                (at, item["item"].as_str().unwrap_or_default().to_owned())
            };
            items.iter().map(dated).collect()
        };
        let should = |deed| -> Vec<(Timestamp, String)> {
            latest(acts, deed).into_iter().take(50).map(|(at, item)| (at, item.to_owned())).collect()
        };
        let orders = acts.iter().filter(|act| act.deed == Deed::Ordered).count();
        let value: i128 = acts.iter().map(|act| act.revenue).sum();
        let told = profile["value"].as_object().into_iter().flat_map(serde_json::Map::values);
        let told: i128 = told.filter_map(|amount| micros(amount.as_str()?)).sum();
        let is = (profile["orders"].as_u64(), told, list("views"), list("purchases"));
        let right = (u64::try_from(orders).ok(), value, should(Deed::Viewed), should(Deed::Ordered));
        Ok(if is == right { Ok(()) } else { Err(format!("should be {right:?}, is {is:?}")) })
    }
}

fn of_answer(item: &Value) -> Answered {
    let score = item["score"].as_f64().unwrap_or(f64::NAN).to_string();
    (item["item"].as_str().unwrap_or_default().to_owned(), score, item["reason"]["count"].as_u64().unwrap_or_default())
}
