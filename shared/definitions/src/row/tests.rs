use proptest::{option, prelude::*, sample::select};
use tidemill_events::{Enrichment, ItemFacts, LineFacts, OrderFacts, event::splice_enrichment};

use super::*;
use crate::Metrics;

/// Its lines live on, so that what is read of them may too.
fn rows_of(metric: &MetricDefinition, line: &str, enrichment: &Enrichment) -> Vec<Contribution<'static>> {
    let mut enriched = Vec::new();
    splice_enrichment(line.as_bytes(), enrichment, &mut enriched).expect("is written");
    let event = EnrichedEventRef::read(enriched.leak()).expect("an event");
    let mut rows = Vec::new();
    let enrichment = event.enriched.as_ref().expect("is enriched");
    metric.contribute(&event, enrichment, &Data::of(event.data), |row| rows.push(row));
    rows
}

fn contributions(metric: &str, line: &str, enrichment: &Enrichment) -> Vec<Contribution<'static>> {
    let metrics = Metrics::load(None).expect("the defaults load");
    rows_of(metrics.get(metric).expect(metric), line, enrichment)
}

fn money(text: &str) -> Option<RowValue<'static>> {
    Some(RowValue::Money(Amount::read(text).expect(text), None))
}

fn amount(text: &str) -> Option<RowValue<'static>> {
    Some(RowValue::Amount(Amount::read(text).expect(text)))
}

fn facts(category: &str) -> ItemFacts {
    ItemFacts { category: category.into(), product: BTreeMap::from([("brand".into(), format!("{category} & co"))]) }
}

fn of(text: &str) -> Amount {
    text.parse().expect(text)
}

/// An order of two lines, and of one that cannot be read.
fn ordered() -> Enrichment {
    let book = LineFacts { quantity: of("2"), gross: of("2.01"), discount: of("0.51"), ..LineFacts::default() };
    let game = LineFacts { quantity: of("3"), gross: of("0.3"), rounded: true, ..LineFacts::default() };
    let toy = LineFacts { unread: true, ..LineFacts::default() };
    Enrichment {
        region: "Europe".into(),
        items: vec![facts("books"), facts("games"), facts("toys")],
        order: Some(OrderFacts { id: "o1".into(), shipping: of("3"), ..OrderFacts::default() }),
        lines: vec![book, game, toy],
        ..Enrichment::default()
    }
}

const PLACED: &str = r#"{"id":"1","source":"s","type":"order.placed","time":"2026-01-01T00:00:00Z","subject":"c1",
    "data":{"order_id":"o1"}}"#;

#[test]
fn an_order_is_a_row_per_line() {
    let text = |text: &'static str| Some(RowValue::Text(text.into()));
    let zero = || money("0");
    let rows = contributions("sales_metrics", PLACED, &ordered());
    // Measures in the order of their names: cancelled, customers, discounts, gross, net, orders, quantity, refunds,
    // revenue.
    let books = vec![
        zero(),
        text("c1"),
        money("0.51"),
        money("2.01"),
        money("1.50"),
        text("o1"),
        amount("2"),
        zero(),
        money("1.50"),
    ];
    assert_eq!(
        rows[0],
        Contribution { dimensions: vec!["books".into(), "Unknown".into(), "Europe".into()], values: books }
    );
    assert_eq!(rows[1].dimensions, ["games", "Unknown", "Europe"]);
    let rounded = RowValue::Money(ReadAmount { amount: of("0.3"), rounded: true }, None);
    assert_eq!(rows[1].values[8], Some(rounded), "what was rounded stays told");
    assert_eq!(rows[2].dimensions, ["toys", "Unknown", "Europe"]);
    assert_eq!(rows[2].values[3], Some(RowValue::Unread));
}

/// What enrichment worked out is never taken for a float that was written out.
#[test]
fn an_amount_of_a_line_is_exact() {
    let mut enrichment = ordered();
    let digits = "10000062.5610099";
    assert_ne!(amount(digits), Some(RowValue::Amount(ReadAmount { amount: exact(digits), rounded: false })), "as text");
    enrichment.lines = vec![LineFacts { gross: exact(digits), ..LineFacts::default() }];
    let of = |metric: &str| contributions(metric, PLACED, &enrichment).remove(0).values;
    let expected = Some(RowValue::Money(ReadAmount { amount: exact(digits), rounded: false }, None));
    assert_eq!((&of("sales_metrics")[3], &of("order_metrics")[3]), (&expected, &expected));
}

/// The amount with these digits.
fn exact(text: &str) -> Amount {
    serde_json::from_value(text.into()).expect("an amount")
}

#[test]
fn an_order_is_one_row_where_its_lines_are_none() {
    // Measures: cancelled, customers, discounts, gross, net, orders, refunded_beyond, refunds, revenue, shipping, tax.
    let mut enrichment = ordered();
    let row = |enrichment: &Enrichment, line: &str| contributions("order_metrics", line, enrichment).remove(0).values;
    let part = RowValue::Partly(Box::new(money("1.80").expect("money")));
    assert_eq!(row(&enrichment, PLACED)[8], Some(part), "the lines that can be read count, as they do one by one");
    let all = enrichment.lines.split_off(2);
    let lines = std::mem::replace(&mut enrichment.lines, all);
    assert_eq!(row(&enrichment, PLACED)[8], Some(RowValue::Unread), "none can be read");
    assert_eq!(row(&enrichment, PLACED)[9], money("3"), "what is no sum over lines is whole");
    enrichment.lines = lines;
    let placed = row(&enrichment, PLACED);
    assert_eq!((&placed[5], &placed[8], &placed[9]), (&Some(RowValue::One), &money("1.80"), &money("3")));
    enrichment.lines = vec![LineFacts { refund: of("1.5"), facts: Some(facts("books")), ..LineFacts::default() }];
    let refunded = row(&enrichment, &PLACED.replace("placed", "refunded"));
    assert_eq!((&refunded[4], &refunded[5], &refunded[7]), (&money("-1.5"), &None, &money("1.5")));
    enrichment.order = None;
    assert_eq!(row(&enrichment, PLACED)[8], Some(RowValue::Unread), "an order without an id is none, and is told");
}

#[test]
fn shipping_and_tax_that_cannot_be_read_are_told() {
    let mut enrichment = ordered();
    enrichment.order = Some(OrderFacts { shipping_unread: true, tax: of("2"), ..OrderFacts::default() });
    let row =
        |enrichment: &Enrichment| contributions("order_metrics", PLACED, enrichment).remove(0).values.split_off(9);
    assert_eq!(row(&enrichment), [Some(RowValue::Unread), money("2")]);
    enrichment.order = Some(OrderFacts { shipping: of("3"), tax_unread: true, ..OrderFacts::default() });
    assert_eq!(row(&enrichment), [money("3"), Some(RowValue::Unread)]);
}

#[test]
fn a_line_may_have_a_product_of_its_own() {
    let mut enrichment = ordered();
    enrichment.items.clear();
    enrichment.lines = vec![LineFacts {
        refund: of("2"),
        product: Some("p".into()),
        facts: Some(facts("books")),
        ..LineFacts::default()
    }];
    let text = "name: m\ntypes: [order.refunded]\neach: lines\nwindow: {tumbling: 1m}\n\
                where: \"line.refund > 1.5 && order.id == 'o1' && product.brand == 'books & co'\"\n\
                dimensions: {category: category, brand: product.brand, product: line.product}\n\
                measures: {refunds: {sum: line.refund}}\n";
    let metric = MetricDefinition::parse("m.yaml", text).expect("is right");
    let line = PLACED.replace("placed", "refunded");
    let rows = rows_of(&metric, &line, &enrichment);
    // Dimensions in the order of their names.
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].dimensions, ["books & co", "books", "p"]);
}

#[test]
fn a_measure_counts_only_the_rows_that_it_wants() {
    let line = |quantity: &str, price: &str| {
        format!(
            r#"{{"id":"1","source":"s","type":"invoice.line","time":"2010-12-01T08:26:00Z",
            "data":{{"invoice":"536365","quantity":{quantity},"unit_price":{price},"country":"EIRE"}}}}"#
        )
    };
    let row = |quantity, price| {
        let mut rows = contributions("daily_country", &line(quantity, price), &Enrichment::default());
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    };
    // Measures: customers, invoices, lines, net, quantity, sales.
    assert_eq!(row("6", "2.55").values[5], money("15.3"));
    for (quantity, price) in [("-6", "2.55"), ("6", "0"), ("6", "0.0"), ("6", "-1.5")] {
        assert_eq!(row(quantity, price).values[5], None, "{quantity} x {price}");
        assert_eq!(row(quantity, price).values[2], Some(RowValue::One));
    }
    // Numbers as texts count alike, in conditions too.
    assert_eq!(row("\"6\"", "\"2.55\"").values, row("6", "2.55").values);
    assert_eq!(row("\"-6\"", "2.55").values[5], None);
    assert_eq!(row("6", "2.55").values[0], Some(RowValue::Unread), "no customer is not a customer, and is told");
    assert_eq!(row("6", "2.55").dimensions, ["EIRE", "Unknown"]);
}

#[test]
fn what_a_measure_cannot_take_is_told() {
    let text = "name: m\ntypes: [order.placed]\neach: data.items\nwindow: {tumbling: 1m}\n\
                measures: {quantity: {sum: item.quantity}, revenue: {sum: [item.quantity, item.unit_price], money: currency}}\n";
    let metric = MetricDefinition::parse("m.yaml", text).expect("is right");
    let row = |item: &str| {
        let line = PLACED.replace(r#""order_id":"o1""#, &format!(r#""items":[{item}]"#));
        rows_of(&metric, &line, &Enrichment::default()).remove(0).values
    };
    let read = |text: &str| Amount::read(text).expect(text);
    // Measures: quantity, revenue.
    let exact = row(r#"{"quantity":"3.047","unit_price":1.902667002}"#);
    assert_eq!(exact, [amount("3.047"), money("5.797426355094")]);
    let noise = row(r#"{"quantity":1,"unit_price":0.30000000000000004}"#);
    assert_eq!(noise, [amount("1"), money("0.3")]);
    let rounded = RowValue::Money(ReadAmount { rounded: true, ..read("0.000000000002") }, None);
    assert_eq!(
        row(r#"{"quantity":0.00000004,"unit_price":0.00004}"#),
        [Some(RowValue::Amount(read("0.00000004"))), Some(rounded)]
    );
    for item in [r#"{"quantity":1}"#, r#"{"quantity":1,"unit_price":"free"}"#, r#"{"quantity":1,"unit_price":1e15}"#] {
        assert_eq!(row(item), [amount("1"), Some(RowValue::Unread)], "{item}");
    }
    assert_eq!(row("\"no item\""), [Some(RowValue::Unread), Some(RowValue::Unread)]);
}

#[test]
fn a_value_that_is_cut_stays_its_own() {
    let long = |end: &str| format!("{}{end}", "ä".repeat(130));
    let (one, other) = (long("1"), long("2"));
    assert_eq!(dimension_value("short"), "short");
    assert_eq!(dimension_value(&"ä".repeat(120)), "ä".repeat(120));
    let cut = dimension_value(&one);
    assert_eq!(cut.chars().count(), 120);
    assert_ne!(cut, dimension_value(&other));
    assert_eq!(dimension_value(&cut), cut, "what was cut is not cut again");
}

#[test]
fn other_types_contribute_nothing() {
    let line = r#"{"id":"1","source":"s","type":"cart.item_added","time":"2026-01-01T00:00:00Z","data":{}}"#;
    assert!(contributions("sales_metrics", line, &Enrichment::default()).is_empty());
    assert_eq!(contributions("conversion", line, &Enrichment::default()).len(), 1);
}

/// What a metric of one measure of money makes of an order of 15000.
fn money_of(field: &str, currency: &str, enriched: &str) -> (Cow<'static, str>, Option<RowValue<'static>>) {
    let text = format!(
        "name: m\ntypes: [order.placed]\nwindow: {{tumbling: 1m}}\nmeasures:\n  \
         total: {{sum: [data.total, data.factor], money: {field}}}\n"
    );
    let metric = MetricDefinition::parse("m.yaml", &text).expect("is right");
    let line = format!(
        r#"{{"id":"1","source":"s","type":"order.placed","time":"2026-01-01T00:00:00Z",
        "data":{{"total":"15000","factor":1,"pay":{{"currency":{currency}}}}}}}"#
    );
    let enrichment: Enrichment = serde_json::from_str(enriched).expect("an enrichment");
    let Contribution { mut dimensions, mut values } = rows_of(&metric, &line, &enrichment).remove(0);
    (dimensions.remove(0), values.remove(0))
}

#[test]
fn money_has_its_currency_and_what_it_is_in_the_base_currency() {
    let read = |text: &str| Amount::read(text).expect(text);
    let base = |converted: Option<&str>| Some(BaseAmount { base: Currency::EUR, converted: converted.map(read) });
    let yen = r#"{"refdata":1,"region":"x","currency":"JPY","rate":"0.0061349693251533742","base":"EUR"}"#;
    let exact = ReadAmount { rounded: true, ..read("92.024539877301") };
    for (field, named, enriched, currency, expected) in [
        ("currency", "null", r#"{"refdata":1,"region":"x","currency":"EUR"}"#, "EUR", base(None)),
        ("currency", "null", yen, "JPY", Some(BaseAmount { base: Currency::EUR, converted: Some(exact) })),
        ("currency", "null", r#"{"refdata":1,"region":"x","currency":"JPY","quality":["rate_unknown"]}"#, "JPY", None),
        ("currency", "null", r#"{"refdata":1,"region":"x","quality":["currency_unknown"]}"#, "Unknown", None),
        ("data.pay.currency", "\"eur\"", r#"{"refdata":1,"region":"x","currency":"EUR"}"#, "EUR", base(None)),
        // The rate is of another currency.
        ("data.pay.currency", "\"usd\"", yen, "USD", None),
        ("data.pay.currency", "\"dollars\"", yen, "Unknown", None),
        ("data.pay.currency", "null", yen, "Unknown", None),
    ] {
        let found = money_of(field, named, enriched);
        assert_eq!(
            found,
            (currency.into(), Some(RowValue::Money(read("15000"), expected))),
            "{field} {named} {enriched}"
        );
    }
}

/// Without and with what keeps a condition from being decided at once.
fn condition() -> impl Strategy<Value = String> {
    let place = select(vec![
        "data.a",
        "data.b",
        "data.c",
        "data['a']",
        "data.d.e",
        "type",
        "subject",
        "region",
        "country",
        "customer.x",
        "order.id",
        "order.gross",
        "product.brand",
        "category",
        "data.a % 2",
        "subject % 3",
        "data.a % 0",
        "data.a % 2.0",
    ]);
    let value = select(vec!["0", "2", "-1", "2.0", "0.5", "'2'", "'x'", "''", "'order.placed'", "true", "null"]);
    let operand = || prop_oneof![3 => place.clone(), 2 => value.clone()];
    let relation = select(vec!["<", "<=", ">", ">=", "==", "!="]);
    let compare =
        (operand(), relation, operand()).prop_map(|(one, relation, other)| format!("{one} {relation} {other}"));
    let joined =
        (compare.clone(), select(vec!["&&", "||"]), compare.clone(), select(vec!["&&", "||"]), compare.clone());
    prop_oneof![
        compare,
        joined.prop_map(|(one, join, other, again, last)| format!("{one} {join} {other} {again} {last}"))
    ]
}

fn member() -> impl Strategy<Value = &'static str> {
    select(vec![
        "0",
        "2",
        "2.0",
        "-1",
        "0.5",
        "1e3",
        "9223372036854775807",
        "9223372036854775808",
        "1e999",
        "\"2\"",
        "\"2.50\"",
        "\" 2\"",
        "\"x\"",
        "\"\\u0078\"",
        "\"\\ud800\"",
        "\"\"",
        "true",
        "null",
        "[]",
        "{\"e\":2}",
    ])
}

proptest! {
    /// What is decided without CEL is what CEL says.
    #[test]
    fn a_comparison_holds_where_cel_says_so(
        text in condition(),
        (a, b, again) in (member(), member(), option::of(member())),
        subject in option::of(select(vec!["2", "x", ""])),
        is_of_order in any::<bool>(),
    ) {
        let Ok(condition) = Condition::compile(&text) else { return Ok(()) };
        let again = again.map(|again| format!(",\"a\":{again}")).unwrap_or_default();
        let subject = subject.map(|subject| format!("\"subject\":\"{subject}\",")).unwrap_or_default();
        let line = format!(
            r#"{{"id":"1","source":"s","type":"order.placed","time":"2026-01-01T00:00:00Z",{subject}"data":{{"a":{a},"b":{b},"d":{{"e":{b}}}{again}}}}}"#
        );
        let mut enrichment = if is_of_order { ordered() } else { Enrichment::default() };
        enrichment.customer.insert("x".into(), "2".into());
        let mut enriched = Vec::new();
        splice_enrichment(line.as_bytes(), &enrichment, &mut enriched).expect("is written");
        let event = EnrichedEventRef::read(&enriched).expect("an event");
        let (data, enrichment) = (Data::of(event.data), event.enriched.as_ref().expect("is enriched"));
        let row = MetricRow { event: &event, enrichment, data: &data, item: None, line: None, index: 0 };
        if let Some(decided) = condition.decide(&|field, is_number| row.scalar(field, is_number)) {
            prop_assert_eq!(Ok(decided), condition.holds(&row.variables(&condition)), "{} of {}", text, line);
        }
    }
}

/// The conditions that ship are decided without CEL.
#[test]
fn what_only_compares_needs_no_cel() {
    let decide = |text: &str, data: &str| {
        let line = PLACED.replace(r#""order_id":"o1""#, data);
        let event = EnrichedEventRef::read(line.as_bytes()).expect("an event");
        let (data, enrichment) = (Data::of(event.data), EnrichmentRef::default());
        let (event, enrichment, data) = (&event, &enrichment, &data);
        let row = MetricRow { event, enrichment, data, item: None, line: None, index: 0 };
        Condition::compile(text).expect(text).decide(&|field, is_number| row.scalar(field, is_number))
    };
    let sold = "data.quantity > 0 && data.unit_price > 0";
    assert_eq!(decide(sold, r#""quantity":2,"unit_price":"1.5""#), Some(true));
    assert_eq!(decide(sold, r#""quantity":-2,"unit_price":{}"#), Some(false));
    assert_eq!(decide("data.auction % 123 == 0", r#""auction":1230"#), Some(true));
    assert_eq!(decide("data.auction % 123 == 0", r#""auction":"1231""#), Some(false));
    assert_eq!(decide("data.auction % 0 == 0", r#""auction":1"#), None, "CEL says what that is");
    assert_eq!(decide(sold, r#""quantity":2"#), None, "CEL says what a missing member means");
    assert_eq!(decide("type == 'order.placed' || data.x.y", ""), None, "the rest is more than comparisons");
    assert_eq!(decide("type == 'order.placed' || data.x > 1", ""), Some(true));
}
