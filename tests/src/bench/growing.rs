//! A suite for each step of what grows.

use std::path::Path;

use tidemill_domain::{Clock, SystemClock};

use super::{
    Bench, Options, Sustained,
    growth::{self, Growth, GrowthPoint},
    held, reference_job,
    report::JobFigures,
};
use crate::{error::Error, local::ports::Ports};

/// Measures what an event costs as something grows, and keeps the curves in a file.
///
/// # Errors
/// Where the run could not be held to its end.
pub async fn grow(options: &Options, grown: &[Growth], file: &Path) -> Result<Vec<GrowthPoint>, Error> {
    held(options, async |bench| {
        let catalogue = bench.folder.join("products.csv");
        bench.generator.write_catalogue(&catalogue).await?;
        let (mut ports, mut all) = (Ports::new(), Vec::new());
        for grows in grown {
            // Kept at once: what comes next may fail.
            let points = bench.curve(*grows, &catalogue, &mut ports).await?;
            growth::keep(file, SystemClock.now(), bench.store.name(), &points)?;
            all.extend(points);
        }
        Ok(all)
    })
    .await
}

impl Bench {
    /// One suite for each step, so that none has what another left.
    async fn curve(&self, grows: Growth, catalogue: &Path, ports: &mut Ports) -> Result<Vec<GrowthPoint>, Error> {
        let mut points = Vec::new();
        for step in grows.steps().iter().copied() {
            let name = format!("{}-{step}", grows.title().replace(' ', "-"));
            let suite = self.suite(&name, catalogue, grows.scale(step), ports).await?;
            let what = format!("{step} {}", grows.title());
            let Sustained { load, before, after } =
                self.sustained_as(&what, &suite, reference_job(), |load| grows.load(step, load)).await?;
            suite.stop().await?;
            points.push(GrowthPoint::new(grows, step, JobFigures::of(&load, &before, &after), &load));
        }
        Ok(points)
    }
}
