//! A suite for each step of what grows.

use std::path::Path;

use tidemill_domain::{Clock, SystemClock};

use super::{
    Bench, Options, Sustained,
    growth::{self, Growth, GrowthPoint},
    reference_job,
    report::JobFigures,
};
use crate::{error::Error, journal::Journal, local::ports::Ports};

/// Measures what an event costs as something grows, and keeps the curves in a file.
///
/// # Errors
/// Where the run could not be held to its end.
pub async fn grow(options: &Options, grown: &[Growth], file: &Path) -> Result<Vec<GrowthPoint>, Error> {
    tidemill_service::install_crypto();
    let parent = options.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = parent.join(format!("tidemill-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
    let journal = Journal::new(&folder)?;
    let bench = Bench::new(options, folder.clone(), journal.clone())?;
    let points = tokio::select! {
        points = bench.grow(grown) => points,
        _ = tokio::signal::ctrl_c() => Err(Error::Interrupted),
    };
    journal.finish();
    let points = points?;
    growth::keep(file, SystemClock.now(), bench.store.name(), &points)?;
    if !options.keep_folder {
        std::fs::remove_dir_all(&folder).map_err(Error::file(&folder))?;
    }
    Ok(points)
}

impl Bench {
    /// One suite for each step, so that none has what another left.
    async fn grow(&self, grown: &[Growth]) -> Result<Vec<GrowthPoint>, Error> {
        let catalogue = self.folder.join("products.csv");
        self.generator.write_catalogue(&catalogue).await?;
        let (mut ports, mut points) = (Ports::new(), Vec::new());
        for (grows, step) in grown.iter().flat_map(|grows| grows.steps().iter().map(move |step| (*grows, *step))) {
            let name = format!("{}-{step}", grows.title().replace(' ', "-"));
            let suite = self.suite(&name, &catalogue, grows.scale(step), &mut ports).await?;
            let what = format!("{step} {}", grows.title());
            let Sustained { load, before, after } =
                self.sustained_as(&what, &suite, reference_job(), |load| grows.load(step, load)).await?;
            suite.stop().await?;
            points.push(GrowthPoint::new(grows, step, JobFigures::of(&load, &before, &after), &load));
        }
        Ok(points)
    }
}
