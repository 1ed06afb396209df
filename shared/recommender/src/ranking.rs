//! The best of many, without sorting all.

use std::{cmp::Ordering, mem};

/// How many are put in their order at a time: most answers need no more.
const AT_ONCE: usize = 64;

/// An item with what it is ranked by: the higher score first, and where that
/// is equal the lower id.
#[derive(Debug)]
pub(crate) struct Ranked<'a, T> {
    pub(crate) score: f64,
    pub(crate) item: &'a str,
    pub(crate) more: T,
}

impl<T> Ord for Ranked<'_, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.item.cmp(self.item))
    }
}

impl<T> PartialOrd for Ranked<'_, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Ranked<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Ranked<'_, T> {}

/// One after the other in the order of their ranks: who needs a few
/// does not pay for the order of the others.
pub(crate) fn in_order<'a, T>(mut rest: Vec<Ranked<'a, T>>) -> impl Iterator<Item = Ranked<'a, T>> {
    let mut next = Vec::new();
    std::iter::from_fn(move || {
        if next.is_empty() {
            next = take_first(&mut rest, AT_ONCE);
        }
        next.pop()
    })
}

/// Takes the first `n` of what is left, and all with the score of the last of these; the best
/// is last. Ids are compared within these alone.
fn take_first<'a, T>(rest: &mut Vec<Ranked<'a, T>>, n: usize) -> Vec<Ranked<'a, T>> {
    let mut first = match rest.len().checked_sub(n) {
        None | Some(0) => mem::take(rest),
        Some(mut from) => {
            let (_, last, _) = rest.select_nth_unstable_by(from, |a, b| a.score.total_cmp(&b.score));
            let least = last.score;
            for place in (0..from).rev() {
                if rest[place].score.total_cmp(&least).is_eq() {
                    from -= 1;
                    rest.swap(place, from);
                }
            }
            rest.split_off(from)
        }
    };
    first.sort_unstable();
    first
}

/// The first `n` that are admitted. `admits` is asked in the order of the ranks.
pub(crate) fn best<'a, T>(
    ranked: impl Iterator<Item = Ranked<'a, T>>,
    n: usize,
    mut admits: impl FnMut(&str) -> bool,
) -> Vec<Ranked<'a, T>> {
    in_order(ranked.filter(|ranked| ranked.score > 0.0).collect())
        .filter(|ranked| admits(ranked.item))
        .take(n)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_by_score_then_id_and_asks_no_more_than_it_must() {
        let all = [("c", 1.0), ("a", 1.0), ("z", 3.0), ("none", 0.0), ("b", 2.0)];
        let ranked = || all.into_iter().map(|(item, score)| Ranked { score, item, more: () });
        let mut asked = Vec::new();
        let found = best(ranked(), 2, |item| {
            asked.push(item.to_owned());
            item != "b"
        });
        assert_eq!(found.iter().map(|ranked| ranked.item).collect::<Vec<_>>(), ["z", "a"]);
        assert_eq!(asked, ["z", "b", "a"]);
        assert_eq!(best(ranked(), 9, |_| true).len(), 4);
    }
    #[test]
    fn one_after_the_other_all_come_in_the_order_of_their_ranks() {
        let names: Vec<String> = (0..5 * AT_ONCE).map(|n| format!("{:03}", n * 7919 % 1_000)).collect();
        // Of few scores, so that many are equal, also where a part ends.
        for scores in [1, 2, 5, 40, 1_000] {
            let score = |n: usize| (n * 31 % scores) as f64;
            let ranked = |(n, name)| Ranked { score: score(n), item: name, more: n };
            let mut sorted: Vec<_> = names.iter().map(String::as_str).enumerate().map(ranked).collect();
            sorted.sort_by(|a, b| b.cmp(a));
            let all = names.iter().map(String::as_str).enumerate().map(ranked).collect();
            let places = |ranked: Ranked<'_, usize>| ranked.more;
            let sorted: Vec<usize> = sorted.into_iter().map(places).collect();
            assert_eq!(in_order(all).map(places).collect::<Vec<_>>(), sorted, "{scores}");
        }
        assert!(in_order(Vec::<Ranked<'_, ()>>::new()).next().is_none());
    }
}
