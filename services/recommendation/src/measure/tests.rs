use std::collections::BTreeMap;

use proptest::prelude::*;
use tidemill_domain::Timestamp;
use tidemill_recommender::{Index, Interaction, InteractionKind, Query, Recent, RecommenderSettings};

use super::*;
use crate::{
    learning::{LearntEvent, LearntKind, VisitorId},
    model::LearntModel,
    testing::{batch, event, item},
};

/// A view of one of few products by one of few visitors, and whether a batch ends with it.
type Click = (u8, u8, bool);

/// What evaluates one stream as the service does: batch by batch.
fn live(clicks: &[Click]) -> Cases {
    let model = LearntModel::new(RecommenderSettings::default(), 1_000).expect("right settings");
    let (mut all, mut events, mut raw_seq): (_, Vec<LearntEvent>, u64) = (Cases::default(), Vec::new(), 0);
    for (place, (visitor, product, ends)) in clicks.iter().enumerate() {
        let product = item(&format!("p{product}"), "Books", &[]);
        events.push(event(LearntKind::View, &format!("v{visitor}"), place as i64 * 1000, &[product]));
        if *ends || place + 1 == clicks.len() {
            raw_seq += 1;
            let learnt = batch(raw_seq, &std::mem::take(&mut events));
            all.merge(Cases::of(&model, &learnt, 1.0, |_| true));
            model.learn(Partition::new(0), &learnt);
        }
    }
    all
}

/// The same by an index and lists of its own, and the arithmetic of `recommend evaluate`:
/// hits, and the sum of 1 / rank.
fn reference(clicks: &[Click]) -> (u64, u64, f64) {
    let mut index = Index::new(RecommenderSettings::default()).expect("right settings");
    let (mut cases, mut hits, mut reciprocals) = (0, 0, 0.0);
    let mut visits: BTreeMap<u8, Vec<Recent>> = BTreeMap::new();
    let mut unlearnt: Vec<(String, Recent)> = Vec::new();
    for (place, (visitor, product, ends)) in clicks.iter().enumerate() {
        let at = Timestamp::saturating_from_millis(place as i64 * 1000);
        let clicked = Recent { item: format!("p{product}"), kind: InteractionKind::View, at };
        let (visit, name) = (visits.entry(*visitor).or_default(), VisitorId::customer(&format!("v{visitor}")).text());
        if !visit.is_empty() {
            let query = Query { visitor: Some(&name), items: visit, at, n: 20 };
            let rank = index.recommend(&query, |_| true).iter().position(|found| found.item == clicked.item);
            cases += 1;
            if let Some(rank) = rank {
                hits += 1;
                reciprocals += 1.0 / (rank + 1) as f64;
            }
        }
        visit.retain(|recent| recent.item != clicked.item);
        visit.push(clicked.clone());
        unlearnt.push((name, clicked));
        if *ends || place + 1 == clicks.len() {
            for (visitor, Recent { item, kind, at }) in unlearnt.drain(..) {
                let (visitor, item) = (visitor.as_str(), item.as_str());
                index.learn(&Interaction { partition: Partition::new(0), visitor, item, kind, at });
            }
        }
    }
    (cases, hits, reciprocals)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn live_figures_are_those_of_a_reference(
        clicks in proptest::collection::vec((0_u8..8, 0_u8..12, any::<bool>()), 0..120),
    ) {
        let (live, (cases, hits, reciprocals)) = (live(&clicks), reference(&clicks));
        prop_assert_eq!((live.cases, live.hits), (cases, hits));
        // Each is rounded down to a millionth.
        let difference = reciprocals - live.reciprocal_micros as f64 / 1e6;
        prop_assert!((-1e-9..=1e-6 * cases as f64 + 1e-9).contains(&difference), "{}", difference);
    }
}

/// Three visitors look at a, then b; the fourth does so too, and was told so.
#[test]
fn figures_of_known_sessions_are_exact() {
    let clicks: Vec<Click> = (0..4).flat_map(|visitor| [(visitor, 0, true), (visitor, 1, true)]).collect();
    // The first had nobody to learn from. For the others b is the one that follows a.
    assert_eq!(live(&clicks), Cases { cases: 4, hits: 3, reciprocal_micros: 3_000_000 });
}

#[test]
fn history_carts_and_who_is_not_sampled_are_no_cases() {
    let model = LearntModel::new(RecommenderSettings::default(), 1_000).expect("right settings");
    let of = |kind, millis, share| {
        let events = ["a", "b"].map(|id| event(kind, "v", millis, &[item(id, "Books", &[])]));
        let batch = LearntBatch { ingested_at: Timestamp::saturating_from_millis(10_000_000), ..batch(1, &events) };
        Cases::of(&model, &batch, share, |_| true).cases
    };
    assert_eq!(of(LearntKind::View, 9_000_000, 1.0), 1);
    assert_eq!(of(LearntKind::View, 1_000_000, 1.0), 0, "half an hour and more before its intake");
    assert_eq!((of(LearntKind::Cart, 9_000_000, 1.0), of(LearntKind::Order, 9_000_000, 1.0)), (0, 0));
    assert_eq!(of(LearntKind::View, 9_000_000, 0.0), 0);
    let events = ["a", "b", "c", "d"].map(|id| event(LearntKind::View, "v", 1_000, &[item(id, "Books", &[])]));
    let mut left = 2;
    let wants = |_: &LearntEvent| {
        left -= 1;
        left >= 0
    };
    assert_eq!(Cases::of(&model, &batch(1, &events), 1.0, wants).cases, 2, "no more than are wanted");
}

#[test]
fn a_span_ends_with_the_log_and_is_told_once() {
    let mut spans = OpenSpans::new(60_000);
    let (partition, now) = (Partition::new(1), Instant::now());
    let at = |seconds: i64| Timestamp::saturating_from_millis(seconds * 1000);
    let one = Cases { cases: 1, hits: 1, reciprocal_micros: 500_000 };
    spans.add(partition, 7, at(61), one, now);
    spans.add(partition, 9, at(119), one, now);
    assert_eq!(spans.ended(), None);
    spans.add(partition, 12, at(120), Cases::default(), now);
    let ended = spans.ended().expect("a span");
    assert_eq!((ended.from, ended.to, ended.begin, ended.ingested_at), (7, 9, at(60), at(119)));
    let told = event_of(&ended);
    assert_eq!((told["id"].as_str(), told["source"].as_str()), (Some("1-60"), Some("tidemill/recommendation")));
    let data = serde_json::json!({
        "partition": 1, "from": 7, "to": 9, "cutoff": 20, "cases": 2, "hits": 2, "reciprocal_rank": "1.000000",
    });
    assert_eq!(told["data"], data);
    // What comes late of it is not told once more.
    spans.add(partition, 9, at(119), one, now);
    // Silence ends the next one, which has no case and says nothing.
    spans.close(&[partition], at(180), Some(now));
    assert_eq!(spans.ended(), None);
    spans.add(partition, 13, at(200), one, now);
    spans.close(&[partition], at(239), Some(now));
    assert_eq!(spans.ended(), None, "it goes on");
    spans.close(&[partition], at(240), now.checked_sub(Duration::from_millis(1)));
    assert_eq!(spans.ended(), None, "something has just come");
    spans.close(&[partition], at(240), Some(now));
    assert_eq!(spans.ended().map(|span| span.from), Some(13));
    spans.add(partition, 14, at(300), one, now);
    spans.close(&[], at(900), Some(now));
    assert_eq!(spans.ended(), None, "another replica keeps the partition");
}

fn event_of(span: &EvaluatedSpan) -> serde_json::Value {
    serde_json::from_slice(&evaluated(span).expect("encodes").body).expect("JSON")
}
