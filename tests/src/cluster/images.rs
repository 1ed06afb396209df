//! Gives the images to the cluster.

use std::time::Duration;

use super::command::Call;
use crate::{error::Error, journal::Journal, service::Service};

/// An image is read, sent and unpacked on every node.
const DEADLINE: Duration = Duration::from_secs(300);

/// Names of all images of a tag: one a service, and the command line's.
fn names(prefix: &str, tag: &str) -> Vec<String> {
    let all = Service::CHAIN.iter().map(|service| service.name()).chain(["tidemill"]);
    all.map(|name| format!("{prefix}/{name}:{tag}")).collect()
}

/// Gives every image to the cluster, and the same again under the tag of the
/// upgrade. `load` is the command that takes an image's name.
pub(super) async fn give(
    load: &[String],
    prefix: &str,
    [tag, next]: [&str; 2],
    journal: &Journal,
) -> Result<(), Error> {
    let Some(load) = Call::configured(load) else {
        journal.note("no command to load images with: they are taken to be there");
        return Ok(());
    };
    let (current, later) = (names(prefix, tag), names(prefix, next));
    journal.count_to("images", u64::try_from(current.len() * 2).unwrap_or_default());
    for (image, renamed) in current.iter().zip(&later) {
        let found = Call::new("docker").args(["image", "inspect", "--format={{.Id}}", image]).output().await;
        found.map_err(|error| Error::Refused(format!("{image} is not built, run `make images`: {error}")))?;
        Call::new("docker").args(["tag", image, renamed]).output().await?;
    }
    for (n, image) in (1..).zip(current.iter().chain(&later)) {
        load.clone().args([image]).within(DEADLINE).output().await?;
        journal.position(n);
    }
    journal.note(format_args!("{} images are given to the cluster", current.len() + later.len()));
    Ok(())
}
