//! The outbox: what consumers recorded goes out from here, to ALERTS and to
//! Slack. Both tasks go by the store alone, so a crash between a record and
//! its effect only delays the effect.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::Value;
use tidemill_bus::Bus;
use tidemill_domain::Timestamp;
use tidemill_service::{Context, trace};
use tokio::{sync::Notify, time::sleep};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    backoff::Backoff,
    config::{LinksConfig, SlackConfig},
    error::Error,
    rules::Alert,
    slack::{self, Failure, Webhook},
    store::{Notification, Store},
    telemetry::{Telemetry, notification_span},
};

/// How often the store is looked at without a call to.
const TICK: Duration = Duration::from_secs(5);
const MINUTE: i64 = 60_000;
/// Transitions read at once.
const PUBLISH_AT_ONCE: i64 = 256;
/// Alerts of a rule read at once, and so the most that a summary tells of.
const TELL_AT_ONCE: i64 = 500;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

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

/// Publishes transitions until shutdown.
pub async fn publish(context: Context, bus: Bus, store: Store, wake: Wake) -> Result<(), Error> {
    let mut attempts = Backoff::new(&context, "publisher");
    while !context.shutdown.is_cancelled() {
        match publish_all(&context, &bus, &store).await {
            Err(error) => attempts.failed(error).await?,
            Ok(()) => {
                attempts.succeeded();
                tokio::select! {
                    () = wake.publisher.notified() => {}
                    () = sleep(TICK) => {}
                    () = context.shutdown.cancelled() => {}
                }
            }
        }
    }
    Ok(())
}

async fn publish_all(context: &Context, bus: &Bus, store: &Store) -> Result<(), Error> {
    loop {
        let transitions = store.unpublished(PUBLISH_AT_ONCE).await?;
        if transitions.is_empty() {
            return Ok(());
        }
        for transition in &transitions {
            let on_retry = |error: &tidemill_bus::Error| context.health.unready("publisher", error.to_string());
            tokio::select! {
                stored = bus.publish_until_stored(transition, on_retry) => stored?,
                () = context.shutdown.cancelled() => return Ok(()),
            };
            store.published(transition).await?;
        }
    }
}

/// Sends alerts to Slack.
pub struct Notifier {
    context: Context,
    store: Store,
    webhook: Webhook,
    links: LinksConfig,
    budget: Budget,
    give_up_after: i64,
    wake: Wake,
    telemetry: Arc<Telemetry>,
}

impl Notifier {
    /// A notifier for this webhook.
    pub fn new(
        context: Context,
        store: Store,
        webhook: Webhook,
        (slack, links): (&SlackConfig, &LinksConfig),
        wake: Wake,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self {
            context,
            store,
            webhook,
            links: links.clone(),
            budget: Budget::new(slack.messages_per_minute),
            give_up_after: slack.give_up_after_millis(),
            wake,
            telemetry,
        }
    }

    /// Sends until shutdown. A message under way is finished.
    pub async fn run(mut self) -> Result<(), Error> {
        loop {
            let wait = match self.send_all().await {
                Ok(wait) => wait,
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, "alerts to be sent cannot be read or settled; trying again");
                    TICK
                }
                Err(error) => return Err(error),
            };
            tokio::select! {
                () = self.wake.notifier.notified() => {}
                () = sleep(wait) => {}
                () = self.context.shutdown.cancelled() => return Ok(()),
            }
        }
    }

    /// Sends what is there and allowed now; answers when to look again.
    async fn send_all(&mut self) -> Result<Duration, Error> {
        let mut wait = TICK;
        for rule in self.store.unsent_rules().await? {
            let now = self.context.clock.now();
            let left = self.budget.left(&rule, now);
            if left == 0 {
                wait = wait.min(self.budget.refilled_in(&rule, now));
                continue;
            }
            let alerts = self.store.unsent(&rule, TELL_AT_ONCE).await?;
            // Where not all can be told one by one, the last message tells of the rest.
            let singly = if alerts.len() > left { left - 1 } else { alerts.len() };
            let (singly, together) = alerts.split_at(singly);
            for alert in singly {
                self.deliver(&rule, std::slice::from_ref(alert), &slack::message(alert, &self.links)).await?;
            }
            if !together.is_empty() {
                self.deliver(&rule, together, &slack::summary(together, &self.links)).await?;
            }
            if self.context.shutdown.is_cancelled() {
                break;
            }
        }
        Ok(wait)
    }

    /// Posts one message until it is taken, refused or too old, and records
    /// which. On shutdown it stays to be sent.
    async fn deliver(&mut self, rule: &str, alerts: &[Alert], message: &Value) -> Result<(), Error> {
        let mut wait = FIRST_WAIT;
        while !self.context.shutdown.is_cancelled() {
            let (outcome, reason) = match self.post(alerts, message).await {
                Ok(()) => (Notification::Sent, None),
                Err(Failure::Refused(reason)) => (Notification::Refused, Some(reason)),
                Err(Failure::Transient { reason, .. }) if self.is_too_late(alerts) => {
                    (Notification::Expired, Some(reason))
                }
                Err(Failure::Transient { reason, retry_after }) => {
                    let pause = retry_after.unwrap_or(wait);
                    self.telemetry.attempt_failed(&reason, pause);
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = self.context.shutdown.cancelled() => {}
                    }
                    wait = (wait * 2).min(LONGEST_WAIT);
                    continue;
                }
            };
            self.budget.spend(rule, self.context.clock.now());
            return self.settle(alerts, outcome, reason.as_deref()).await;
        }
        Ok(())
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

    fn is_too_late(&self, alerts: &[Alert]) -> bool {
        let now = self.context.clock.now();
        alerts.iter().all(|alert| alert.firing.at.plus_millis(self.give_up_after) < now)
    }

    /// What Slack has taken must be recorded, or it would be sent again: this
    /// is tried for as long as the process lives.
    async fn settle(&self, alerts: &[Alert], outcome: Notification, reason: Option<&str>) -> Result<(), Error> {
        let ids: Vec<Uuid> = alerts.iter().map(|alert| alert.firing.id).collect();
        let now = self.context.clock.now();
        let mut attempts = Backoff::new(&self.context, "store");
        while let Err(error) = self.store.settle(&ids, outcome, now, reason).await {
            attempts.failed(error).await?;
        }
        attempts.succeeded();
        self.telemetry.settled(alerts.len(), outcome, reason);
        self.wake.publisher.notify_one();
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
