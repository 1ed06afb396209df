use std::collections::BTreeMap;

use super::*;
use crate::store::KeptItem;

fn item(category: &str, attributes: &[(&str, &str)]) -> KeptItem {
    let attributes: BTreeMap<_, _> = attributes.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    KeptItem { category: category.into(), attributes }
}

#[test]
fn what_a_rule_excludes_is_not_admitted() {
    let rules = ShopRules::load(None).expect("the built-in rules").standard;
    assert!(rules.admit(None));
    assert!(rules.admit(Some(&item("Books", &[("stock", "7")]))));
    for attributes in [("stock", "0"), ("status", "discontinued"), ("adult", "true")] {
        assert!(!rules.admit(Some(&item("Books", &[attributes]))), "{attributes:?}");
    }
    assert_eq!(rules.fallbacks, [FallbackKind::Category, FallbackKind::Popular]);
}

#[test]
fn boosts_multiply() {
    let yaml = "exclude:\n  - {category: Adult}\nboost:\n  - {category: Books, factor: 2}\n  - {attribute: brand, is: [X, Y], factor: 1.5}\n";
    let rules = ShopRules::parse("r.yaml", yaml).expect("rules").standard;
    assert!(!rules.admit(Some(&item("Adult", &[]))));
    assert_eq!(rules.factor(Some(&item("Books", &[("brand", "Y")]))), 3.0);
    assert_eq!((rules.factor(Some(&item("Toys", &[("brand", "Z")]))), rules.factor(None)), (1.0, 1.0));
    assert!(rules.fallbacks.is_empty() && rules.most_of_a_category.is_none());
}

#[test]
fn a_wrong_rule_is_refused_with_file_and_line() {
    for (yaml, told) in [
        ("exclude:\n  - {category: A}\n  - {attribute: a}\n", "r.yaml:3: names either a `category`"),
        ("exclude:\n  - {category: A, attribute: a, is: [b]}\n", "r.yaml:2: names either"),
        ("exclude:\n  - {attribute: a, is: []}\n", "r.yaml:2: names either"),
        ("\nboost:\n  - {category: A, factor: 0}\n", "r.yaml:3: a factor is above 0"),
        ("boost: [{category: A, factor: 101}]\n", "r.yaml:1: a factor is above 0"),
        ("fallbacks: [random]\n", "r.yaml:1: "),
        ("fallbacks: [popular, popular]\n", "r.yaml:1: `fallbacks` names one twice"),
        ("fallbacks:\n  - popular\n  - category\n  - popular\n", "r.yaml:4: `fallbacks` names one twice"),
        (
            "most_of_a_category: 0\n",
            "r.yaml:1: most_of_a_category: invalid value: integer `0`, expected a whole number of 1 or more",
        ),
        ("exclude: []\nhide: []\n", "r.yaml:"),
        ("exclude: []\nboost: []\nexclude: []\n", "r.yaml:3: the key `exclude` is there twice"),
    ] {
        let error = ShopRules::parse("r.yaml", yaml).expect_err(yaml).to_string();
        assert!(error.starts_with(told), "{error}");
    }
}

#[test]
fn a_file_without_any_rule_is_refused() {
    let folder = tidemill_testkit::tempdir();
    let file = folder.path().join("r.yaml");
    for (yaml, is_right) in [
        ("", false),
        ("---\n# exclude: []\n\n", false),
        ("\u{feff}", false),
        ("exclude: []\n", true),
        ("\u{feff}exclude: []\n", true),
    ] {
        std::fs::write(&file, yaml).expect("writes");
        assert_eq!(ShopRules::load(Some(&file)).is_ok(), is_right, "{yaml:?}");
    }
}
