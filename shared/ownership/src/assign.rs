//! The fair assignment of units to members.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::xxh3_64;

use crate::Unit;

/// Assigns every unit to a member, or none if there are no members. It is
/// rendezvous hashing, bounded so that no member gets more than its share,
/// rounded up. Everyone who works it out from the same members comes to the
/// same result, and a change of members moves few units.
pub fn assign<U: Unit>(units: &BTreeSet<U>, members: &BTreeSet<String>) -> BTreeMap<U, String> {
    let Some(share) =
        units.len().checked_add(members.len().saturating_sub(1)).and_then(|n| n.checked_div(members.len()))
    else {
        return BTreeMap::new();
    };
    let mut load: BTreeMap<&str, usize> = BTreeMap::new();
    let mut assigned = BTreeMap::new();
    for unit in units {
        let name = unit.to_string();
        let free = members.iter().filter(|member| load.get(member.as_str()).is_none_or(|load| *load < share));
        // The shares add up to all units at least, so some member has room.
        if let Some(owner) = free.max_by_key(|member| weight(&name, member)) {
            *load.entry(owner).or_default() += 1;
            assigned.insert(*unit, owner.clone());
        }
    }
    assigned
}

fn weight(unit: &str, member: &str) -> u64 {
    xxh3_64(format!("{unit}\0{member}").as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(names: impl IntoIterator<Item = u32>) -> BTreeSet<String> {
        names.into_iter().map(|name| format!("pod-{name}")).collect()
    }

    proptest! {
        #[test]
        fn every_unit_has_an_owner_and_nobody_more_than_a_fair_share(
            units in 0..64_u32, names in proptest::collection::btree_set(any::<u32>(), 1..9),
        ) {
            let members = members(names);
            let assigned = assign(&(0..units).collect(), &members);
            prop_assert_eq!(assigned.len(), units as usize);
            for member in &members {
                let load = assigned.values().filter(|owner| *owner == member).count();
                prop_assert!(load <= (units as usize).div_ceil(members.len()));
            }
        }
    }

    #[test]
    fn one_that_leaves_moves_little_beside_its_own() {
        let units: BTreeSet<u32> = (0..32).collect();
        let (mut own, mut moved) = (0, 0);
        for count in 2..8 {
            for gone in 0..count {
                let old = assign(&units, &members(0..count));
                let new = assign(&units, &members((0..count).filter(|name| *name != gone)));
                own += old.values().filter(|owner| **owner == format!("pod-{gone}")).count();
                moved += units.iter().filter(|unit| old[unit] != new[unit]).count();
            }
        }
        assert!(moved < own * 7 / 4, "{moved} moved, where {own} had to");
    }

    #[test]
    fn with_nobody_there_nothing_is_assigned() {
        assert!(assign(&BTreeSet::from([1, 2]), &BTreeSet::new()).is_empty());
    }
}
