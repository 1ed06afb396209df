use std::num::NonZeroUsize;

use proptest::prelude::*;

use super::*;
use crate::rules::ShopRules;

const RULES: &str = "exclude:\n  - {category: Adult}\nmost_of_a_category: 6\nfallbacks: [category, popular]\n";

fn rules(experiment: &str) -> Result<ShopRules, String> {
    ShopRules::parse("r.yaml", &format!("{RULES}{experiment}")).map_err(|error| error.to_string())
}

fn experiment(name: &str, shares: &[u16]) -> Experiment {
    let variants = shares.iter().enumerate().map(|(n, share)| format!("{{name: v{n}, share: {share}}}"));
    let variants: Vec<String> = variants.collect();
    let yaml = format!("experiment: {{name: {name}, variants: [{}]}}\n", variants.join(", "));
    rules(&yaml).expect("rules").experiment.expect("an experiment")
}

fn variant_of(experiment: &Experiment, n: u32) -> String {
    experiment.of(VisitorId::customer(&format!("c{n}"))).1.variant
}

#[test]
fn a_variant_is_the_rules_but_for_what_it_says() {
    let yaml = "experiment:\n  name: order\n  variants:\n    - {name: control, share: 50}\n    \
                - {name: other, share: 50, strategy: popular, most_of_a_category: 2, fallbacks: [popular], boost: [{category: Books, factor: 2}]}\n";
    let rules = rules(yaml).expect("rules");
    let experiment = rules.experiment.as_ref().expect("an experiment");
    let of = |name: &str| (0..).find(|n| variant_of(experiment, *n) == name).expect("one of 200");
    let rules_of = |name: &str| experiment.of(VisitorId::customer(&format!("c{}", of(name)))).0;
    let control = rules_of("control");
    assert_eq!((control.strategy, control.fallbacks.len()), (VisitStrategy::Visits, 2));
    let other = rules_of("other");
    assert_eq!((other.strategy, &*other.fallbacks), (VisitStrategy::Popular, &[FallbackKind::Popular][..]));
    assert_eq!(other.most_of_a_category, NonZeroUsize::new(2));
    assert_eq!((other.exclude.len(), other.boost.len(), control.boost.len()), (1, 1, 0));
}

#[test]
fn a_wrong_experiment_is_refused_with_file_and_line() {
    let of = |variants: &str| format!("experiment: {{name: a, variants: [{variants}]}}\n");
    for (yaml, told) in [
        ("experiment: {name: A, variants: []}\n".to_owned(), "`A`: a name has"),
        (of("{name: a, share: 99}"), "an experiment has 2 to 10 variants"),
        (of("{name: a, share: 50}, {name: a, share: 50}"), "there are two variants `a`"),
        (of("{name: a, share: 50}, {name: b, share: 49}"), "shares are percents and come to 100; these come to 99"),
        (
            of("{name: a, share: 0}, {name: b, share: 100}"),
            "experiment.variants[0].share: invalid value: integer `0`, expected a whole number from 1 to 99",
        ),
        (
            of("{name: a, share: 33.3}, {name: b, share: 50}"),
            "experiment.variants[0].share: invalid type: floating point `33.3`, expected a whole number from 1 to 99",
        ),
        (of("{name: a, share: 50, fallbacks: [popular, popular]}, {name: b, share: 50}"), "variant `a`: `fallbacks`"),
        (of("{name: a, share: 50, boost: [{factor: 1}]}, {name: b, share: 50}"), "variant `a`: names either"),
    ] {
        let error = rules(&yaml).expect_err(&yaml);
        assert!(error.starts_with(&format!("r.yaml:5: {told}")), "{error}");
    }
}

/// Another hash would put visitors into other variants in the middle of an experiment.
#[test]
fn the_assignment_stays_from_release_to_release() {
    let experiment = experiment("order-of-fallbacks", &[50, 30, 20]);
    let variants: Vec<String> = (0..10).map(|n| variant_of(&experiment, n)).collect();
    assert_eq!(variants.join(" "), "v0 v2 v0 v0 v2 v2 v0 v1 v0 v1");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Shares come out as they are set, within five standard deviations; another start, or
    /// another replica, reads the same rules and assigns alike.
    #[test]
    fn shares_come_out_as_they_are_set(name in "[a-z]{1,12}", first in 1_u16..98, second in 1_u16..98) {
        let second = second.min(99 - first);
        let shares = [first, second, 100 - first - second];
        let (one, another) = (experiment(&name, &shares), experiment(&name, &shares));
        let visitors = 20_000;
        let mut counts = [0_u32; 3];
        for n in 0..visitors {
            let variant = variant_of(&one, n);
            prop_assert_eq!(&variant, &variant_of(&another, n));
            counts[usize::from(variant.as_bytes()[1] - b'0')] += 1;
        }
        for (count, share) in counts.into_iter().zip(shares) {
            let (share, all) = (f64::from(share) / 100.0, f64::from(visitors));
            let deviation = (all * share * (1.0 - share)).sqrt();
            prop_assert!((f64::from(count) - all * share).abs() < 5.0 * deviation, "{} of {}", count, share);
        }
    }
}
