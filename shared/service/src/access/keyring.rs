//! All keys at one time.

use std::sync::Arc;

use subtle::{Choice, ConditionallySelectable};

use super::{
    Role,
    key::{Hash, KeyEntry, NamedKey},
};

/// Keys of all roles together. The key of each request is compared with every
/// one.
const MOST_KEYS: usize = 256;

/// Keys that do not go together. It names no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Conflict {
    /// Two keys of a role have one name, so the name would not tell the caller.
    #[error("two {role} keys have the name {name}")]
    Name {
        /// Their role.
        role: Role,
        /// Their name.
        name: String,
    },
    /// One key is given twice, but a key has one role and one name.
    #[error("the {} key {} and the {} key {} are the same key", .0.0, .0.1, .1.0, .1.1)]
    Key((Role, String), (Role, String)),
    /// There are too many keys to compare each request with.
    #[error("there are {0} keys; at most {MOST_KEYS} are taken")]
    Many(usize),
}

/// The keys that open a service at one time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Keyring(Vec<Arc<NamedKey>>);

impl Keyring {
    pub(super) fn new(entries: impl IntoIterator<Item = (Role, KeyEntry)>) -> Result<Self, Conflict> {
        let mut keys: Vec<Arc<NamedKey>> = Vec::new();
        for (role, KeyEntry { name, hash }) in entries {
            for known in &keys {
                if known.hash == hash {
                    return Err(Conflict::Key((known.role, known.name.clone()), (role, name)));
                }
                if (known.role, &known.name) == (role, &name) {
                    return Err(Conflict::Name { role, name });
                }
            }
            keys.push(Arc::new(NamedKey { name, role, hash }));
        }
        if keys.len() > MOST_KEYS { Err(Conflict::Many(keys.len())) } else { Ok(Self(keys)) }
    }

    /// The key with this hash. All are compared, so that the time taken tells
    /// nothing of them.
    pub(super) fn find(&self, given: &Hash) -> Option<&Arc<NamedKey>> {
        let (mut found, mut place) = (Choice::from(0), 0_u32);
        for (known, index) in self.0.iter().zip(0..) {
            let same = known.hash.same_as(given);
            place.conditional_assign(&index, same);
            found |= same;
        }
        if bool::from(found) { self.0.get(place as usize) } else { None }
    }

    /// Keys with this name; one for each role at most.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = &Arc<NamedKey>> {
        self.0.iter().filter(move |key| key.name == name)
    }

    pub(super) fn holds(&self, key: &NamedKey) -> bool {
        self.0.iter().any(|known| **known == *key)
    }

    /// Whether any key opens what needs `needed`.
    pub(super) fn opens(&self, needed: Role) -> bool {
        self.0.iter().any(|key| key.role.opens(needed))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &NamedKey> {
        self.0.iter().map(|key| &**key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(entries: &[(Role, &str)]) -> Result<Keyring, Conflict> {
        Keyring::new(entries.iter().map(|(role, text)| (*role, KeyEntry::parse(text).expect(text))))
    }

    #[test]
    fn a_key_is_found_by_its_hash_alone() {
        let ring = ring(&[
            (Role::Write, "shop key-of-the-shop-1"),
            (Role::Write, "app key-of-the-app-01"),
            (Role::Read, "shop key-of-the-wall-1"),
        ])
        .expect("they go together");
        let found = |key: &str| ring.find(&Hash::of(key)).map(|key| (key.role, key.name.clone()));
        assert_eq!(found("key-of-the-shop-1"), Some((Role::Write, "shop".into())));
        assert_eq!(found("key-of-the-wall-1"), Some((Role::Read, "shop".into())));
        for unknown in ["", "shop", "key-of-the-shop-", "key-of-the-shop-1 "] {
            assert_eq!(found(unknown), None, "{unknown:?}");
        }
        assert_eq!(Keyring::default().find(&Hash::of("")), None);
        assert!(ring.opens(Role::Read) && !ring.opens(Role::Operate));
    }

    #[test]
    fn a_key_has_one_role_and_one_name() {
        let two = [(Role::Read, "wall key-of-the-wall-1"), (Role::Operate, "anna key-of-the-wall-1")];
        let told = ring(&two).expect_err("one key").to_string();
        assert_eq!(told, "the read key wall and the operate key anna are the same key");
        let two = [(Role::Read, "wall key-of-the-wall-1"), (Role::Read, "wall key-of-the-wall-2")];
        assert_eq!(ring(&two).expect_err("one name").to_string(), "two read keys have the name wall");
        let many =
            (0..=MOST_KEYS).map(|n| (Role::Write, KeyEntry::parse(&format!("many-keys-to-try-{n}")).expect("one")));
        assert_eq!(Keyring::new(many), Err(Conflict::Many(MOST_KEYS + 1)));
    }
}
