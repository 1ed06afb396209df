//! Finding what a database refuses, in a batch that it refused.

use std::ops::Range;

/// Which of `count` items have to be left out so that the store takes the rest
/// together. Answers their places, in order. `accepts` tries the items at some
/// places, in order, and leaves nothing behind. `is_refusal` tells the store's
/// "never" from its "not now". A "not now" ends the search with that error.
///
/// Halves are tried and halved again: with one bad item among `n` that takes
/// about `2 log n` trials.
pub async fn refused<E, Trial: Future<Output = Result<(), E>>>(
    count: usize,
    mut accepts: impl FnMut(Vec<usize>) -> Trial,
    is_refusal: impl Fn(&E) -> bool,
) -> Result<Vec<usize>, E> {
    let verdict = |tried: Result<(), E>| match tried {
        Ok(()) => Ok(true),
        Err(error) if is_refusal(&error) => Ok(false),
        Err(error) => Err(error),
    };
    let (mut good, mut bad) = (Vec::with_capacity(count), Vec::new());
    let mut open: Vec<Range<usize>> = std::iter::once(0..count).collect();
    while let Some(range) = open.pop() {
        let places: Vec<usize> = range.clone().collect();
        if verdict(accepts(places.clone()).await)? {
            good.extend(places);
        } else if range.len() <= 1 {
            bad.extend(range);
        } else {
            let middle = range.start + range.len() / 2;
            // The first half is looked at first.
            open.extend([middle..range.end, range.start..middle]);
        }
    }
    if verdict(accepts(good.clone()).await)? {
        return Ok(bad);
    }
    // Each is good alone, but not all together. This keeps as many as go
    // together, in order.
    let mut together = Vec::with_capacity(good.len());
    for place in good {
        together.push(place);
        if !verdict(accepts(together.clone()).await)? {
            together.pop();
            bad.push(place);
        }
    }
    bad.sort_unstable();
    Ok(bad)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq)]
    enum Error {
        Never,
        NotNow,
    }

    async fn find(items: &[u32], is_bad: impl Fn(&[u32]) -> bool, trials: &Cell<usize>) -> Result<Vec<usize>, Error> {
        let accepts = |places: Vec<usize>| {
            trials.set(trials.get() + 1);
            let some: Vec<u32> = places.iter().map(|place| items[*place]).collect();
            std::future::ready(if is_bad(&some) { Err(Error::Never) } else { Ok(()) })
        };
        refused(items.len(), accepts, |error| *error == Error::Never).await
    }

    #[tokio::test]
    async fn one_among_thousands_is_found_in_few_trials() {
        let (items, trials) = ((0..4096).collect::<Vec<u32>>(), Cell::new(0));
        assert_eq!(find(&items, |some| some.contains(&1234), &trials).await, Ok(vec![1234]));
        assert!(trials.get() <= 2 * 12 + 2, "{} trials", trials.get());
    }

    #[tokio::test]
    async fn what_goes_alone_and_not_together_is_told_apart_too() {
        let (items, trials) = ([7, 1, 7, 2], Cell::new(0));
        let twice = |some: &[u32]| some.iter().filter(|item| **item == 7).count() > 1;
        assert_eq!(find(&items, twice, &trials).await, Ok(vec![2]));
    }

    #[tokio::test]
    async fn an_outage_is_no_refusal() {
        let away = refused(2, |_| std::future::ready(Err(Error::NotNow)), |error| *error == Error::Never).await;
        assert_eq!(away, Err(Error::NotNow));
        assert_eq!(find(&[], |_| false, &Cell::new(0)).await, Ok(vec![]));
    }

    proptest! {
        #[test]
        fn exactly_the_bad_ones_are_found(items in proptest::collection::vec(0u32..20, 0..60), bad in 0u32..20) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let found = runtime.block_on(find(&items, |some| some.contains(&bad), &Cell::new(0)));
            let expected: Vec<usize> = (0..items.len()).filter(|place| items[*place] == bad).collect();
            prop_assert_eq!(found, Ok(expected));
        }
    }
}
