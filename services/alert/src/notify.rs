//! The outbox: what consumers recorded goes out from here, to ALERTS and to
//! Slack. Both tasks go by the store alone, so a crash between a record and
//! its effect only delays the effect.
//!
//! The outbox needs no epoch. What it writes are marks of what has happened,
//! which are as true of an owner that has lost its lease, and repeating them
//! changes nothing. What can happen twice are its effects. ALERTS drops the
//! second copy of a transition by its message id for two minutes, and readers
//! go by id and state. Slack has no such thing: a message is sent again where
//! Slack has accepted it and the outbox dies before that is recorded, or is
//! stopped (SIGSTOP, a frozen machine) between its last look at the lease and
//! the call, for longer than it takes another replica to take over.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::Value;
use tidemill_bus::Bus;
use tidemill_domain::{SharedClock, Timestamp};
use tidemill_events::AlertTransition;
use tidemill_ownership::Lease;
use tidemill_service::trace;
use tidemill_store::answered;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    config::{LinksConfig, SlackConfig},
    dependencies::{Dependencies, until_done},
    error::Error,
    rules::Alert,
    slack::{self, Failure, Webhook},
    store::{Notification, Store},
    telemetry::{Telemetry, notification_span},
    unit::Unit,
    unless_stopped,
};

/// How often the store is looked at where every alert comes with a call to.
const TICK: Duration = Duration::from_secs(5);
/// And where other replicas record alerts, of which no call tells.
const POLL: Duration = Duration::from_millis(200);
const MINUTE: i64 = 60_000;
/// Transitions read at once.
const PUBLISH_AT_ONCE: i64 = 256;
/// Alerts of a rule read at once, and so the most that a summary tells of.
const TELL_AT_ONCE: i64 = 500;
/// How long an owner that is to give the outbox back may go on publishing what
/// stands in the store.
const PARTING: Duration = Duration::from_secs(2);

/// Tells the two tasks that there is something to do.
#[derive(Debug, Clone, Default)]
pub struct Wake {
    publisher: Arc<Notify>,
    notifier: Arc<Notify>,
}

impl Wake {
    /// There are new alerts.
    pub fn fired(&self) {
        self.publisher.notify_one();
        self.notifier.notify_one();
    }
}

/// What both tasks work with, for as long as this replica owns the outbox.
#[derive(Clone)]
pub struct Outbox {
    /// The store.
    pub store: Store,
    /// The log.
    pub bus: Bus,
    /// The outbox's lease.
    pub lease: Lease<Unit>,
    /// Whether this replica owns the whole work, so that no alert is recorded
    /// elsewhere.
    pub is_alone: Arc<dyn Fn() -> bool + Send + Sync>,
    /// What may be away.
    pub dependencies: Dependencies,
    /// Who is told of new alerts.
    pub wake: Wake,
    /// What time it is.
    pub clock: SharedClock,
    /// Metrics.
    pub telemetry: Arc<Telemetry>,
}

impl Outbox {
    /// Publishes and sends until the outbox is to be given back. What the
    /// notifier settles last is published too.
    pub async fn run(self, notifier: Option<Notifier>) -> Result<(), Error> {
        let told = CancellationToken::new();
        let tell = async {
            let ended = match notifier {
                Some(notifier) => notifier.run(&self).await,
                None => Err(self.stopped().await),
            };
            told.cancel();
            ended
        };
        let ended =
            tokio::try_join!(async { unless_stopped(tell.await) }, async { unless_stopped(self.publish(&told).await) });
        // Whoever owns it next finds out for itself.
        self.dependencies.slack.close();
        ended.map(|_| ())
    }

    async fn stopped(&self) -> Error {
        self.lease.stop().cancelled().await;
        Error::Stopped
    }

    fn tick(&self) -> Duration {
        if (self.is_alone)() { TICK } else { POLL }
    }

    /// Publishes transitions until there is nobody who makes more of them.
    async fn publish(&self, told: &CancellationToken) -> Result<(), Error> {
        while !told.is_cancelled() {
            self.publish_all(told).await?;
            tokio::select! {
                () = self.wake.publisher.notified() => {}
                () = sleep(self.tick()) => {}
                () = told.cancelled() => {}
            }
        }
        // Now or never: whoever owns the outbox next does what is left.
        match timeout(PARTING, self.publish_rest()).await {
            Ok(Err(error)) if !error.is_transient() => Err(error),
            _ => Ok(()),
        }
    }

    async fn publish_all(&self, stop: &CancellationToken) -> Result<(), Error> {
        let Dependencies { nats, store, .. } = &self.dependencies;
        loop {
            let transitions = until_done(store, stop, || answered(self.store.unpublished(PUBLISH_AT_ONCE))).await?;
            if transitions.is_empty() {
                return Ok(());
            }
            for transition in &transitions {
                if stop.is_cancelled() || !self.lease.is_held() {
                    return Ok(());
                }
                until_done(nats, stop, || self.bus.publish::<AlertTransition>(transition)).await?;
                until_done(store, stop, || answered(self.store.published(transition))).await?;
            }
        }
    }

    async fn publish_rest(&self) -> Result<(), Error> {
        loop {
            let transitions = self.store.unpublished(PUBLISH_AT_ONCE).await?;
            if transitions.is_empty() {
                return Ok(());
            }
            for transition in &transitions {
                if !self.lease.is_held() {
                    return Ok(());
                }
                self.bus.publish::<AlertTransition>(transition).await?;
                self.store.published(transition).await?;
            }
        }
    }
}

/// Sends alerts to Slack.
pub struct Notifier {
    webhook: Webhook,
    links: LinksConfig,
    budget: Budget,
    give_up_after: i64,
}

impl Notifier {
    /// A notifier for this webhook.
    pub fn new(webhook: Webhook, slack: &SlackConfig, links: &LinksConfig) -> Self {
        Self {
            webhook,
            links: links.clone(),
            budget: Budget::new(slack.messages_per_minute),
            give_up_after: slack.give_up_after_millis(),
        }
    }

    /// Sends until the outbox is to be given back. A message under way is
    /// finished.
    async fn run(mut self, outbox: &Outbox) -> Result<(), Error> {
        let stop = outbox.lease.stop();
        while !stop.is_cancelled() {
            let wait = self.send_all(outbox).await?;
            tokio::select! {
                () = outbox.wake.notifier.notified() => {}
                () = sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Sends what is there and allowed now; answers when to look again.
    async fn send_all(&mut self, outbox: &Outbox) -> Result<Duration, Error> {
        let (store, stop) = (&outbox.store, outbox.lease.stop());
        let Dependencies { store: breaker, slack, .. } = &outbox.dependencies;
        let mut wait = outbox.tick();
        let rules = until_done(breaker, stop, || answered(store.unsent_rules())).await?;
        if rules.is_empty() && slack.is_open() {
            // Nobody waits for it any more, so nobody would find out.
            slack.close();
        }
        for rule in rules {
            let now = outbox.clock.now();
            let left = self.budget.left(&rule, now);
            if left == 0 {
                wait = wait.min(self.budget.refilled_in(&rule, now));
                continue;
            }
            let alerts = until_done(breaker, stop, || answered(store.unsent(&rule, TELL_AT_ONCE))).await?;
            // Where not all can be told one by one, the last message tells of the rest.
            let singly = if alerts.len() > left { left - 1 } else { alerts.len() };
            let (singly, together) = alerts.split_at(singly);
            for alert in singly {
                self.deliver(outbox, &rule, std::slice::from_ref(alert), &slack::message(alert, &self.links)).await?;
            }
            if !together.is_empty() {
                self.deliver(outbox, &rule, together, &slack::summary(together, &self.links)).await?;
            }
        }
        Ok(wait)
    }

    /// Posts one message until it is taken, refused or too old, and records
    /// which. It stays to be sent where the outbox is not this replica's any
    /// more.
    async fn deliver(&mut self, outbox: &Outbox, rule: &str, alerts: &[Alert], message: &Value) -> Result<(), Error> {
        let (breaker, stop) = (&outbox.dependencies.slack, outbox.lease.stop());
        loop {
            let attempt = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Error::Stopped),
                attempt = breaker.attempt() => attempt,
            };
            if !outbox.lease.is_held() {
                // Another replica may be sending the same by now.
                return Err(outbox.stopped().await);
            }
            let (outcome, reason) = match self.post(alerts, message).await {
                Ok(()) => {
                    attempt.succeeded();
                    (Notification::Sent, None)
                }
                Err(Failure::Refused(reason)) => {
                    attempt.succeeded();
                    (Notification::Refused, Some(reason))
                }
                Err(Failure::Transient { reason, retry_after }) => {
                    outbox.telemetry.attempt_failed(&reason, retry_after);
                    attempt.failed(&reason);
                    if !self.is_too_late(alerts, outbox.clock.now()) {
                        tokio::select! {
                            () = sleep(retry_after.unwrap_or_default()) => {}
                            () = stop.cancelled() => {}
                        }
                        continue;
                    }
                    (Notification::Expired, Some(reason))
                }
            };
            self.budget.spend(rule, outbox.clock.now());
            return self.settle(outbox, alerts, outcome, reason.as_deref()).await;
        }
    }

    async fn post(&self, alerts: &[Alert], message: &Value) -> Result<(), Failure> {
        let span = notification_span(alerts, self.webhook.host());
        let parent = trace::traceparent_of(&span).or_else(|| alerts.iter().find_map(|alert| alert.parent));
        let (status, result) = self.webhook.post(message, parent).instrument(span.clone()).await;
        if let Some(status) = status {
            span.record("http.response.status_code", status);
        }
        if result.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        result
    }

    fn is_too_late(&self, alerts: &[Alert], now: Timestamp) -> bool {
        alerts.iter().all(|alert| alert.firing.at.plus_millis(self.give_up_after) < now)
    }

    /// What Slack has taken must be recorded, or it would be sent again.
    async fn settle(
        &self,
        outbox: &Outbox,
        alerts: &[Alert],
        outcome: Notification,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let ids: Vec<Uuid> = alerts.iter().map(|alert| alert.firing.id).collect();
        let (now, stop) = (outbox.clock.now(), outbox.lease.stop());
        let settle = || answered(outbox.store.settle(&ids, outcome, now, reason));
        until_done(&outbox.dependencies.store, stop, settle).await?;
        outbox.telemetry.settled(alerts.len(), outcome, reason);
        outbox.wake.publisher.notify_one();
        Ok(())
    }
}

/// Messages that each rule may still send in the minute that began with its
/// first one.
#[derive(Debug)]
struct Budget {
    per_minute: usize,
    spent: HashMap<String, (Timestamp, usize)>,
}

impl Budget {
    fn new(per_minute: usize) -> Self {
        Self { per_minute, spent: HashMap::new() }
    }

    fn left(&mut self, rule: &str, now: Timestamp) -> usize {
        self.spent.retain(|_, (since, _)| since.plus_millis(MINUTE) > now);
        self.per_minute - self.spent.get(rule).map_or(0, |(_, spent)| *spent).min(self.per_minute)
    }

    fn spend(&mut self, rule: &str, now: Timestamp) {
        self.spent.entry(rule.to_owned()).or_insert((now, 0)).1 += 1;
    }

    fn refilled_in(&self, rule: &str, now: Timestamp) -> Duration {
        let since = self.spent.get(rule).map_or(now, |(since, _)| *since);
        let millis = since.millis().saturating_add(MINUTE).saturating_sub(now.millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or_default().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_per_rule_and_comes_back_after_a_minute() {
        let at = Timestamp::saturating_from_millis;
        let mut budget = Budget::new(2);
        budget.spend("A", at(0));
        budget.spend("A", at(1000));
        assert_eq!((budget.left("A", at(2000)), budget.left("B", at(2000))), (0, 2));
        assert_eq!(budget.refilled_in("A", at(2000)), Duration::from_secs(58));
        assert_eq!(budget.left("A", at(MINUTE)), 2);
    }
}
