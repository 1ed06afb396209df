//! The best of many, without sorting all.

use std::{cmp::Ordering, collections::BinaryHeap};

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
pub(crate) fn in_order<'a, T>(ranked: Vec<Ranked<'a, T>>) -> impl Iterator<Item = Ranked<'a, T>> {
    // Made of a whole vector, a heap takes linear time.
    let mut heap = BinaryHeap::from(ranked);
    std::iter::from_fn(move || heap.pop())
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
}
