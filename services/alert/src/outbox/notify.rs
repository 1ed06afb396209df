//! From the store to Slack.

use std::time::Duration;

use serde_json::Value;
use tidemill_domain::Timestamp;
use tidemill_service::trace;
use tidemill_store::answered;
use tokio::time::sleep;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    budget::Budget,
    slack::{self, PostFailure, Webhook},
    tenure::Tenure,
};
use crate::{
    alert::{FiredAlert, Notification},
    config::{AlertLinksConfig, SlackConfig},
    dependencies::{Dependencies, until_done},
    error::Error,
    telemetry::notification_span,
};

/// Alerts of a rule read at once, and so the most that a summary tells of.
const AT_ONCE: i64 = 500;

/// Sends alerts to Slack.
pub(super) struct Notifier {
    webhook: Webhook,
    links: AlertLinksConfig,
    budget: Budget,
    give_up_after: i64,
}

impl Notifier {
    pub(super) fn new(webhook: Webhook, slack: &SlackConfig, links: &AlertLinksConfig) -> Self {
        Self {
            webhook,
            links: links.clone(),
            budget: Budget::new(slack.messages_per_minute),
            give_up_after: slack.give_up_after_millis(),
        }
    }

    /// Sends until the outbox is to be given back. A message under way is
    /// finished.
    pub(super) async fn run(mut self, tenure: &Tenure) -> Result<(), Error> {
        let stop = tenure.lease.stop();
        while !stop.is_cancelled() {
            let wait = self.send_all(tenure).await?;
            tokio::select! {
                () = tenure.app.wake.notifier.notified() => {}
                () = sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Sends what is there and allowed now; answers when to look again.
    async fn send_all(&mut self, tenure: &Tenure) -> Result<Duration, Error> {
        let (app, stop) = (&tenure.app, tenure.lease.stop());
        let Dependencies { store: breaker, slack, .. } = &app.dependencies;
        let mut wait = tenure.tick();
        let rules = until_done(breaker, stop, || answered(app.store.unsent_rules())).await?;
        if rules.is_empty() && slack.is_open() {
            // Nobody waits for it any more, so nobody would find out.
            slack.close();
        }
        for rule in rules {
            let now = app.context.clock.now();
            let left = self.budget.left(&rule, now);
            if left == 0 {
                wait = wait.min(self.budget.refilled_in(&rule, now));
                continue;
            }
            let alerts = until_done(breaker, stop, || answered(app.store.unsent(&rule, AT_ONCE))).await?;
            // Where not all can be told one by one, the last message tells of the rest.
            let singly = if alerts.len() > left { left - 1 } else { alerts.len() };
            let (singly, together) = alerts.split_at(singly);
            for alert in singly {
                self.deliver(tenure, &rule, std::slice::from_ref(alert), &slack::message(alert, &self.links)).await?;
            }
            if !together.is_empty() {
                self.deliver(tenure, &rule, together, &slack::summary(together, &self.links)).await?;
            }
        }
        Ok(wait)
    }

    /// Posts one message until it is taken, refused or too old, and records
    /// which. It stays to be sent where the outbox is not this replica's any
    /// more.
    async fn deliver(
        &mut self,
        tenure: &Tenure,
        rule: &str,
        alerts: &[FiredAlert],
        message: &Value,
    ) -> Result<(), Error> {
        let (app, stop) = (&tenure.app, tenure.lease.stop());
        loop {
            let attempt = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Error::Stopped),
                attempt = app.dependencies.slack.attempt() => attempt,
            };
            if !tenure.lease.is_held() {
                // Another replica may be sending the same by now.
                return Err(tenure.stopped().await);
            }
            let (outcome, reason) = match self.post(alerts, message).await {
                Ok(()) => {
                    attempt.succeeded();
                    (Notification::Sent, None)
                }
                Err(PostFailure::Refused(reason)) => {
                    attempt.succeeded();
                    (Notification::Refused, Some(reason))
                }
                Err(PostFailure::Transient { reason, retry_after }) => {
                    app.telemetry.attempt_failed(&reason, retry_after);
                    attempt.failed(&reason);
                    if !self.is_too_late(alerts, app.context.clock.now()) {
                        tokio::select! {
                            () = sleep(retry_after.unwrap_or_default()) => {}
                            () = stop.cancelled() => {}
                        }
                        continue;
                    }
                    (Notification::Expired, Some(reason))
                }
            };
            self.budget.spend(rule, app.context.clock.now());
            return settle(tenure, alerts, outcome, reason.as_deref()).await;
        }
    }

    async fn post(&self, alerts: &[FiredAlert], message: &Value) -> Result<(), PostFailure> {
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

    fn is_too_late(&self, alerts: &[FiredAlert], now: Timestamp) -> bool {
        alerts.iter().all(|alert| alert.firing.at.plus_millis(self.give_up_after) < now)
    }
}

/// What Slack has taken must be recorded, or it would be sent again.
async fn settle(
    Tenure { app, lease }: &Tenure,
    alerts: &[FiredAlert],
    outcome: Notification,
    reason: Option<&str>,
) -> Result<(), Error> {
    let ids: Vec<Uuid> = alerts.iter().map(|alert| alert.firing.id).collect();
    let now = app.context.clock.now();
    let settle = || answered(app.store.settle(&ids, outcome, now, reason));
    until_done(&app.dependencies.store, lease.stop(), settle).await?;
    app.telemetry.settled(alerts.len(), outcome, reason);
    app.wake.publisher.notify_one();
    Ok(())
}
