//! A suite for each step of what grows.

use std::path::Path;

use tidemill_domain::{Clock, SystemClock};

use super::{
    Bench, MINUTE, Options, Sustained,
    generator::Load,
    growth::{self, Growth, GrowthPoint, RestartFigures},
    held,
    machine::rounded,
    reference_job,
    report::JobFigures,
    scale::Scale,
    suite::Suite,
};
use crate::{error::Error, local::ports::Ports, service::Service};

/// Events that are sent to see that all partitions count.
const PROBES: u64 = 500;

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
            let points = match grows {
                Growth::Totals => bench.restarts(&catalogue, &mut ports).await?,
                grows => bench.curve(*grows, &catalogue, &mut ports).await?,
            };
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

    /// Fills a suite, ends aggregation, and waits until it counts again.
    async fn restarts(&self, catalogue: &Path, ports: &mut Ports) -> Result<Vec<GrowthPoint>, Error> {
        let mut points = Vec::new();
        for step in Growth::Totals.steps().iter().copied() {
            let suite = self.suite(&format!("totals-{step}"), catalogue, Scale::default(), ports).await?;
            let load = Growth::Totals.load(step, reference_job());
            let before = suite.usage().await?;
            let report = self.generator.run(&suite, &load).await?;
            let after = suite.usage().await?;
            self.told(&format!("{step} totals"), &report);
            let restart = self.restarted(&suite, &load).await?;
            suite.stop().await?;
            let point = GrowthPoint::new(Growth::Totals, step, JobFigures::of(&report, &before, &after), &report);
            points.push(GrowthPoint { restart: Some(restart), ..point });
        }
        Ok(points)
    }

    async fn restarted(&self, suite: &Suite, load: &Load) -> Result<RestartFigures, Error> {
        let aggregation = Service::Aggregation;
        let bytes = suite.gauge(aggregation, "tidemill_aggregation_state_bytes").await?;
        let totals = suite.gauge(aggregation, "tidemill_aggregation_cells_in_memory").await?;
        let begun = suite.begin_anew(aggregation).await?;
        // One request, which has events of every partition, behind all that was sent.
        let behind = i64::try_from(load.events + 1).unwrap_or_default() * MINUTE;
        let begin = load.begin.map(|begin| begin.plus_millis(behind));
        let probe = Load { events: PROBES, begin, ..load.clone() };
        let report = self.generator.run(suite, &probe).await?;
        let seconds = begun.elapsed().as_secs_f64();
        self.told("after a new start", &report);
        let parts = suite.usage().await?.parts;
        let of = parts.iter().find(|(part, _)| *part == aggregation.name());
        Ok(RestartFigures {
            state_bytes_per_total: rounded(bytes / totals.max(1.0)),
            seconds: rounded(seconds),
            cpu_s: of.map_or(0.0, |(_, usage)| usage.cpu_s),
        })
    }
}
