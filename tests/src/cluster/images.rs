//! Gives the images to the cluster.

use std::time::Duration;

use super::command::Call;
use crate::{error::Error, journal::Journal, service::Service};

/// An image is read, sent and unpacked on every node.
const DEADLINE: Duration = Duration::from_secs(300);

/// Images of a run.
pub(super) struct Images<'a> {
    /// What their names begin with.
    pub(super) prefix: &'a str,
    /// Their tag.
    pub(super) tag: &'a str,
    /// The tag of the upgrade, where there is one: they get it as well.
    pub(super) next: Option<&'a str>,
    /// Whether the lake's is among them.
    pub(super) lake: bool,
}

impl Images<'_> {
    /// Names of all images of a tag: one a service, and the command line's.
    fn names(&self, tag: &str) -> Vec<String> {
        let lake = self.lake.then_some(Service::Lake);
        let all = Service::SUITE.into_iter().chain(lake).map(Service::name).chain(["tidemill"]);
        all.map(|name| format!("{}/{name}:{tag}", self.prefix)).collect()
    }
}

/// Gives every image to the cluster, and the same again under the tag of the
/// upgrade. `load` is the command that takes an image's name.
pub(super) async fn give(load: &[String], images: &Images<'_>, journal: &Journal) -> Result<(), Error> {
    let Some(load) = Call::configured(load) else {
        journal.note("no command to load images with: they are taken to be there");
        return Ok(());
    };
    let current = images.names(images.tag);
    let later = images.next.map(|tag| images.names(tag)).unwrap_or_default();
    journal.count_to("images", u64::try_from(current.len() + later.len()).unwrap_or_default());
    for image in &current {
        let found = Call::new("docker").args(["image", "inspect", "--format={{.Id}}", image]).output().await;
        found.map_err(|error| Error::Refused(format!("{image} is not built, run `make images`: {error}")))?;
    }
    for (image, renamed) in current.iter().zip(&later) {
        Call::new("docker").args(["tag", image, renamed]).output().await?;
    }
    for (n, image) in (1..).zip(current.iter().chain(&later)) {
        load.clone().args([image]).within(DEADLINE).output().await?;
        journal.position(n);
    }
    journal.note(format_args!("{} images are given to the cluster", current.len() + later.len()));
    Ok(())
}
