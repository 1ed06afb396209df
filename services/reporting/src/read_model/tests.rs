use proptest::prelude::*;

use super::*;
use crate::testing::{at, update, updates};

fn folded<'a>(updates: impl IntoIterator<Item = &'a MetricsUpdate>) -> MetricsFold {
    let mut fold = MetricsFold::default();
    updates.into_iter().for_each(|update| fold.observe(update.clone()));
    fold
}

proptest! {
    #[test]
    fn order_and_repeats_change_nothing((straight, shuffled) in updates()) {
        prop_assert_eq!(folded(&straight), folded(shuffled.iter().chain(&straight)));
    }
}

#[test]
fn the_furthest_totals_of_a_partition_stay() {
    let (near, far) = (update(1, 5), update(1, 11));
    assert_eq!(folded([&far, &near]), folded([&far]));
}

#[test]
fn dimensions_tell_names_from_values() {
    let of = |pairs: &[(&str, &str)]| canonical(pairs.iter().copied());
    assert_ne!(of(&[("a", "1\",\"b\":\"2")]), of(&[("a", "1"), ("b", "2")]));
    assert_eq!(&*of(&[("a", "\u{0}<script>")]), r#"{"a":"\u0000<script>"}"#);
}

#[test]
fn hours_of_the_books_are_whole() {
    let mut strange = update(0, 3);
    strange.books[0].hour = at(3_600_123);
    let hours: Vec<_> = folded([&strange]).outcomes.into_keys().map(|(_, hour, _)| hour).collect();
    assert_eq!(hours, [at(3_600_000)]);
}
