use std::collections::BTreeMap;

use super::*;

fn play(seed: u64) -> (Vec<Vec<u8>>, Expected) {
    let mut scenario =
        Scenario::new(seed, 5_000, Timestamp::saturating_from_millis(1_700_000_000_000), 1, Currency::EUR);
    let lines = scenario.by_ref().map(|step| step.line).collect();
    (lines, scenario.expected)
}

#[test]
fn the_same_seed_plays_the_same() {
    assert_eq!(play(1), play(1));
    assert_ne!(play(1).0, play(2).0);
}

#[test]
fn every_kind_of_event_has_its_part() {
    let (lines, expected) = play(3);
    assert_eq!((lines.len(), expected.received), (5_000, 5_000));
    assert!(expected.rejected > 5 && expected.late > 5 && expected.duplicate > 10, "{expected:?}");
    let text = lines.concat();
    let text = String::from_utf8_lossy(&text);
    for kind in ["product.viewed", "cart.item_added", "order.placed", "order.cancelled", "order.refunded"] {
        assert!(text.contains(kind), "{kind}");
    }
    assert!(text.contains("\"unit_price\":49.99"), "prices keep their spelling");
    for part in ["\"currency\":\"EUR\"", "\"currency\":\"GBP\"", "\"discount\":3.0"] {
        assert!(text.contains(part), "{part}");
    }
}

/// What comes back was sold, under a product that the shop knows.
#[test]
fn refunds_name_items_of_orders_that_were_placed_before() {
    let mut scenario = Scenario::new(5, 20_000, Timestamp::saturating_from_millis(1_700_000_000_000), 1, Currency::EUR);
    let (mut sold, mut refunds) = (BTreeMap::new(), 0);
    let lines: Vec<_> = scenario.by_ref().map(|step| step.line).collect();
    for event in lines.iter().filter_map(|line| serde_json::from_slice::<Value>(line).ok()) {
        let id = event["data"]["order_id"].as_str().unwrap_or_default().to_owned();
        match event["type"].as_str() {
            Some("order.placed") => drop(sold.insert(id, event["data"].clone())),
            Some("order.refunded") => {
                let (item, order) = (&event["data"]["items"][0], &sold[&id]);
                let is_it = |line: &Value| line["product_id"] == item["product_id"];
                assert!(order["items"].as_array().expect("a list").iter().any(is_it), "{event}");
                assert_eq!(order["currency"], event["data"]["currency"]);
                refunds += 1;
            }
            Some("order.cancelled") => assert!(sold.contains_key(&id), "{event}"),
            _ => {}
        }
    }
    assert!(refunds > 10, "{refunds}");
}

/// Visitors look at what goes together, and buy it together.
#[test]
fn who_looks_at_strings_is_shown_guitars() {
    use tidemill_domain::Partition;
    use tidemill_recommender::{Index, Interaction, InteractionKind, Query, Recent, RecommenderSettings};

    let now = Timestamp::saturating_from_millis(1_700_000_000_000);
    let mut scenario = Scenario::new(1, 5_000, now, 1, Currency::EUR);
    let mut index = Index::new(RecommenderSettings::default()).expect("right settings");
    let partition = Partition::new(0);
    let lines: Vec<_> = scenario.by_ref().map(|step| step.line).collect();
    for event in lines.iter().filter_map(|line| serde_json::from_slice::<Value>(line).ok()) {
        let Some(visitor) = event["subject"].as_str() else { continue };
        let Some(at) = event["time"].as_str().and_then(|time| time.parse().ok()) else { continue };
        let items = event["data"]["items"].as_array();
        match (event["type"].as_str(), event["data"]["product_id"].as_str(), items) {
            (Some("product.viewed"), Some(item), _) => {
                index.learn(&Interaction { partition, visitor, item, kind: InteractionKind::View, at });
            }
            (Some("order.placed"), _, Some(items)) => {
                let items: Vec<&str> = items.iter().filter_map(|item| item["product_id"].as_str()).collect();
                index.learn_order(partition, visitor, at, items);
            }
            _ => {}
        }
    }
    let strings = "music-guitar-strings";
    let seen = [Recent { item: strings.into(), kind: InteractionKind::View, at: now }];
    let next = index.recommend(&Query { visitor: None, items: &seen, at: now, n: 2 }, |_| true);
    let next: std::collections::BTreeSet<&str> = next.iter().map(|next| next.item.as_str()).collect();
    assert_eq!(next, ["music-acoustic-guitar", "music-guitar-bag"].into());
    let together = index.bought_together(strings, 2, |_| true);
    let together: std::collections::BTreeSet<&str> = together.iter().map(|next| next.item.as_str()).collect();
    assert_eq!(together, ["music-acoustic-guitar", "music-guitar-bag"].into());
}

/// Alerts are of the sale and of fraud, and the time after them is quiet: the
/// built-in rule sees no category take in twice what it did before.
#[test]
fn only_the_sale_is_a_spike() {
    for seed in 1..=5 {
        let now = Timestamp::saturating_from_millis(1_700_000_000_000).floor_to(MINUTE);
        let mut scenario = Scenario::new(seed, 20_000, now, 1, Currency::EUR);
        let mut lines: Vec<_> = scenario.by_ref().map(|step| step.line).collect();
        for minute in 0..30 {
            let live = (0..scenario.live_in(60)).map(|_| scenario.live(now.plus_millis(minute * MINUTE)).line);
            lines.extend(live);
        }
        let spikes = spikes(&lines, now.plus_millis(-MINUTES * MINUTE));
        assert!(spikes.iter().any(|(_, category)| category == "games"), "seed {seed}: {spikes:?}");
        // The great orders of the fraud come within the sale's last minute and the one after it.
        let quiet: Vec<_> = spikes.iter().filter(|(minute, _)| !(SALE.start..=SALE.end).contains(minute)).collect();
        assert!(quiet.is_empty(), "seed {seed}: {quiet:?}");
    }
}

/// Where a category takes in more than twice the mean of the ten minutes before,
/// and 500 at least.
fn spikes(lines: &[Vec<u8>], start: Timestamp) -> Vec<(i64, String)> {
    let mut revenue: BTreeMap<(String, i64), f64> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for event in lines.iter().filter_map(|line| serde_json::from_slice::<Value>(line).ok()) {
        let time = event["time"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
        let minute = time.map_or(-1, |time| (time.millis() - start.millis()).div_euclid(MINUTE));
        if event["type"] != "order.placed" || minute < 0 || !seen.insert(event["id"].to_string()) {
            continue;
        }
        let rate = if event["data"]["currency"] == "GBP" { 1.17 } else { 1.0 };
        for item in event["data"]["items"].as_array().into_iter().flatten() {
            let number = |name: &str| item[name].as_f64().unwrap_or_default();
            let category = item["product_id"].as_str().and_then(|sku| sku.split('-').next()).unwrap_or_default();
            let paid = number("quantity") * number("unit_price") - number("discount");
            *revenue.entry((category.to_owned(), minute)).or_default() += paid * rate;
        }
    }
    let at = |category: &str, minute: i64| revenue.get(&(category.to_owned(), minute)).copied();
    let is_spike = |((category, minute), paid): (&(String, i64), &f64)| {
        let before: Vec<f64> = (minute - 10..*minute).filter_map(|minute| at(category, minute)).collect();
        let mean = before.iter().sum::<f64>() / f64::from(u32::try_from(before.len().max(1)).expect("ten"));
        (before.len() >= 5 && *paid > 2.0 * mean && *paid >= 500.0).then(|| (*minute, category.clone()))
    };
    revenue.iter().filter_map(is_spike).collect()
}
