//! Small shops whose answers can be worked out by hand.

use tidemill_domain::{Partition, Timestamp};

use crate::{Index, Interaction, InteractionKind, MAX_ITEM_BYTES, Query, Recent, RecommenderSettings};

use InteractionKind::{Cart, Order, View};

const HOUR: i64 = 3_600_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(1_700_000_000_000 + millis)
}

fn learn(index: &mut Index, visitor: &str, item: &str, kind: InteractionKind, millis: i64) {
    index.learn(&Interaction { partition: Partition::new(0), visitor, item, kind, at: at(millis) });
}

/// Sessions of one visitor each, one a minute.
fn shop(sessions: &[(InteractionKind, &[&str])]) -> Index {
    let mut index = Index::new(RecommenderSettings::default()).expect("valid");
    for (number, (kind, items)) in sessions.iter().enumerate() {
        let (visitor, millis) = (format!("visitor-{number}"), number as i64 * 60_000);
        match kind {
            Order => index.learn_order(Partition::new(0), &visitor, at(millis), items.iter().copied()),
            View | Cart => items.iter().for_each(|item| learn(&mut index, &visitor, item, *kind, millis)),
        }
    }
    index
}

fn recommended(index: &Index, items: &[&str]) -> Vec<(String, u32)> {
    let items: Vec<Recent> =
        items.iter().map(|&item| Recent { item: item.to_owned(), kind: View, at: at(HOUR) }).collect();
    let query = Query { visitor: None, items: &items, at: at(HOUR), n: 10 };
    let answer = index.recommend(&query, |item| item != "adult");
    answer.into_iter().map(|recommended| (recommended.item, recommended.neighbours)).collect()
}

#[test]
fn who_looks_at_strings_is_shown_guitars_with_the_reason() {
    let index = shop(&[
        (View, &["strings", "guitar"]),
        (View, &["strings", "guitar", "capo"]),
        (View, &["strings", "capo", "guitar", "adult"]),
        (View, &["pen", "paper"]),
    ]);
    assert_eq!(recommended(&index, &["strings"]), [("guitar".to_owned(), 3), ("capo".to_owned(), 2)]);
    assert_eq!(recommended(&index, &["pen"]), [("paper".to_owned(), 1)]);
    assert!(recommended(&index, &["trumpet"]).is_empty() && recommended(&index, &[]).is_empty());
}

#[test]
fn what_a_session_has_is_shown_again_where_visitors_go_back() {
    let once = [(View, &["strings", "guitar", "capo"][..]), (View, &["strings", "guitar", "capo"])];
    assert_eq!(recommended(&shop(&once), &["strings", "guitar"]), [("capo".to_owned(), 2)]);
    let back = ["strings", "guitar", "strings", "guitar", "strings", "guitar", "capo"];
    let again = [(View, &back[..]), (View, &back)];
    let found = recommended(&shop(&again), &["strings", "guitar"]);
    assert!(found.contains(&("strings".to_owned(), 2)), "{found:?}");
}

#[test]
fn a_visitors_own_session_is_no_neighbour_of_itself() {
    let mut index = shop(&[]);
    learn(&mut index, "anna", "strings", View, 0);
    learn(&mut index, "anna", "guitar", Cart, 1000);
    learn(&mut index, "anna", "strings", View, 2000);
    let recent = index.recent(&["anna"], at(3000));
    let told: Vec<_> = recent.iter().map(|recent| (&*recent.item, recent.kind)).collect();
    assert_eq!(told, [("guitar", Cart), ("strings", View)]);
    let query = Query { visitor: Some("anna"), items: &recent, at: at(3000), n: 5 };
    assert!(index.recommend(&query, |_| true).is_empty());
    // After a break she begins another, and her earlier one counts like any other's.
    learn(&mut index, "anna", "strings", View, HOUR);
    let recent = index.recent(&["anna"], at(HOUR));
    assert_eq!((recent.len(), index.session_count(), index.visitor_count()), (1, 2, 1));
    let query = Query { visitor: Some("anna"), items: &recent, at: at(HOUR), n: 5 };
    assert_eq!(index.recommend(&query, |_| true).first().map(|first| &*first.item), Some("guitar"));
}

#[test]
fn a_visit_goes_on_until_a_break_wherever_its_sessions_are() {
    let mut index = shop(&[]);
    let minute = 60_000;
    let mut did = |visitor, partition, item, minutes: i64| {
        let (partition, at) = (Partition::new(partition), at(minutes * minute));
        index.learn(&Interaction { partition, visitor, item, kind: View, at });
    };
    did("anna", 0, "horn", 0);
    did("anna", 1, "strings", 60);
    did("visit", 2, "guitar", 85);
    did("anna", 0, "capo", 110);
    did("anna", 0, "pick", 115);
    let recent = |visitors: &[&str], minutes: i64| {
        let recent = index.recent(visitors, at(minutes * minute));
        recent.into_iter().map(|recent| recent.item).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(recent(&["anna", "visit"], 145), "strings guitar capo pick", "no break is longer than half an hour");
    assert_eq!(recent(&["anna"], 145), "capo pick", "without the visit there is one");
    assert_eq!(recent(&["anna"], 146), "");
    assert_eq!(recent(&["anna"], -500), "horn strings capo pick", "what is in the future counts as now");
}

#[test]
fn similar_items_are_those_of_the_same_sessions_by_cosine() {
    let index = shop(&[
        (View, &["strings", "guitar"]),
        (View, &["strings", "guitar"]),
        (View, &["strings", "pen"]),
        (View, &["pen"]),
    ]);
    let similar = index.similar("strings", 5, |_| true);
    let told: Vec<_> = similar.iter().map(|similar| (&*similar.item, similar.neighbours)).collect();
    assert_eq!(told, [("guitar", 2), ("pen", 1)]);
    assert!((similar[0].score - 2.0 / 6.0_f64.sqrt()).abs() < 1e-12);
    assert!(index.similar("trumpet", 5, |_| true).is_empty());
}

#[test]
fn what_is_bought_together_is_told_by_lift_and_needs_support() {
    let mut baskets: Vec<(InteractionKind, &[&str])> = vec![(Order, &["strings", "guitar", "bag"]); 3];
    baskets.extend([(Order, &["bag"][..]); 2]);
    baskets.extend([(Order, &["pen"][..]); 4]);
    // Seen together is not bought together, and two baskets are too few.
    baskets.extend([(View, &["strings", "pen"][..]); 5]);
    baskets.extend([(Order, &["strings", "capo"][..]); 2]);
    let together = shop(&baskets).bought_together("strings", 5, |_| true);
    let told: Vec<_> = together.iter().map(|other| (&*other.item, other.support)).collect();
    assert_eq!(told, [("guitar", 3), ("bag", 3)]);
    // 11 baskets: 5 with strings, 3 with guitars, 5 with bags.
    let expected = [0.6 * 11.0 / 3.0, 0.6 * 11.0 / 5.0];
    assert!(together.iter().zip(expected).all(|(other, lift)| (other.lift - lift).abs() < 1e-12), "{together:?}");
    assert!((together[0].confidence - 0.6).abs() < 1e-12);
}

#[test]
fn an_order_is_a_basket_of_its_own_within_a_visit() {
    let mut index = shop(&[]);
    let order = |index: &mut Index, minutes: i64, lines: &[&str]| {
        index.learn_order(Partition::new(0), "anna", at(minutes * 60_000), lines.iter().copied());
    };
    learn(&mut index, "anna", "strings", View, 0);
    order(&mut index, 1, &["strings", "", "pick", "horn"]);
    order(&mut index, 2, &["bow"]);
    order(&mut index, 2, &["drum"]);
    learn(&mut index, "anna", "capo", View, 3 * 60_000);
    assert_eq!((index.session_count(), index.learnt(Partition::new(0))), (4, 8), "the visit went on");
    let recent = index.recent(&["anna"], at(HOUR / 2));
    let told: Vec<_> = recent.iter().map(|recent| (&*recent.item, recent.kind)).collect();
    let ordered = [("strings", Order), ("pick", Order), ("horn", Order), ("bow", Order), ("drum", Order)];
    assert_eq!(told, [&[("strings", View)], &ordered[..], &[("capo", View)]].concat());
    assert_eq!(index.forget("anna"), 4);
    assert_eq!((index.session_count(), index.item_count()), (0, 0));
}

#[test]
fn what_is_popular_need_not_be_trending() {
    let mut index = shop(&[]);
    for number in 0..10 {
        learn(&mut index, &format!("early-{number}"), "calendar", View, 0);
    }
    // Five times by one visitor counts once.
    (0..5).for_each(|_| learn(&mut index, "late-0", "sledge", View, 4 * 24 * HOUR));
    learn(&mut index, "late-1", "sledge", Order, 4 * 24 * HOUR);
    let popular = index.popular(5, |_| true);
    let told: Vec<_> = popular.iter().map(|charted| (&*charted.item, charted.score, charted.sessions)).collect();
    assert_eq!(told, [("calendar", 10.0, 10), ("sledge", 4.0, 2)]);
    let trending = index.trending(at(4 * 24 * HOUR), 5, |_| true);
    let told: Vec<_> = trending.iter().map(|charted| (&*charted.item, charted.score)).collect();
    assert_eq!(told, [("sledge", 4.0), ("calendar", 10.0 / 16.0)]);
    assert_eq!(&*index.popular(5, |item| item != "calendar")[0].item, "sledge");
}

#[test]
fn an_item_that_cannot_be_one_is_counted_and_not_learnt() {
    let mut index = shop(&[]);
    learn(&mut index, "anna", "", View, 0);
    learn(&mut index, "anna", &"x".repeat(MAX_ITEM_BYTES + 1), View, 0);
    assert_eq!((index.learnt(Partition::new(0)), index.session_count(), index.item_count()), (2, 0, 0));
    learn(&mut index, "anna", &"x".repeat(MAX_ITEM_BYTES), View, 0);
    let mut other = shop(&[]);
    other.restore(Partition::new(0), &index.snapshot(Partition::new(0))).expect("its own");
    assert_eq!(other.snapshot(Partition::new(0)), index.snapshot(Partition::new(0)));
}

#[test]
fn settings_out_of_range_are_refused() {
    let refused = |settings: RecommenderSettings| Index::new(settings).map(|_| ()).expect_err("refused").name;
    let default = RecommenderSettings::default;
    assert_eq!(refused(RecommenderSettings { neighbours: 0, ..default() }), "neighbours");
    assert_eq!(refused(RecommenderSettings { items_per_session: 1, ..default() }), "items_per_session");
    assert_eq!(refused(RecommenderSettings { rarity: f64::NAN, ..default() }), "rarity");
    assert_eq!(refused(RecommenderSettings { position_half_life: 0.0, ..default() }), "position_half_life");
    assert_eq!(refused(RecommenderSettings { rarity: 0.6, ..default() }), "rarity", "it would count as another");
    let error = RecommenderSettings { position_half_life: 0.0, ..default() }.validate().expect_err("too small");
    assert_eq!(error.to_string(), "position_half_life must be 0.01 to 1000000");
}
