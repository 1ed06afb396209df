//! Both tasks of the outbox.

use std::sync::Arc;

use tidemill_ownership::Lease;
use tokio_util::sync::CancellationToken;

use super::{notify::Notifier, publish::publish, slack::Webhook, tenure::Tenure};
use crate::{
    app::App,
    error::{Error, unless_stopped},
    unit::AlertUnit,
};

/// Publishes and sends until the outbox is to be given back. What the notifier
/// settles last is published too.
pub(crate) async fn run(app: Arc<App>, lease: Lease<AlertUnit>, webhook: Option<Webhook>) -> Result<(), Error> {
    let notifier = webhook.map(|webhook| Notifier::new(webhook, &app.config.slack, &app.config.links));
    let tenure = Tenure { app, lease };
    let told = CancellationToken::new();
    let tell = async {
        let ended = match notifier {
            Some(notifier) => notifier.run(&tenure).await,
            None => Err(tenure.stopped().await),
        };
        told.cancel();
        ended
    };
    let publish = async { unless_stopped(publish(&tenure, &told).await) };
    let ended = tokio::try_join!(async { unless_stopped(tell.await) }, publish);
    // Whoever owns it next finds out for itself.
    tenure.app.dependencies.slack.close();
    ended.map(|_| ())
}
