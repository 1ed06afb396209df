use std::{collections::HashSet, num::NonZeroUsize};

use tidemill_domain::Partition;
use tidemill_recommender::RecommenderSettings;

use super::*;
use crate::{
    learning::{LearntItem, LearntKind},
    model::LearntModel,
    rules::ShopRules,
    testing::{batch, event, item},
};

/// Soon after the last event of a test.
const SOON: Timestamp = Timestamp::saturating_from_millis(1_000_000);

/// Visitors who each look at the same products.
struct Shop {
    model: LearntModel,
    raw_seq: u64,
    now: Timestamp,
}

impl Shop {
    fn new() -> Self {
        let model = LearntModel::new(RecommenderSettings::default(), 1_000).expect("right settings");
        Self { model, raw_seq: 0, now: SOON }
    }

    fn did(&mut self, kind: LearntKind, customer: &str, items: &[LearntItem]) -> &mut Self {
        for item in items {
            self.raw_seq += 1;
            let millis = 1_000 * i64::try_from(self.raw_seq).expect("few");
            let done = event(kind, customer, millis, std::slice::from_ref(item));
            self.model.learn(Partition::new(0), &batch(self.raw_seq, &[done]));
        }
        self
    }

    /// One order of all of it.
    fn ordered(&mut self, customer: &str, items: &[LearntItem]) -> &mut Self {
        self.raw_seq += 1;
        let millis = 1_000 * i64::try_from(self.raw_seq).expect("few");
        let done = event(LearntKind::Order, customer, millis, items);
        self.model.learn(Partition::new(0), &batch(self.raw_seq, &[done]));
        self
    }

    fn views(&mut self, visitors: std::ops::Range<u32>, items: &[LearntItem]) -> &mut Self {
        for n in visitors {
            self.did(LearntKind::View, &format!("v{n}"), items);
        }
        self
    }

    fn ask(
        &self,
        rules: &RecommendationRules,
        choose: impl FnOnce(&Sources<'_>) -> Vec<Recommended>,
    ) -> Vec<Recommended> {
        let charts = self.model.charts(self.now);
        let state = self.model.read();
        choose(&Sources { state: &state, rules, charts: &charts, now: self.now })
    }
}

fn rules(yaml: &str) -> RecommendationRules {
    ShopRules::parse("r.yaml", yaml).expect("rules").standard
}

fn of(customer: &str) -> VisitAsked {
    VisitAsked { customer: Some(VisitorId::customer(customer)), ..VisitAsked::default() }
}

fn naming(items: &[&str]) -> VisitAsked {
    VisitAsked { items: items.iter().map(|item| (*item).to_owned()).collect(), ..VisitAsked::default() }
}

fn some(n: usize) -> ListWanted {
    ListWanted { n, ..ListWanted::default() }
}

fn ids(recommended: &[Recommended]) -> Vec<&str> {
    recommended.iter().map(|recommended| &*recommended.item).collect()
}

#[test]
fn who_buys_strings_sees_guitars_and_says_why() {
    let mut shop = Shop::new();
    let [strings, guitar, book] =
        [item("strings", "Music", &[]), item("guitar", "Music", &[]), item("book", "Books", &[])];
    shop.views(0..9, &[strings.clone(), guitar]).views(10..30, &[book]);
    shop.did(LearntKind::View, "c", &[strings]);
    let found = shop.ask(&rules("fallbacks: [category, popular]"), |sources| sources.for_visit(&of("c"), some(5)));
    assert_eq!(ids(&found), ["guitar", "book"]);
    assert_eq!((found[0].why, found[0].category.as_deref()), (Why::Visits { visits: 9 }, Some("Music")));
    assert_eq!(found[1].why, Why::Popular { visits: 20 });
    let named = shop.ask(&rules(""), |sources| sources.for_visit(&naming(&["strings"]), some(5)));
    assert_eq!(ids(&named), ["guitar"]);
    let similar = shop.ask(&rules(""), |sources| sources.similar("strings", some(5)));
    assert_eq!(ids(&similar), ["guitar"]);
}

#[test]
fn a_new_visitor_gets_what_is_popular_and_never_nothing() {
    let mut shop = Shop::new();
    shop.views(0..3, &[item("a", "A", &[])]).views(3..8, &[item("b", "B", &[])]);
    let rules = rules("fallbacks: [popular]");
    let found = shop.ask(&rules, |sources| sources.for_visit(&of("nobody"), some(5)));
    assert_eq!(ids(&found), ["b", "a"]);
    let unknown = shop.ask(&rules, |sources| sources.for_visit(&naming(&["no such item"]), some(1)));
    assert_eq!(ids(&unknown), ["b"]);
    assert_eq!(ids(&shop.ask(&rules, |sources| sources.trending(some(1)))), ["b"]);
    let only = ListWanted { category: Some("A".into()), ..some(5) };
    assert_eq!(ids(&shop.ask(&rules, |sources| sources.popular(only))), ["a"]);
}

#[test]
fn products_of_no_known_category_have_none_in_common() {
    let mut shop = Shop::new();
    let [junk, other] = ["junk", "other"].map(|id| item(id, ItemFacts::UNKNOWN_CATEGORY, &[]));
    shop.views(0..9, &[item("book", "Books", &[])]).views(10..12, &[junk]).did(LearntKind::View, "c", &[other]);
    let rules = rules("fallbacks: [category, popular]");
    let expected = [("book".to_owned(), Why::Popular { visits: 9 }), ("junk".to_owned(), Why::Popular { visits: 2 })];
    let of_visit = shop.ask(&rules, |sources| sources.for_visit(&of("c"), some(5)));
    let like_it = shop.ask(&rules, |sources| sources.similar("other", some(5)));
    for found in [of_visit, like_it] {
        assert_eq!(found.into_iter().map(|found| (found.item, found.why)).collect::<Vec<_>>(), expected);
    }
    let only = ListWanted { category: Some(ItemFacts::UNKNOWN_CATEGORY.into()), ..some(5) };
    assert_eq!(
        ids(&shop.ask(&rules, |sources| sources.popular(only))),
        ["junk", "other"],
        "who asks for them gets them"
    );
}

#[test]
fn rules_exclude_prefer_and_spread() {
    let mut shop = Shop::new();
    for (n, category, attributes) in [
        (9, "A", &[][..]),
        (8, "A", &[]),
        (7, "A", &[("stock", "0")]),
        (6, "A", &[]),
        (5, "B", &[("brand", "X")]),
        (4, "C", &[]),
    ] {
        shop.views(n * 100..n * 100 + n, &[item(&format!("{category}{n}"), category, attributes)]);
    }
    let popular = |yaml: &str, n| {
        let found = shop.ask(&rules(yaml), |sources| sources.popular(some(n)));
        ids(&found).join(" ")
    };
    assert_eq!(popular("", 9), "A9 A8 A7 A6 B5 C4");
    assert_eq!(popular("exclude: [{attribute: stock, is: ['0']}]", 9), "A9 A8 A6 B5 C4");
    assert_eq!(popular("exclude: [{category: A}]", 9), "B5 C4");
    assert_eq!(popular("boost: [{attribute: brand, is: [X], factor: 1.7}]", 2), "A9 B5");
    let spread = "most_of_a_category: 2";
    assert_eq!(popular(spread, 4), "A9 A8 B5 C4");
    assert_eq!(popular(spread, 9), "A9 A8 B5 C4 A7 A6", "what is left over follows where nothing else is left");
    assert_eq!(NonZeroUsize::new(2), rules(spread).most_of_a_category);
}

#[test]
fn what_is_in_the_cart_or_asked_to_be_left_out_is_not_recommended() {
    let mut shop = Shop::new();
    let [a, b, c] = ["a", "b", "c"].map(|id| item(id, "A", &[]));
    shop.views(0..5, &[a.clone(), b.clone(), c.clone()]);
    shop.did(LearntKind::View, "me", &[c]).did(LearntKind::Cart, "me", &[b]).did(LearntKind::View, "me", &[a]);
    let found = shop.ask(&rules("fallbacks: [popular]"), |sources| sources.for_visit(&of("me"), some(5)));
    assert_eq!(ids(&found), ["c"], "what was only looked at may be gone back to");
    let without = ListWanted { without: HashSet::from(["c".to_owned()]), ..some(5) };
    let found = shop.ask(&rules("fallbacks: [popular]"), |sources| sources.for_visit(&of("me"), without));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_visit_of_weeks_ago_is_not_continued() {
    let mut shop = Shop::new();
    let [a, b, c] = ["a", "b", "c"].map(|id| item(id, "A", &[]));
    shop.views(0..5, &[a.clone(), b.clone()]).views(5..15, std::slice::from_ref(&c));
    shop.did(LearntKind::Order, "me", &[b]).did(LearntKind::Cart, "me", &[c]).did(LearntKind::View, "me", &[a]);
    let rules = rules("fallbacks: [popular]");
    let answered = |shop: &Shop, asked: &VisitAsked| {
        let found = shop.ask(&rules, |sources| sources.for_visit(asked, some(5)));
        found.into_iter().map(|found| (found.item, found.why)).collect::<Vec<_>>()
    };
    assert!(answered(&shop, &of("me")).is_empty(), "all of it is in the visit");
    shop.now = SOON.plus_millis(21 * 24 * 3_600_000);
    let later = answered(&shop, &of("me"));
    assert_eq!(later, answered(&shop, &of("stranger")), "it steers nothing");
    assert_eq!(later.len(), 3, "and nothing of it is left out: {later:?}");
    let named = answered(&shop, &VisitAsked { items: vec!["a".into()], ..of("me") });
    assert_eq!(named.first(), Some(&("b".to_owned(), Why::Visits { visits: 5 })), "what is named counts");
    // The clock of whoever told of it may be ahead.
    shop.now = Timestamp::saturating_from_millis(0);
    assert!(answered(&shop, &of("me")).is_empty(), "what is in the future counts as now");
}

#[test]
fn bought_together_goes_by_baskets() {
    let mut shop = Shop::new();
    let [a, b] = ["a", "b"].map(|id| item(id, "A", &[]));
    for n in 0..5 {
        shop.ordered(&format!("c{n}"), &[a.clone(), b.clone()]);
    }
    for n in 5..9 {
        shop.did(LearntKind::Order, &format!("c{n}"), &[item("other", "A", &[])]);
    }
    shop.views(10..20, &[a, item("seen", "A", &[])]);
    let found = shop.ask(&rules(""), |sources| sources.bought_together("a", some(5)));
    assert_eq!(ids(&found), ["b"]);
    assert!(matches!(found[0].why, Why::Together { baskets: 5, .. }), "{found:?}");
}

#[test]
fn a_basket_is_one_order() {
    let mut shop = Shop::new();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|id| item(id, "A", &[]));
    // All of them within half an hour.
    (0..20).for_each(|_| {
        shop.ordered("one", &[c.clone(), d.clone()]);
    });
    for n in 0..240 {
        let only = if n % 2 == 0 { &a } else { &b };
        shop.ordered(&format!("c{}", n % 12), std::slice::from_ref(only));
    }
    let found = shop.ask(&rules(""), |sources| sources.bought_together("a", some(5)));
    assert!(found.is_empty(), "nobody ordered them together: {found:?}");
    let found = shop.ask(&rules(""), |sources| sources.bought_together("c", some(5)));
    assert_eq!(ids(&found), ["d"]);
    assert_eq!(found[0].why, Why::Together { baskets: 20, confidence: 1.0, lift: 13.0 });
}

/// Visitors who each look at some of forty products in five categories.
fn busy_shop() -> Shop {
    let mut shop = Shop::new();
    let products: Vec<_> = (0..40).map(|n| item(&format!("p{n:02}"), ["A", "B", "C", "D", "E"][n % 5], &[])).collect();
    for visitor in 0..60_usize {
        let seen: Vec<_> = (0..6).map(|step| products[(visitor * 7 + step * step * 3) % 40].clone()).collect();
        shop.did(LearntKind::View, &format!("v{visitor}"), &seen);
    }
    shop
}

#[test]
fn rules_that_prefer_nothing_that_is_there_change_no_answer() {
    let shop = busy_shop();
    let without = ["p07".to_owned(), "p10".to_owned()].into();
    let wanted = ListWanted { n: 12, category: None, without };
    for yaml in
        ["fallbacks: [category, popular]", "most_of_a_category: 2\nfallbacks: [popular]", "exclude: [{category: B}]"]
    {
        // Who prefers chooses from what was sorted; who does not takes one after the other.
        let (plain, preferring) = (rules(yaml), rules(&format!("{yaml}\nboost: [{{category: None, factor: 2}}]")));
        assert!(preferring.reorder() && !plain.reorder());
        let both = |choose: &dyn Fn(&Sources<'_>) -> Vec<Recommended>| {
            let [plain, preferring] = [&plain, &preferring].map(|rules| shop.ask(rules, choose));
            assert_eq!(plain, preferring, "{yaml}");
            assert!(!plain.is_empty(), "{yaml}");
        };
        both(&|sources| sources.for_visit(&of("v3"), wanted.clone()));
        both(&|sources| sources.for_visit(&naming(&["p01", "p02"]), wanted.clone()));
        both(&|sources| sources.popular(wanted.clone()));
        both(&|sources| sources.trending(wanted.clone()));
    }
}
