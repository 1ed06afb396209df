use std::{fs, path::Path};

use super::*;

const SPIKE: &str = include_str!("../../rules/revenue_spike.yaml");
const FRAUD: &str = include_str!("../../rules/fraud_detection.yaml");
const BEHIND: &str = include_str!("../../rules/lake_behind.yaml");

fn metrics() -> Metrics {
    Metrics::load(None).expect("the defaults load")
}

#[test]
fn a_place_is_said_even_of_a_key_in_quotes_and_of_nothing() {
    let quoted = FRAUD.replace("fire_at: 60", r#""fire_at": 6000"#);
    assert!(refusal(&quoted).starts_with("rule.yaml:1: can never fire"), "{}", refusal(&quoted));
    assert!(refusal("").starts_with("rule.yaml:1: "), "{}", refusal(""));
}

fn refusal(text: &str) -> String {
    Rules::default().add("rule.yaml", text, &metrics()).expect_err(text).to_string()
}

fn line_of(text: &str, place: &str) -> usize {
    text.lines().position(|line| line.contains(place)).expect(place) + 1
}

#[test]
fn the_defaults_load() {
    let rules = Rules::load(&RulesConfig::default(), &metrics()).expect("they are right");
    let names: Vec<_> = rules.metas().map(|meta| (meta.rule.as_str(), meta.version.as_str())).collect();
    assert_eq!(
        names,
        [
            ("RECOMMENDATION_QUALITY", "f0cde74396ec"),
            ("REVENUE_SPIKE", "6dfe05056f73"),
            ("FRAUD_DETECTION", "630078a123e5"),
            ("LAKE_BEHIND", "60133fde6dd9"),
            ("LAKE_QUALITY_LOW", "69e20430f51d"),
        ],
        "ids of alerts follow from versions"
    );
}

#[test]
fn a_wrong_rule_is_refused_with_file_line_and_reason() {
    for (rule, from, to, at, why) in [
        (SPIKE, "  (has_threshold", "  (has_threshold ||| ", "condition:", "CEL"),
        (SPIKE, "revenue >= 500.0)", "revenue >= 500.0) || profit > 1.0", "condition:", "`profit` is not known here"),
        (SPIKE, "2.0 * threshold", "2 * threshold", "condition:", ""),
        (SPIKE, "group_by: [category]", "group_by: [brand]", "group_by:", "no dimension `brand`"),
        (SPIKE, "metric: sales_metrics", "metric: sales", "metric: sales", "no metric `sales`"),
        (SPIKE, "min_windows: 5", "min_windows: 11", "baseline: {", "min_windows"),
        (SPIKE, "thresholds: {}", "treshholds: {}", "treshholds: {}", "unknown key `treshholds`"),
        (SPIKE, "in {category}", "in {shop}", "title:", "`shop` is not known here"),
        (SPIKE, "in {category}", "in {category", "title:", "without its"),
        (SPIKE, "max_age: 24h", "max_age: 31d", "max_age:", "at most 30d"),
        (SPIKE, "severity: warning", "severity: loud", "severity:", "loud"),
        (BEHIND, "measure: delay_seconds", "table: silver.events", "condition:", "either `measure` or"),
        (BEHIND, "measure: delay_seconds", "measure: x\ncontract_rule: y", "contract_rule:", "either `measure` or"),
        (BEHIND, "measure:", "table: orders\nmeasure:", "table:", "`orders` is not a table"),
        (BEHIND, "value > threshold", "revenue > threshold", "condition:", "`revenue` is not known here"),
        (BEHIND, "has_threshold && value > threshold", "value > threshold", "condition:", "has_threshold"),
        (BEHIND, "value < 0.8", "value <<", "clears:", "CEL"),
        (BEHIND, "value < 0.8 *", "valeu < 0.8 *", "clears:", "`valeu` is not known here"),
        (BEHIND, "{table} is behind", "{shop} is behind", "title:", "`shop` is not known here"),
        (BEHIND, "measure: delay", "mesure: delay", "mesure:", "unknown key `mesure`"),
        (FRAUD, "on: event", "on: stream", "on: stream", "stream"),
        (FRAUD, "key: clientip", "key: ip", "key: ip", "ip"),
        (FRAUD, "fire_at: 60", "fire_at: 6000", "fire_at:", "can never fire"),
        (FRAUD, "\"amount > 2000.0\"", "\"amount >\"", "name: large amount", "CEL"),
        (FRAUD, "orders_per_ip > 10", "orders_per_city > 10", "many orders from one address", "orders_per_city"),
        (
            FRAUD,
            "fire_at: 60",
            "fire_at: 60\namounts: {weight: [{sum: [data.weight]}]}",
            "name: very large amount",
            "`amount`",
        ),
        (FRAUD, "fire_at: 60", "fire_at: 60\namounts: {amount: [{sum: [item.price]}]}", "amounts:", "with `each`"),
        (FRAUD, "fire_at: 60", "fire_at: 60\namounts: {amount: [{sum: [country]}]}", "amounts:", "data.…"),
        (FRAUD, "fire_at: 60", "fire_at: 60\namounts: {amount: [{sum: []}]}", "amounts:", "one to four"),
        (
            FRAUD,
            "fire_at: 60",
            "fire_at: 60\namounts: {amount: [{each: items, sum: [item.price]}]}",
            "amounts:",
            "items",
        ),
        (
            FRAUD,
            "fire_at: 60",
            "fire_at: 60\namounts: {amount: [{sum: [data.a]}], country: [{sum: [data.b]}]}",
            "amounts:",
            "something else",
        ),
        (FRAUD, "fire_at: 60", "fire_at: 60\namounts: {amount: []}", "amounts:", "at least one way"),
        (FRAUD, "fire_at: 60", "fire_at: 60\namounts: {\"a\\0\": [{sum: [data.a]}]}", "amounts:", "is not a name"),
        (FRAUD, "fire_at: 60", "fire_at: 60\namounts: {in: [{sum: [data.a]}]}", "amounts:", "is not a name"),
        (FRAUD, "fire_at: 60", "fire_at: 60\nlists: {\"\": data.a}", "lists:", "is not a name"),
        (FRAUD, "fire_at: 60", "fire_at: 60\nlists: {items: country}", "lists:", "stands in data"),
        (FRAUD, "fire_at: 60", "fire_at: 60\nlists: {orders_per_ip: data.x}", "lists:", "something else"),
    ] {
        let text = rule.replacen(from, to, 1);
        assert_ne!(text, rule, "{from}");
        let refusal = refusal(&text);
        let line: usize = refusal.split(':').nth(1).and_then(|line| line.parse().ok()).expect(&refusal);
        assert_eq!(line, line_of(&text, at), "{refusal}");
        assert!(refusal.starts_with("rule.yaml:") && refusal.contains(why), "{refusal}: {why}");
    }
}

#[test]
fn a_name_is_taken_once() {
    let mut rules = Rules::default();
    rules.add("a.yaml", SPIKE, &metrics()).expect("the first");
    assert!(rules.add("b.yaml", SPIKE, &metrics()).expect_err("the second").to_string().contains("defined twice"));
}

#[test]
fn the_version_is_of_the_meaning_and_not_of_the_spelling() {
    let version = |text: &str| {
        let mut rules = Rules::default();
        rules.add("rule.yaml", text, &metrics()).expect(text);
        rules.metric[0].meta.version.clone()
    };
    assert_eq!(version(SPIKE), version(&format!("# a remark\n{SPIKE}").replace("24h", "1d")));
    assert_ne!(version(SPIKE), version(&SPIKE.replace("2.0 * threshold", "3.0 * threshold")));
}

#[test]
fn a_folder_is_read_in_order_and_an_absent_one_is_named() {
    let folder = tidemill_testkit::tempdir();
    fs::write(folder.path().join("b.yaml"), SPIKE).expect("written");
    fs::write(folder.path().join("a.yml"), FRAUD).expect("written");
    fs::write(folder.path().join("notes.txt"), "not a rule").expect("written");
    let of = |folder: &Path| RulesConfig { folder: Some(folder.to_owned()), amounts: None };
    let rules = Rules::load(&of(folder.path()), &metrics()).expect("loads");
    assert_eq!(rules.metas().count(), 2);
    let absent = folder.path().join("absent");
    assert!(Rules::load(&of(&absent), &metrics()).expect_err("absent").to_string().contains("absent"));
}

/// What docs/rules.md shows is right.
#[test]
fn the_documented_rules_load() {
    let page = include_str!("../../../../docs/rules.md");
    let shown: Vec<&str> = page.split("```yaml\n").skip(1).filter_map(|part| part.split("```").next()).collect();
    let mut rules = Rules::default();
    for text in &shown {
        rules.add("docs/rules.md", text, &metrics()).expect(text);
    }
    assert_eq!((rules.metric.len(), rules.event.len()), (1, 1));
}

#[test]
fn a_shop_says_what_its_rules_call_things() {
    let folder = tidemill_testkit::tempdir();
    let amounts = folder.path().join("amounts.yaml");
    let with = |text: &str| {
        fs::write(&amounts, text).expect("written");
        Rules::load(&RulesConfig { folder: None, amounts: Some(amounts.clone()) }, &metrics())
    };
    let rules = with("amounts:\n  amount:\n    - {sum: [data.total]}\nlists: {items: data.lines}\n").expect("loads");
    assert_eq!(rules.event[0].lists["items"].path(), ["lines"]);
    let error = with("amounts: {}\nlists: {items: data.lines}\n").expect_err("the rule needs amount").to_string();
    assert!(error.starts_with("fraud_detection.yaml:") && error.contains("`amount` is not known"), "{error}");
    let error = with("amounts:\n  amount: [5]\n").expect_err("wrong").to_string();
    assert!(error.starts_with(&format!("{}:2: ", amounts.display())), "{error}");
}
