use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use tidemill_domain::{Amount, Timestamp};

use super::{
    Shape,
    shape::COUNTRIES,
    truth::{CheckedDimension, TrueValue, totals},
    workload::{Kind, LoadCustomer, Workload},
    writing::Generator,
};

fn workload(shape: Shape) -> Workload {
    Workload {
        shape,
        events: 4_321,
        seed: 7,
        customers: 300,
        products: 40,
        padding: 0,
        begin: Timestamp::saturating_from_millis(1_780_000_123_456),
        per_minute: 1_000,
        probe_every: 50,
        alert_every: 400,
    }
}

fn lines(workload: Workload, batch: u64) -> Vec<String> {
    let generator = Generator::new(workload, batch);
    let text = |request| String::from_utf8(generator.body(request).to_vec()).expect("text");
    let all: String = (0..generator.requests()).map(text).collect();
    all.lines().map(str::to_owned).collect()
}

#[test]
fn the_same_seed_makes_the_same_events_however_they_are_cut() {
    for shape in [Shape::Shop, Shape::InvoiceLines] {
        let one = lines(workload(shape), 1_000);
        assert_eq!(one.len(), 4_321);
        assert_eq!(one, lines(workload(shape), 7));
        assert_ne!(one, lines(Workload { seed: 8, ..workload(shape) }, 1_000));
        let ids: HashSet<_> =
            one.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["id"].clone()).collect();
        assert_eq!(ids.len(), one.len(), "each has an id of its own");
    }
}

/// Lines, quantity, sales and customers.
type ReadCell = (u64, Amount, Amount, HashSet<String>);

/// The truth is read from the lines themselves, by a way that shares nothing
/// with how it is counted.
#[test]
fn the_truth_is_what_the_lines_say() {
    let workload = workload(Shape::InvoiceLines);
    let mut read: BTreeMap<(String, String), ReadCell> = BTreeMap::new();
    for line in lines(workload.clone(), 1_000) {
        let event: Value = serde_json::from_str(&line).expect("JSON");
        let (data, time) = (&event["data"], event["time"].as_str().expect("a time"));
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let cell = read.entry((format!("{}:00Z", &time[..16]), text(&data["country"]))).or_default();
        let number = |name: &str| data[name].to_string().parse::<Amount>().expect("a number");
        cell.0 += 1;
        cell.1 = [cell.1, number("quantity")].into_iter().sum();
        let sales = Amount::product_of([
            tidemill_domain::Factor::Exact(number("quantity")),
            tidemill_domain::Factor::Exact(number("unit_price")),
        ]);
        cell.2 = [cell.2, sales.expect("small").amount].into_iter().sum();
        cell.3.insert(text(&data["customer_id"]));
    }
    let end = workload.time(workload.events).plus_millis(60_000).floor_to(60_000);
    let truth = totals(&workload, &[CheckedDimension::Country], 60_000, (workload.begin.floor_to(60_000), end));
    assert_eq!(truth.len(), read.len());
    for ((start, values), total) in truth {
        let (rows, quantity, sales, customers) = &read[&(start.to_string(), values[0].to_owned())];
        let exact = |name| match total.measure(name) {
            Some(TrueValue::Hundredths(n)) => {
                format!("{}.{:02}", n / 100, n % 100).parse::<Amount>().expect("a number")
            }
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(total.measure("lines"), Some(TrueValue::Count(*rows)));
        assert_eq!((exact("quantity"), exact("net")), (*quantity, *sales));
        assert_eq!(total.measure("customers"), Some(TrueValue::Count(customers.len() as u64)));
    }
}

#[test]
fn windows_are_told_apart_by_event_time() {
    let workload = workload(Shape::Shop);
    for n in [0, 1, 17, 4_320] {
        assert_eq!(workload.first_at(workload.time(n)), n);
    }
    assert_eq!(workload.first_at(Timestamp::EPOCH), 0);
    assert_eq!(workload.first_at(workload.time(9_999_999)), workload.events);
    let whole = totals(&workload, &[], 60_000, (workload.begin.floor_to(60_000), workload.time(9_999)));
    let orders: u64 = whole.values().map(|total| total.rows).sum();
    let sent = lines(workload, 500).iter().filter(|line| line.contains("order.placed")).count() as u64;
    assert_eq!(orders, sent);
}

#[test]
fn probes_have_totals_of_their_own_and_alerts_a_customer_each() {
    let workload = workload(Shape::Shop);
    let (mut probes, mut alerts) = (0, 0);
    for n in 0..workload.events {
        let facts = workload.facts(n);
        match facts.customer {
            LoadCustomer::Probe(probe) => {
                assert_eq!((workload.of_probe(probe), facts.kind), (n, Kind::Order));
                probes += 1;
            }
            LoadCustomer::Alerting(of) => {
                assert_eq!(of, n);
                alerts += 1;
            }
            LoadCustomer::Regular(customer) => assert!(customer < 300),
        }
        let is_apart = COUNTRIES[facts.country].region == workload.shape.probe_group().1;
        assert_eq!(is_apart, matches!(facts.customer, LoadCustomer::Probe(_)), "{n}");
    }
    assert_eq!((probes, alerts), (4_321_u64.div_ceil(50), 11));
}

/// Enrichment's table says where these countries are.
#[test]
fn regions_are_those_of_the_built_in_table() {
    let path = tidemill_testkit::crate_folder().join("../enrichment/reference/countries.yaml");
    let table = std::fs::read_to_string(path).expect("the table");
    for country in &COUNTRIES {
        let mut region = "";
        let place = table.lines().find(|line| {
            if !line.starts_with([' ', '#']) {
                region = line.trim_end_matches(':');
            }
            line.trim_start().starts_with(&format!("{}: ", country.code))
        });
        assert!(place.is_some_and(|line| line.contains(country.name)), "{}", country.name);
        assert_eq!(region, country.region, "{}", country.name);
    }
}
