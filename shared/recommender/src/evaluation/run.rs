//! A run: every model predicts every case.

use std::time::Instant;

use super::{
    baselines::{Model, PairedItems, Pairing, Popularity},
    figures::Tally,
    nearest::Nearest,
    report::{EvaluationReport, ModelReport},
    session_file::{ItemNumbers, Visit},
};
use crate::settings::{RecommenderSettings, SettingsError};

/// How many items are recommended in each case.
pub const CUTOFF: usize = 20;

/// How many events of these sessions are predicted.
#[must_use]
pub fn cases(test: &[Visit]) -> u64 {
    test.iter().map(|visit| visit.events.len().saturating_sub(1) as u64).sum()
}

/// Lets the index and the baselines learn `train`, and predict `test`.
/// `progress` is told of each prediction: `cases` times the four models.
///
/// # Errors
/// If a setting is out of its range.
pub fn evaluate(
    train: &[Visit],
    test: &[Visit],
    catalogue: &ItemNumbers,
    settings: &RecommenderSettings,
    mut progress: impl FnMut(),
) -> Result<EvaluationReport, SettingsError> {
    let mut counts = vec![0_u64; catalogue.len()];
    train.iter().flat_map(|visit| &visit.events).for_each(|event| counts[event.item as usize] += 1);
    let mut nearest = Nearest::learn(train, catalogue, settings)?;
    let mut popularity = Popularity::of(&counts, catalogue);
    let mut cosine = PairedItems::of(Pairing::Cosine, train, catalogue);
    let mut rules = PairedItems::of(Pairing::Rules, train, catalogue);
    let models: [(&'static str, &mut dyn Model); 4] = [
        ("nearest sessions", &mut nearest),
        ("popularity", &mut popularity),
        ("item-knn", &mut cosine),
        ("association rules", &mut rules),
    ];
    let models = models.map(|(name, model)| measure(name, model, test, &counts, &mut progress));
    Ok(EvaluationReport {
        cases: cases(test),
        sessions: test.iter().filter(|visit| visit.events.len() > 1).count() as u64,
        train_sessions: train.len() as u64,
        train_events: counts.iter().sum(),
        train_items: counts.iter().filter(|count| **count > 0).count() as u64,
        models: models.to_vec(),
    })
}

/// Iterative revealing: each event of a session is predicted from those before it.
fn measure(
    name: &'static str,
    model: &mut dyn Model,
    test: &[Visit],
    counts: &[u64],
    progress: &mut impl FnMut(),
) -> ModelReport {
    let most = counts.iter().max().copied().unwrap_or_default().max(1) as f64;
    let (mut tally, mut took) = (Tally::default(), Vec::new());
    for visit in test {
        for next in 1..visit.events.len() {
            let start = Instant::now();
            let recommended = model.predict(&visit.events[..next], CUTOFF);
            took.push(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
            let popularity: f64 = recommended.iter().map(|&item| counts[item as usize] as f64 / most).sum();
            let mean = popularity / recommended.len().max(1) as f64;
            tally.add(&recommended, visit.events[next].item, mean);
            progress();
        }
    }
    took.sort_unstable();
    let p90_micros = took.get(took.len() * 9 / 10).copied().unwrap_or_default();
    let items = counts.iter().filter(|count| **count > 0).count();
    ModelReport { name, figures: tally.figures(items), p90_micros }
}
