//! Amounts in several currencies.

use serde_json::{Value as Json, json};
use tidemill_domain::{Amount, BaseAmount, Currency};
use tidemill_events::{CellGroup, CellUpdate};
use tidemill_totals::{Measure, MeasureTotal};

use crate::shop::{Shop, cell_of, made_up_csv, update};

const TOTALS: &str = "/v1/metrics/sales_metrics/totals";

/// A sale in a minute, and what it is in euro, where that is known.
fn sale(minute: i64, category: &str, currency: &str, amount: &str, converted: Option<Option<&str>>) -> CellUpdate {
    let read = |text: &str| Amount::read(text).expect(text);
    let mut revenue = MeasureTotal::from(Measure::Sum(Amount::ZERO));
    let base = converted.map(|converted| BaseAmount { base: Currency::EUR, converted: converted.map(read) });
    revenue.add_money(read(amount), base);
    cell_of(minute, category, "EU", 1, (currency, revenue))
}

/// What an answer's rows say of revenue.
fn told(answer: &Json) -> Json {
    let row = |row: &Json| {
        json!([row["dimensions"], row["values"]["revenue"], row["converted"]["revenue"], row["unconverted"]["revenue"]])
    };
    answer["rows"].as_array().expect("rows").iter().map(row).collect()
}

#[tokio::test]
async fn no_total_adds_two_currencies() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let empty = running.json(TOTALS).await;
    assert_eq!((&empty["base_currency"], &empty["group_by"]), (&Json::Null, &json!(["currency"])));
    let euro = sale(0, "books", "EUR", "20.00", Some(None));
    let yen = sale(0, "books", "JPY", "15000", Some(Some("93")));
    shop.bus.publish(&update(0, 1, vec![euro, yen])).await.expect("stored");
    let more = vec![sale(1, "books", "JPY", "1000", None), sale(1, "games", "KWD", "0.125", Some(Some("0.375")))];
    shop.bus.publish(&update(1, 2, more)).await.expect("stored");

    let answer = running.until(TOTALS, |answer| answer["rows"].as_array().is_some_and(|rows| rows.len() == 3)).await;
    assert_eq!((&answer["base_currency"], &answer["group_by"]), (&json!("EUR"), &json!(["currency"])));
    let apart = json!([
        [{"currency": "EUR"}, "20.00", "20.00", null],
        [{"currency": "JPY"}, "16000.00", "93.00", 1],
        [{"currency": "KWD"}, "0.125", "0.375", null],
    ]);
    assert_eq!(told(&answer), apart);
    let grouped = running.json(&format!("{TOTALS}?group_by=category&currency=JPY")).await;
    assert_eq!(told(&grouped), json!([[{"category": "books", "currency": "JPY"}, "16000.00", "93.00", 1]]));
    let converted = running.json(&format!("{TOTALS}?convert=true")).await;
    assert_eq!(told(&converted), json!([[{}, "113.375", null, 1]]));
    assert_eq!((&converted["convert"], &converted["base_currency"]), (&json!(true), &json!("EUR")));
    assert_eq!(converted["rows"][0]["values"]["quantity"], "8.00");

    let series =
        running.json("/v1/metrics/sales_metrics/series?convert=true&group_by=category&resolution=window").await;
    let points = |at: usize| -> Vec<Json> {
        let points = series["series"][at]["points"].as_array().expect("points");
        points.iter().map(|point| json!([point["values"]["revenue"], point["unconverted"]])).collect()
    };
    assert_eq!(points(0), [json!(["113.00", null]), json!([null, {"revenue": 1}])]);
    assert_eq!(points(1), [json!(["0.375", null])]);
    let csv = running.get(&format!("{TOTALS}?convert=true&format=csv")).send().await.expect("answers");
    let expected = [
        ["customers", "orders", "quantity", "revenue", "unconverted.revenue", "base_currency"],
        ["4", "4", "8.00", "113.375", "1", "EUR"],
    ];
    assert_eq!(made_up_csv(&csv.text().await.expect("text")), expected);

    for (question, pointer) in
        [("sales_metrics/totals?convert=please", "/convert"), ("product_views/totals?convert=true", "/convert")]
    {
        let (status, problem) = running.problem(&format!("/v1/metrics/{question}")).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!(pointer)), "{problem}");
    }
    running.stop().await;
}

/// Totals that a release without currencies has stored are shown as they are.
#[tokio::test]
async fn totals_of_an_older_version_have_no_currency() {
    let shop = Shop::open().await;
    let older = shop.folder.path().join("older");
    std::fs::create_dir(&older).expect("makes the folder");
    let text =
        include_str!("../../../../shared/definitions/metrics/sales_metrics.yaml").replace(", money: currency", "");
    std::fs::write(older.join("sales_metrics.yaml"), &text).expect("writes");
    let orders = include_str!("../../../../shared/definitions/metrics/order_metrics.yaml");
    std::fs::write(older.join("order_metrics.yaml"), orders).expect("writes");
    let running = shop.report(&format!("definitions.metrics = \"{}\"", older.display())).await;
    let metrics = running.json("/v1/metrics").await;
    let sales = metrics["metrics"].as_array().into_iter().flatten().find(|metric| metric["name"] == "sales_metrics");
    let version = sales.and_then(|metric| metric["version"].as_str()).expect("a version").to_owned();
    let mut cell = cell_of(0, "books", "EU", 1, ("", Measure::Sum(Amount::from_int(7)).into()));
    cell.group = CellGroup::new("sales_metrics", &version, [("category", "books"), ("region", "EU")]);
    shop.bus.publish(&update(0, 1, vec![cell])).await.expect("stored");
    running.until(TOTALS, |answer| answer["rows"][0]["values"]["revenue"] == "7.00").await;
    running.stop().await;

    let running = shop.report("").await;
    let answer = running.json(&format!("{TOTALS}?group_by=category")).await;
    assert_eq!(told(&answer), json!([[{"category": "books"}, "7.00", null, null]]));
    assert_eq!((answer.get("base_currency"), &answer["group_by"]), (None, &json!(["category"])));
    running.stop().await;
}

/// A shop changes its base currency, and what it sells from then on is in dollars.
#[tokio::test]
async fn amounts_are_in_the_base_currency_of_the_newest_data() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let dollars = |minute: i64, amount: &str| {
        let mut revenue = MeasureTotal::from(Measure::Sum(Amount::ZERO));
        let base = BaseAmount { base: "USD".parse().expect("a currency"), converted: None };
        revenue.add_money(Amount::read(amount).expect("an amount"), Some(base));
        cell_of(minute, "books", "EU", 1, ("USD", revenue))
    };
    let euro = sale(0, "books", "EUR", "20.00", Some(None));
    shop.bus.publish(&update(0, 1, vec![euro])).await.expect("stored");
    let is_in = |base: &'static str| move |answer: &Json| answer["base_currency"] == base;
    running.until(TOTALS, is_in("EUR")).await;
    shop.bus.publish(&update(0, 2, vec![dollars(1, "7.00"), dollars(2, "2.00")])).await.expect("stored");
    let answer = running.until(TOTALS, is_in("USD")).await;
    let apart = json!([[{"currency": "EUR"}, "20.00", null, 1], [{"currency": "USD"}, "9.00", "9.00", null]]);
    assert_eq!(told(&answer), apart, "euros have no value in dollars");
    let converted = running.json(&format!("{TOTALS}?convert=true")).await;
    assert_eq!(told(&converted), json!([[{}, "9.00", null, 1]]));
    let before = running.json(&format!("{TOTALS}?to=2026-03-01T10:01:00Z")).await;
    assert_eq!(
        (&before["base_currency"], told(&before)),
        (&json!("USD"), json!([[{"currency": "EUR"}, "20.00", null, 1]]))
    );
    running.stop().await;
}
