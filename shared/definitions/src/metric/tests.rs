use super::*;

const SMALL: &str = "name: sales\ntypes: [order.placed]\nwindow: {tumbling: 1m}\nmeasures:\n  n: {count: rows}\n";

fn error(text: &str) -> String {
    MetricDefinition::parse("m.yaml", text).expect_err(text).to_string()
}

#[test]
fn the_version_is_of_the_meaning() {
    let version = |text: &str| MetricDefinition::parse("m.yaml", text).expect(text).version().to_owned();
    let described = SMALL.replace("types:", "description: how many\ntypes:");
    assert_eq!(version(SMALL), version(&described));
    assert_ne!(version(SMALL), version(&SMALL.replace("1m", "2m")));
}

#[test]
fn errors_say_where_and_why() {
    let wrong_condition = SMALL.replace("window:", "where: 'amount >'\nwindow:");
    assert!(error(&wrong_condition).starts_with("m.yaml:3: "), "{}", error(&wrong_condition));
    let commented = format!("# What it is for,\n# in two lines.\n{wrong_condition}");
    assert!(error(&commented).starts_with("m.yaml:5: "), "{}", error(&commented));
    let wrong_field = SMALL.replace("count: rows", "sum: revenue");
    assert!(error(&wrong_field).contains("not a"), "{}", error(&wrong_field));
    assert!(error(&SMALL.replace("1m", "1 minute")).contains("is not a duration"));
    let session = |gap: &str| SMALL.replace("tumbling: 1m", &format!("session: {{gap: {gap}}}"));
    assert!(error(&session("25h")).starts_with("m.yaml:3: a session's gap is between"), "{}", error(&session("25h")));
    assert!(error(&session("0s")).starts_with("m.yaml:3: "), "{}", error(&session("0s")));
    assert!(error(&session("30m").replace("  n:", "  retracted:")).contains("is not free"));
    assert!(error(&SMALL.replace("1m", "1m, session: {gap: 1m}")).contains("a window is"));
    assert!(error(&SMALL.replace("name: sales", "name: Sales!")).contains("is not a name"));
    let no_types = error(&SMALL.replace("types: [order.placed]", "types: []"));
    assert!(no_types.starts_with("m.yaml:2: metric `sales` names no event types"), "{no_types}");
    // The place is said whatever is wrong: of nothing at all, and of a key in quotes.
    assert!(error("").starts_with("m.yaml:1: "), "{}", error(""));
    let quoted = error(&SMALL.replace("types: [order.placed]", r#""types": []"#));
    assert!(quoted.starts_with("m.yaml:1: "), "{quoted}");
    assert!(error(&SMALL.replace("types:", "typos: 1\ntypes:")).contains("typos"));
    for taken in ["zone", "top", "top_by"] {
        let dimensions = format!("dimensions: {{{taken}: data.zone}}\nmeasures:");
        let hidden = error(&SMALL.replace("measures:", &dimensions));
        let expected = format!("m.yaml:4: metric `sales`: `{taken}` is not free as a dimension's name");
        assert!(hidden.starts_with(&expected), "{hidden}");
    }
    for (condition, name) in
        [("typ == 'x'", "typ"), ("item.quantity > 0", "item"), ("data.x > 0 && amount > 1", "amount")]
    {
        let of_rows = error(&SMALL.replace("window:", &format!("where: \"{condition}\"\nwindow:")));
        assert!(of_rows.starts_with(&format!("m.yaml:3: `{name}` is not known here; known are data, ")), "{of_rows}");
        let of_measure = error(&SMALL.replace("count: rows", &format!("count: rows, where: \"{condition}\"")));
        assert!(of_measure.starts_with(&format!("m.yaml:5: `{name}` is not known here")), "{of_measure}");
    }
    let over_items = SMALL.replace("window:", "where: \"data.items.all(i, i.quantity > 0)\"\nwindow:");
    assert!(MetricDefinition::parse("m.yaml", &over_items).is_ok(), "the name of an item is the macro's own");
    for field in ["line.net", "lines"] {
        let without_lines = error(&SMALL.replace("count: rows", &format!("sum: {field}")));
        assert!(
            without_lines.starts_with("m.yaml:5: metric `sales`: `n`: `line.x` goes with `each: lines`"),
            "{without_lines}"
        );
    }
    let items = error(&SMALL.replace("window:", "each: item.x\nwindow:"));
    assert!(items.starts_with("m.yaml:3: metric `sales`: `each` is `lines`, or names a list"), "{items}");
    let known = "data.x > 0 && product.brand == 'a' && customer.tier == 'b' && category != region && type == source";
    let text = SMALL.replace("window:", &format!("where: \"{known}\"\nwindow:"));
    assert!(MetricDefinition::parse("m.yaml", &text).is_ok());
}

#[test]
fn money_has_one_currency_and_splits_the_totals_by_it() {
    let parse = |measures: &str, dimensions: &str| {
        let measures = format!("dimensions: {{{dimensions}}}\nmeasures: {{{measures}}}\n");
        MetricDefinition::parse("m.yaml", &SMALL.replace("measures:\n  n: {count: rows}\n", &measures))
    };
    let sum = "a: {sum: data.a, money: currency}";
    let metric = parse(sum, "region: region").expect("is right");
    assert_eq!(metric.dimensions.keys().collect::<Vec<_>>(), ["currency", "region"]);
    let plain = parse("a: {sum: data.a}", "region: region").expect("is right");
    assert_eq!((plain.dimensions.len(), plain.money()), (1, None));
    assert_ne!(metric.version(), plain.version());
    assert!(parse(sum, "currency: currency").is_ok(), "it is the same");
    assert!(parse("a: {sum: data.a}", "currency: data.billing").is_ok(), "without money it is a name like any other");
    for (measures, dimensions, reason) in [
        (sum, "currency: data.billing", "`currency` is not free as a dimension's name"),
        ("a: {sum: data.a, money: currency}, b: {max: data.b, money: data.b_currency}", "", "in several places"),
        ("a: {quantile: data.a, at: 0.5, money: currency}", "", "not with quantile"),
        ("a: {count: rows, money: currency}", "", "not with count"),
        ("a: {sum: data.a, money: region}", "", "`money` says where the currency is"),
        ("a: {sum: data.a, money: EUR}", "", "is not a field"),
    ] {
        let told = parse(measures, dimensions).expect_err(measures).to_string();
        assert!(told.starts_with("m.yaml:") && told.contains(reason), "{told}");
    }
}

#[test]
fn what_values_repeat_over_is_a_dimension() {
    let measure = |text: &str| {
        let measures = format!("dimensions: {{category: category}}\nmeasures:\n  n: {{{text}}}\n");
        SMALL.replace("measures:\n  n: {count: rows}\n", &measures)
    };
    let orders = "distinct: data.order_id, within: partition";
    let version = |text: &str| MetricDefinition::parse("m.yaml", &measure(text)).expect(text).version().to_owned();
    let repeats = version(&format!("{orders}, repeats_over: [category]"));
    let total = version(&format!("{orders}, repeats_over: [category], total: a.b"));
    let nothing = version(&format!("{orders}, repeats_over: []"));
    let versions = std::collections::BTreeSet::from([version(orders), repeats, total, nothing]);
    assert_eq!(versions.len(), 4, "it is part of the meaning");
    for (text, why) in [
        (format!("{orders}, repeats_over: [colour]"), "repeats over `colour`, which is none of its dimensions"),
        (format!("{orders}, repeats_over: [currency]"), "repeats over `currency`, which is none"),
        ("distinct: subject, repeats_over: [category]".into(), "`within: partition`"),
        ("count: rows, repeats_over: [category]".into(), "go with `distinct`"),
        (format!("{orders}, total: a.b"), "`total` goes with `repeats_over`"),
        (format!("{orders}, repeats_over: [category], total: a"), "a total is named METRIC.MEASURE"),
    ] {
        let error = error(&measure(&text));
        assert!(error.starts_with("m.yaml:6: ") && error.contains(why), "{error}");
    }
}
