//! How often something is done that costs as much for one as for many.

use std::time::Duration;

use tokio::time::Instant;

/// Rests so many times as long as what was done took: it takes a ninth of the time at
/// most.
const RESTS: u32 = 8;

/// A pace that follows the load. What comes after a while is done at once. Else there
/// is a rest: longer where what is done takes longer, as on a machine that is busy, so
/// that more is done at a time.
#[derive(Debug, Clone, Copy)]
pub struct LoadPace {
    least: Duration,
    most: Duration,
    until: Instant,
}

impl LoadPace {
    /// Rests for `least` to `most`.
    pub fn new(least: Duration, most: Duration) -> Self {
        Self { least, most, until: Instant::now() }
    }

    /// It was done, and began then.
    pub fn done(&mut self, begun: Instant) {
        let now = Instant::now();
        let rest = now.saturating_duration_since(begun).saturating_mul(RESTS);
        self.until = now + rest.clamp(self.least, self.most);
    }

    /// It is to be done again at once: there is as much to do as fits.
    pub fn hurry(&mut self) {
        self.until = Instant::now();
    }

    /// When it may be done again.
    pub fn until(&self) -> Instant {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_millis(20);
    const MOST: Duration = Duration::from_millis(200);

    async fn rest_after(took: Duration) -> Duration {
        let mut pace = LoadPace::new(LEAST, MOST);
        let begun = Instant::now();
        assert!(pace.until() <= begun, "what comes first waits");
        tokio::time::advance(took).await;
        pace.done(begun);
        pace.until() - Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn rests_longer_where_it_takes_longer() {
        assert_eq!(rest_after(Duration::from_millis(1)).await, LEAST);
        assert_eq!(rest_after(Duration::from_millis(10)).await, Duration::from_millis(80));
        assert_eq!(rest_after(Duration::from_secs(3)).await, MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_rest_where_there_is_more_to_do_than_fits() {
        let mut pace = LoadPace::new(LEAST, MOST);
        pace.done(Instant::now());
        pace.hurry();
        assert_eq!(pace.until(), Instant::now());
    }
}
