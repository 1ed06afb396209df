//! What an answer says of many rejected things. It tells the first of them in
//! full, and of the others only the code and the place. So an answer is never
//! much larger than the question.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// Rejected things that an answer tells in full.
pub const LISTED: usize = 100;

/// Rejected things of one code that an answer does not tell in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MoreRejected {
    /// The stable code of their problems.
    pub code: &'static str,
    /// How many there are.
    pub count: usize,
    /// Their places in the request, from 0.
    pub indexes: Vec<usize>,
}

/// Those beyond the listed ones, by code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unlisted(BTreeMap<&'static str, Vec<usize>>);

impl Unlisted {
    /// One more.
    pub fn add(&mut self, code: &'static str, index: usize) {
        self.0.entry(code).or_default().push(index);
    }

    /// As an answer tells it.
    pub fn told(&self) -> Vec<MoreRejected> {
        let more = |(code, indexes): (&&'static str, &Vec<usize>)| MoreRejected {
            code,
            count: indexes.len(),
            indexes: indexes.clone(),
        };
        self.0.iter().map(more).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_keeps_its_code_and_place() {
        let mut unlisted = Unlisted::default();
        for (code, index) in [("b", 4), ("a", 5), ("b", 9)] {
            unlisted.add(code, index);
        }
        let told: Vec<_> = unlisted.told().into_iter().map(|more| (more.code, more.count, more.indexes)).collect();
        assert_eq!(told, [("a", 1, vec![5]), ("b", 2, vec![4, 9])]);
    }
}
