use tidemill_domain::Code;

use super::*;

const CONTRACT: &str = "apiVersion: v3.0.2\nkind: DataContract\nid: a\nversion: 1.2.0\nstatus: active\nschema:\n  \
    - name: events\n    physicalName: silver/events\n    properties:\n      - name: id\n        physicalType: string\n        \
    required: true\n    quality:\n      - name: paid\n        type: custom\n        engine: cel\n        severity: warn\n        \
    implementation: {condition: \"data.total > 0\", types: [order.placed]}\n";

fn told(text: &str) -> String {
    DataContract::parse("c.yaml", text).map(drop).expect_err(text).to_string()
}

#[test]
fn those_that_come_with_the_lake_are_read() {
    let contracts = ContractSet::load(None).expect("contracts");
    assert_eq!(contracts.iter().count(), SHIPPED.len());
    let events = contracts.of_table("silver/events").expect("a contract");
    assert_eq!((events.id.as_str(), events.version.as_str()), ("urn:tidemill:contract:silver.events", "1.0.0"));
    let severe: Vec<&str> =
        events.rules.iter().filter(|rule| rule.severity() != RuleSeverity::Warn).map(Rule::name).collect();
    assert_eq!(severe, ["readable"], "nothing that the stream counts is held back");
    assert!(contracts.iter().all(|contract| !contract.checks.is_empty()), "each table is asked something");
    for (file, text) in SHIPPED {
        let contract = DataContract::parse(file, text).expect("a contract");
        assert_eq!(*file, format!("{}.yaml", contract.table.replace('/', ".")));
    }
}

#[test]
fn a_contract_of_ones_own_goes_before_the_one_that_comes_with_the_lake() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("mine.yaml"), CONTRACT).expect("writes");
    let contracts = ContractSet::load(Some(folder.path())).expect("contracts");
    let events = contracts.of_table("silver/events").expect("a contract");
    assert_eq!(events.columns, [ContractColumn { name: "id".into(), kind: "string".into(), required: true }]);
    assert_eq!(events.rules.iter().map(Rule::name).collect::<Vec<_>>(), ["paid"]);
    assert!(contracts.of_table("bronze/events").is_some());
    std::fs::write(folder.path().join("other.yaml"), CONTRACT).expect("writes");
    let error = ContractSet::load(Some(folder.path())).map(drop).expect_err("two of one table");
    assert!(error.to_string().ends_with("other.yaml:8: another file is about silver/events"), "{error}");
    assert_eq!(error.code(), Code::InvalidContract);
}

#[test]
fn a_condition_may_name_whatever_an_event_has() {
    for condition in [
        "data.items.all(i, i.quantity > 0) && type == 'order.placed'",
        "currency == 'EUR' && region != '' && customer.segment == 'vip' && subject != null",
        "order.net >= 0.0 || product.brand == 'x' || category == 'Books' || ip_country == country || id != source",
    ] {
        let text = CONTRACT.replacen("data.total > 0", condition, 1);
        assert!(DataContract::parse("c.yaml", &text).is_ok(), "{condition}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (place, wrong, reason) in [
        ("kind: DataContract", "kind: Table", "c.yaml:2: it is a Table, and no DataContract"),
        ("v3.0.2", "v2.2.0", "c.yaml:1: version v2.2.0 of the standard is not known; write v3.0.2"),
        ("status: active", "status: ''", "c.yaml:5: `status` is empty"),
        ("silver/events", "events", "c.yaml:8: `events` is no table; write for instance silver/events"),
        ("data.total > 0", "data.total >", "c.yaml:14: rule `paid`: "),
        ("data.total > 0", "foo(data.total) > 0", "c.yaml:14: rule `paid`: there is no function `foo`"),
        (
            "data.total > 0",
            "curency == 'EUR'",
            "c.yaml:14: rule `paid`: `curency` is not known here; known are data, order, product, customer, category, ",
        ),
        ("data.total > 0", "item.quantity > 0", "c.yaml:14: rule `paid`: `item` is not known here; known are data, "),
        ("data.total > 0", "size(lines) > 0", "c.yaml:14: rule `paid`: `lines` is not known here"),
        (
            "condition: \"data.total > 0\"",
            "check: range, field: data.total, least: 9, most: 0.5",
            "c.yaml:14: rule `paid`: `least` is 9.00, above `most`, which is 0.50: no number is between",
        ),
        ("severity: warn", "severity: error", "c.yaml:14: rule `paid`: `error` is none of warn, quarantine and fail"),
        ("severity: warn", "unit: rows", "c.yaml:14: rule `paid`: `severity` is missing: warn, quarantine or fail"),
        ("condition: \"data.total > 0\"", "check: range", "c.yaml:14: rule `paid`: `range` needs `least` or `most`"),
        ("condition: \"data.total > 0\"", "check: email", "c.yaml:14: rule `paid`: `field` is missing"),
        ("condition: \"data.total > 0\"", "most: 1", "c.yaml:14: rule `paid`: a `check` or a `condition` is missing"),
        (
            "condition: \"data.total > 0\"",
            "check: known_product, field: id",
            "c.yaml:14: rule `paid`: `field` means nothing here",
        ),
        ("condition", "conditions", "c.yaml:14: rule `paid`: unknown field `conditions`"),
        ("[order.placed]", "['order placed']", "c.yaml:14: rule `paid`: an event type "),
        ("name: paid", "name: 'pa,id'", "c.yaml:16: a rule has a name of "),
        ("silver/events", "gold/daily", "c.yaml:14: rule `paid`: the lake asks the rows of silver.events alone"),
        ("version: 1.2.0", "versions: 1", "c.yaml:"),
    ] {
        assert!(CONTRACT.contains(place), "{place}");
        let told = told(&CONTRACT.replacen(place, wrong, 1));
        assert!(told.starts_with(&format!("invalid_contract: {reason}")), "{told}\n{reason}");
    }
    let twice = format!("{CONTRACT}{}", &CONTRACT[CONTRACT.find("      - name: paid").expect("a rule")..]);
    assert!(told(&twice).contains("the rule `paid` is there twice"));
    let sql = "      - {name: paid, type: sql, query: SELECT 1, mustBe: 0}\n";
    assert!(told(&format!("{CONTRACT}{sql}")).contains("the rule `paid` is there twice"), "of any kind");
    let nameless = "      - {type: sql, query: SELECT 1, mustBe: 0}\n";
    assert!(told(&format!("{CONTRACT}{nameless}")).contains("a rule has a name of "));
    let boundless = "      - {name: b, type: sql, query: SELECT 1}\n";
    assert!(told(&format!("{CONTRACT}{boundless}")).contains("rule `b`: it needs one of mustBe"));
    // Rules of other engines are theirs.
    assert!(
        DataContract::parse("c.yaml", &CONTRACT.replace("engine: cel", "engine: soda"))
            .expect("a contract")
            .rules
            .is_empty()
    );
}
