//! Rules over single events: which signals does an event show, and do their
//! scores add up to an alert?

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use tidemill_definitions::{Condition, Data, DefinitionError, version_of};
use tidemill_domain::{Amount, Timestamp};
use tidemill_events::{EnrichedBatch, Enrichment, EventRef, StreamName, TraceParent, event};
use tidemill_totals::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    counters::{Counter, MAX_ENTRIES},
    rules::{Alert, RuleMeta, Source, Span, Trigger, condition},
    store::{Changes, Observations, Saved},
    telemetry::{Evaluation, Outcome, Telemetry},
};

/// A rule over single events.
#[derive(Debug, Clone)]
pub struct EventRule {
    /// What every rule has.
    pub head: RuleMeta,
    /// What this kind has.
    pub body: Body,
    /// By name of the counter: its own version, so that a rule that changes
    /// elsewhere goes on counting.
    counters: BTreeMap<String, String>,
}

/// What a rule over events says, beside its [`RuleMeta`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Body {
    /// Event types that it looks at.
    pub types: Vec<String>,
    /// What an alert is said to be about.
    #[serde(default)]
    pub dimensions: Vec<Dimension>,
    /// Counts of events, by the name that conditions use.
    #[serde(default)]
    pub counters: BTreeMap<String, CounterText>,
    /// What adds to the score.
    pub signals: Vec<Signal>,
    /// The score from which it fires.
    pub fire_at: u64,
}

/// Counts events of the rule's types with the same key.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CounterText {
    /// Whose events.
    pub key: Dimension,
    /// In the window of this length that ends with the event.
    pub window: Span,
}

/// One sign of what the rule looks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// What it is called in an alert.
    pub name: String,
    /// When it shows.
    #[serde(deserialize_with = "condition")]
    pub when: Condition,
    /// What it adds.
    pub score: u64,
}

/// An attribute of an event that alerts and counters go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Whom it is about.
    Subject,
    /// Who sent it.
    Source,
    /// The sender's address.
    Clientip,
    /// Sales region.
    Region,
    /// Country.
    Country,
    /// Country of the sender's address.
    IpCountry,
}

impl Dimension {
    const ALL: [Self; 6] = [Self::Subject, Self::Source, Self::Clientip, Self::Region, Self::Country, Self::IpCountry];

    const fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Source => "source",
            Self::Clientip => "clientip",
            Self::Region => "region",
            Self::Country => "country",
            Self::IpCountry => "ip_country",
        }
    }

    fn of<'e>(self, event: &'e EventRef<'_>, enriched: &'e Enrichment) -> Option<&'e str> {
        match self {
            Self::Subject => event.subject.as_deref(),
            Self::Source => Some(&event.source),
            Self::Clientip => event.clientip.as_deref(),
            Self::Region => Some(&enriched.region),
            Self::Country => enriched.country.as_deref(),
            Self::IpCountry => enriched.ip_country.as_deref(),
        }
    }
}

/// What conditions may name, beside [`Dimension`]s and counters.
const VARIABLES: [&str; 8] = ["id", "type", "time", "data", "items", "amount", "customer", "quality"];
/// What templates may name, beside the same.
const FACTS: [&str; 6] = ["id", "type", "time", "amount", "score", "signals"];

impl EventRule {
    /// Reads one from YAML.
    pub fn read(source: &Source<'_>) -> Result<Self, DefinitionError> {
        let (head, body): (RuleMeta, Body) = source.read()?;
        if body.types.is_empty() || body.signals.is_empty() || body.fire_at == 0 {
            return Err(source.wrong("types:", "needs at least one type and one signal, and fire_at above 0"));
        }
        let reachable: u64 = body.signals.iter().map(|signal| signal.score).fold(0, u64::saturating_add);
        if reachable < body.fire_at {
            return Err(source.wrong("fire_at:", format!("can never fire: all scores together are {reachable}")));
        }
        let names = |fixed: &[&str]| -> BTreeSet<String> {
            let dimensions = Dimension::ALL.map(Dimension::name);
            fixed
                .iter()
                .chain(&dimensions)
                .map(|name| (*name).to_owned())
                .chain(body.counters.keys().cloned())
                .collect()
        };
        let (variables, facts) = (names(&VARIABLES), names(&FACTS));
        for signal in &body.signals {
            source.check_names(&signal.name, signal.when.variables().iter().map(String::as_str), &variables)?;
        }
        source.check_names("title:", head.title.names(), &facts)?;
        source.check_names("summary:", head.summary.names(), &facts)?;
        let counters =
            body.counters.iter().map(|(name, text)| (name.clone(), version_of(&(&body.types, name, text)))).collect();
        Ok(Self { head, body, counters })
    }

    fn uses(&self, variable: &str) -> bool {
        self.body.signals.iter().any(|signal| signal.when.variables().contains(variable))
    }
}

/// The event rules and their counters; all partitions share them, since an
/// address sends to many.
pub struct EventRules {
    rules: Vec<Arc<EventRule>>,
    types: BTreeSet<String>,
    counters: Mutex<HashMap<String, Counter>>,
    retention: i64,
    telemetry: Arc<Telemetry>,
}

impl EventRules {
    /// Goes on from what was kept.
    pub fn new(rules: Vec<Arc<EventRule>>, saved: &Saved, telemetry: Arc<Telemetry>) -> Self {
        let types = rules.iter().flat_map(|rule| rule.body.types.iter().cloned()).collect();
        let mut counters = HashMap::new();
        let mut retention = 0;
        for rule in &rules {
            for (name, version) in &rule.counters {
                let window = rule.body.counters[name].window.millis();
                counters.insert(version.clone(), Counter::new(window, MAX_ENTRIES));
                retention = retention.max(Counter::retention(window));
            }
        }
        for step in &saved.observations {
            for (version, key, time) in &step.entries {
                if let Some(counter) = counters.get_mut(version) {
                    counter.observe(*key, Timestamp::saturating_from_millis(*time), step.arrived);
                }
            }
        }
        Self { rules, types, counters: Mutex::new(counters), retention, telemetry }
    }

    fn counters(&self) -> MutexGuard<'_, HashMap<String, Counter>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Evaluates a batch, and adds what follows to `changes`.
    pub fn apply(&self, batch: &EnrichedBatch, now: Timestamp, changes: &mut Changes) {
        let mut unconcerned = 0;
        for line in event::lines(&batch.lines) {
            // Most events are of no interest, and a type has no character that
            // JSON would escape: looking for it costs a tenth of parsing.
            let is_candidate = str::from_utf8(line).is_ok_and(|line| self.types.iter().any(|kind| line.contains(kind)));
            if !is_candidate {
                unconcerned += 1;
                continue;
            }
            match serde_json::from_slice::<EventRef<'_>>(line) {
                Ok(event) if self.types.contains(event.kind.as_ref()) => self.event(batch, &event, now, changes),
                Ok(_) => unconcerned += 1,
                // Aggregation reads the same line, and accounts for it.
                Err(_) => self.telemetry.events(Outcome::Unreadable, 1),
            }
        }
        self.telemetry.events(Outcome::Unconcerned, unconcerned);
        if self.retention > 0 {
            changes.forget_observations = Some((batch.partition, batch.ingested_at.plus_millis(-self.retention)));
        }
    }

    fn event(&self, batch: &EnrichedBatch, event: &EventRef<'_>, now: Timestamp, changes: &mut Changes) {
        let default = Enrichment::default();
        let enriched = event.enriched.as_ref().unwrap_or(&default);
        if enriched.duplicate {
            return self.telemetry.events(Outcome::Duplicate, 1);
        }
        let age = batch.ingested_at.millis().saturating_sub(event.time.millis()).saturating_abs();
        let mut is_evaluated = false;
        for rule in self.rules.iter().filter(|rule| rule.body.types.iter().any(|kind| *kind == event.kind)) {
            if age <= rule.head.max_age.millis() {
                is_evaluated = true;
                changes.alerts.extend(self.evaluate(rule, batch, event, enriched, now, &mut changes.observations));
            }
        }
        self.telemetry.events(if is_evaluated { Outcome::Evaluated } else { Outcome::OutOfTime }, 1);
    }

    fn evaluate(
        &self,
        rule: &EventRule,
        batch: &EnrichedBatch,
        event: &EventRef<'_>,
        enriched: &Enrichment,
        now: Timestamp,
        observations: &mut Option<Observations>,
    ) -> Option<Alert> {
        let trace: Option<TraceParent> = event.traceparent.as_deref().and_then(|text| text.parse().ok());
        let evaluation = Evaluation::begin(&rule.head, StreamName::Enriched, trace);
        let counts = self.count(rule, batch, event, enriched, observations);
        let amount = amount_of(&Data::of(event.data));
        let variables = variables(rule, event, enriched, &counts, amount);
        let mut result = Ok(false);
        let mut shown: Vec<&Signal> = Vec::new();
        for signal in &rule.body.signals {
            match signal.when.holds(&variables) {
                Ok(true) => shown.push(signal),
                Ok(false) => {}
                // What a signal looks for is not there (a member of `data`).
                Err(reason) => result = Err(reason),
            }
        }
        let score = shown.iter().map(|signal| signal.score).fold(0, u64::saturating_add);
        if score >= rule.body.fire_at {
            result = Ok(true);
        }
        let parent = evaluation.end(&self.telemetry, &result);
        if result != Ok(true) {
            return None;
        }
        let about =
            rule.body.dimensions.iter().filter_map(|d| Some((d.name().to_owned(), d.of(event, enriched)?.to_owned())));
        let dimensions: BTreeMap<String, String> = about.collect();
        let all = Dimension::ALL.iter().filter_map(|d| Some((d.name().to_owned(), d.of(event, enriched)?.to_owned())));
        let mut texts: BTreeMap<String, String> = all.filter(|(name, _)| !dimensions.contains_key(name)).collect();
        let signals: Vec<&str> = shown.iter().map(|signal| signal.name.as_str()).collect();
        texts.extend([
            ("id".into(), event.id.to_string()),
            ("type".into(), event.kind.to_string()),
            ("time".into(), event.time.to_string()),
            ("signals".into(), signals.join(", ")),
        ]);
        let figures = [("amount".to_owned(), Value::Amount(amount)), ("score".to_owned(), Value::Count(score))];
        Some(rule.head.alert(Trigger {
            id: rule.head.alert_id(&[&event.source, &event.id]),
            dimensions,
            values: figures.into_iter().chain(counts.into_iter().map(|(name, n)| (name, Value::Count(n)))).collect(),
            texts,
            event_time: event.time,
            at: now,
            partition: batch.partition,
            raw_seq: batch.raw_seq,
            trace,
            parent: parent.or(trace),
        }))
    }

    /// Counts the event, and answers what its counters say; 0 for a key that
    /// it does not have.
    fn count(
        &self,
        rule: &EventRule,
        batch: &EnrichedBatch,
        event: &EventRef<'_>,
        enriched: &Enrichment,
        observations: &mut Option<Observations>,
    ) -> BTreeMap<String, u64> {
        let mut counters = self.counters();
        let mut counts = BTreeMap::new();
        for (name, version) in &rule.counters {
            let key = rule.body.counters[name].key.of(event, enriched);
            let (Some(key), Some(counter)) = (key, counters.get_mut(version)) else {
                counts.insert(name.clone(), 0);
                continue;
            };
            let key = xxh3_64(key.as_bytes());
            counter.observe(key, event.time, batch.ingested_at);
            counts.insert(name.clone(), counter.count(key, event.time));
            let fresh = || Observations {
                partition: batch.partition,
                raw_seq: batch.raw_seq,
                arrived: batch.ingested_at,
                entries: Vec::new(),
            };
            let step = observations.get_or_insert_with(fresh);
            // One step may hold several batches: it is named by the last.
            (step.raw_seq, step.arrived) = (batch.raw_seq, step.arrived.max(batch.ingested_at));
            step.entries.push((version.clone(), key, event.time.millis()));
        }
        counts
    }
}

fn variables(
    rule: &EventRule,
    event: &EventRef<'_>,
    enriched: &Enrichment,
    counts: &BTreeMap<String, u64>,
    amount: Amount,
) -> BTreeMap<String, serde_json::Value> {
    let mut variables: BTreeMap<String, serde_json::Value> = [
        ("id", json!(event.id)),
        ("type", json!(event.kind)),
        ("time", json!(event.time)),
        ("amount", json!(amount.to_f64())),
        ("customer", json!(enriched.customer)),
        ("quality", json!(enriched.quality)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    variables.extend(Dimension::ALL.iter().map(|d| (d.name().to_owned(), json!(d.of(event, enriched)))));
    variables.extend(counts.iter().map(|(name, count)| (name.clone(), json!(count))));
    // Only these cost a second parse.
    if rule.uses("data") || rule.uses("items") {
        let data: serde_json::Value =
            event.data.and_then(|data| serde_json::from_str(data.get()).ok()).unwrap_or_default();
        variables.insert("items".into(), data.get("items").cloned().unwrap_or_else(|| json!([])));
        variables.insert("data".into(), data);
    }
    variables
}

/// What an event is worth: the sum of quantity times unit price of its items,
/// else of itself, else its `amount`; nothing where it names no money.
fn amount_of(data: &Data<'_>) -> Amount {
    let number =
        |data: &Data<'_>, name: &str| -> Option<Amount> { data.get(name)?.get().trim_matches('"').parse().ok() };
    let price = |data: &Data<'_>| Some(product(number(data, "quantity")?, number(data, "unit_price")?));
    let items = data.get("items").and_then(|items| serde_json::from_str::<Vec<&RawValue>>(items.get()).ok());
    match items {
        Some(items) => items.into_iter().filter_map(|item| price(&Data::of(Some(item)))).sum(),
        None => price(data).or_else(|| number(data, "amount")).unwrap_or_default(),
    }
}

/// Exact where six decimals can hold it; else the nearest that they can, which
/// is near enough to judge by.
fn product(quantity: Amount, price: Amount) -> Amount {
    quantity.checked_mul(price).unwrap_or_else(|| {
        #[allow(clippy::cast_possible_truncation, reason = "a float too large becomes the largest integer")]
        Amount::from_micros((quantity.to_f64() * price.to_f64() * 1e6) as i128)
    })
}

#[cfg(test)]
mod tests {
    use tidemill_domain::Partition;
    use tidemill_events::event::splice_enrichment;

    use super::*;
    use crate::rules::Rules;

    const HOUR: i64 = 3_600_000;

    fn now() -> Timestamp {
        Timestamp::saturating_from_millis(1_800_000_000_000)
    }

    fn rules(saved: &Saved) -> EventRules {
        let mut rules = Rules::default();
        let text = include_str!("../rules/fraud_detection.yaml");
        rules
            .add("rule.yaml", text, &tidemill_definitions::Metrics::load(None).expect("metrics"))
            .expect("the rule is right");
        EventRules::new(rules.event, saved, Arc::default())
    }

    fn order(id: &str, subject: &str, time: Timestamp, price: &str) -> serde_json::Value {
        json!({
            "specversion": "1.0", "id": id, "source": "shop", "type": "order.placed", "time": time, "subject": subject,
            "clientip": "203.0.113.9",
            "data": { "order_id": id, "items": [
                { "product_id": "p1", "quantity": 2, "unit_price": price },
                { "product_id": "p2", "quantity": 1, "unit_price": "0.10" },
            ]},
        })
    }

    fn batch(raw_seq: u64, events: &[(serde_json::Value, Enrichment)]) -> EnrichedBatch {
        let mut lines = Vec::new();
        for (event, enrichment) in events {
            splice_enrichment(event.to_string().as_bytes(), enrichment, &mut lines).expect("serialises");
        }
        EnrichedBatch {
            partition: Partition::new(3),
            raw_seq,
            raw_prev: raw_seq - 1,
            remade: None,
            ingested_at: now(),
            refdata: 1,
            count: events.len() as u32,
            lines: lines.into(),
            trace: None,
        }
    }

    fn from(country: &str, address: &str) -> Enrichment {
        Enrichment {
            region: "Europe".into(),
            country: Some(country.into()),
            ip_country: Some(address.into()),
            ..Enrichment::default()
        }
    }

    fn apply(rules: &EventRules, batch: &EnrichedBatch) -> Changes {
        let mut changes = Changes::default();
        rules.apply(batch, now(), &mut changes);
        changes
    }

    #[test]
    fn signals_add_up_and_an_alert_says_which() {
        let rules = rules(&Saved::default());
        let quiet = batch(1, &[(order("1", "c1", now(), "1500.00"), from("GB", "GB"))]);
        assert!(apply(&rules, &quiet).alerts.is_empty(), "one signal of 40 is not enough");
        let loud = batch(2, &[(order("2", "c2", now(), "1500.00"), from("GB", "NG"))]);
        let alerts = apply(&rules, &loud).alerts;
        assert_eq!(alerts.len(), 1);
        let firing = &alerts[0].firing;
        assert_eq!(firing.title, "Suspicious order of c2");
        assert_eq!(
            firing.summary,
            "Score 80: large amount, country differs from address. Amount 3000.10, country GB, address in NG."
        );
        assert_eq!(firing.dimensions["ip_country"], "NG");
        assert_eq!(firing.values["amount"], Value::Amount("3000.10".parse().expect("an amount")));
        assert_eq!(
            firing.id,
            apply(&self::rules(&Saved::default()), &loud).alerts[0].firing.id,
            "the id is of the event"
        );
    }

    #[test]
    fn duplicates_history_and_other_types_are_passed_over() {
        let rules = rules(&Saved::default());
        let duplicate = Enrichment { duplicate: true, ..from("GB", "NG") };
        let old = order("2", "c2", now().plus_millis(-25 * HOUR), "9000.00");
        let mut view = order("3", "c3", now(), "9000.00");
        view["type"] = "product.viewed".into();
        let ahead = order("4", "c4", now().plus_millis(25 * HOUR), "9000.00");
        let events = [
            (order("1", "c1", now(), "9000.00"), duplicate),
            (old, from("GB", "NG")),
            (view, from("GB", "NG")),
            (ahead, from("GB", "NG")),
        ];
        let changes = apply(&rules, &batch(1, &events));
        assert!(changes.alerts.is_empty());
        assert_eq!(changes.observations, None, "and none of them is counted");
    }

    #[test]
    fn velocity_is_counted_and_a_restart_goes_on_counting() {
        let first = rules(&Saved::default());
        let calm = |n: u64| {
            let order = order(&n.to_string(), "c1", now().plus_millis(n as i64), "1.00");
            batch(n, &[(order, from("GB", "GB"))])
        };
        let mut saved = Saved::default();
        for n in 1..=5 {
            let changes = apply(&first, &calm(n));
            assert!(changes.alerts.is_empty());
            saved.observations.extend(changes.observations);
        }
        let restarted = rules(&saved);
        for rules in [&first, &restarted] {
            let alerts = apply(rules, &calm(6)).alerts;
            assert_eq!(alerts.len(), 1, "the sixth order of a customer within ten minutes");
            assert_eq!(alerts[0].firing.values["orders_per_customer"], Value::Count(6));
        }
    }

    #[test]
    fn amounts_are_exact_and_no_spelling_hides_one() {
        let amount = |text: &str| {
            let raw: &RawValue = serde_json::from_str(text).expect("JSON");
            amount_of(&Data::of(Some(raw))).to_string()
        };
        assert_eq!(
            amount(r#"{"items":[{"quantity":3,"unit_price":0.1},{"quantity":"2","unit_price":"1e2"}]}"#),
            "200.30"
        );
        assert_eq!(amount(r#"{"quantity":2,"unit_price":9.99}"#), "19.98");
        assert_eq!(amount(r#"{"amount":"12.5"}"#), "12.50");
        assert_eq!(amount(r#"{"items":[{"quantity":0.5,"unit_price":9999.000001}]}"#), "4999.50");
        assert_eq!(amount("{}"), "0.00");
    }
}
