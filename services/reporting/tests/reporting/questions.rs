//! Questions about ranges of time: what is answered is what was asked.

use serde_json::{Value as Json, json};
use tidemill_definitions::Metrics;
use tidemill_domain::{Amount, Timestamp};
use tidemill_events::CellUpdate;
use tidemill_totals::Measure;

use crate::shop::{MINUTE, Running, Shop, update};

const DAY: i64 = 24 * 60 * MINUTE;
/// A year of made cells has one every so often, in each of two categories.
const EVERY: i64 = 180 * MINUTE;

fn time(text: &str) -> Timestamp {
    text.parse().expect(text)
}

/// The window of `metric`, `millis` long, that holds a sale of so much.
fn sale(metric: &str, millis: i64, at: &str, amount: i64) -> CellUpdate {
    let metrics = Metrics::load(None).expect("the defaults");
    let definition = metrics.get(metric).expect(metric);
    let start = time(at).floor_to(millis);
    CellUpdate {
        retracted: false,
        group: definition.cell_group(definition.dimensions.keys().map(|_| "Asia Pacific")),
        start,
        end: start.plus_millis(millis),
        totals: definition.totals([("revenue", Measure::Sum(Amount::from_int(amount)))]),
        exemplar: None,
    }
}

/// Sales at 23:30 of a day of UTC, at noon and at 23:30 of the next: of 10, 20 and 40.
async fn trade(shop: &Shop, running: &Running) {
    let minutes = [("2026-11-26T23:30:00Z", 10), ("2026-11-27T12:00:00Z", 20), ("2026-11-27T23:30:00Z", 40)];
    let days = [("2026-11-26T23:30:00Z", 10), ("2026-11-27T12:00:00Z", 60)];
    let minutes = minutes.into_iter().map(|(at, amount)| sale("sales_metrics", MINUTE, at, amount));
    let days = days.into_iter().map(|(at, amount)| sale("daily_sales", DAY, at, amount));
    shop.bus.publish(&update(0, 1, minutes.chain(days).collect())).await.expect("stored");
    running.until("/v1/metrics/daily_sales/totals", |answer| revenue(answer) == ["70.00"]).await;
}

fn revenue(answer: &Json) -> Vec<&str> {
    answer["rows"].as_array().expect("rows").iter().filter_map(|row| row["values"]["revenue"].as_str()).collect()
}

#[tokio::test]
async fn a_range_that_no_whole_windows_make_is_refused() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    trade(&shop, &running).await;
    let day = "from=2026-11-27T00:00:00%2B01:00&to=2026-11-28T00:00:00%2B01:00";
    let answer = running.json(&format!("/v1/metrics/sales_metrics/totals?{day}")).await;
    assert_eq!(revenue(&answer), ["30.00"]);
    for path in ["totals?", "series?", "totals?format=csv&", "series?format=csv&"] {
        let (status, problem) = running.problem(&format!("/v1/metrics/daily_sales/{path}{day}")).await;
        assert_eq!((status, &problem["code"]), (422, &json!("unaligned_range")), "{path}");
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains("from=2026-11-27T00:00:00Z&to=2026-11-28T00:00:00Z"), "{detail}");
        assert_eq!(problem["errors"][0]["pointer"], "/from");
    }
    let whole = "/v1/metrics/daily_sales/totals?from=2026-11-27T00:00:00Z&to=2026-11-28T00:00:00Z";
    assert_eq!(revenue(&running.json(whole).await), ["60.00"]);
    let (status, problem) = running.problem("/v1/books?hours=true&from=2026-11-27T10:30:00Z").await;
    assert_eq!((status, &problem["code"]), (422, &json!("unaligned_range")));
    running.stop().await;
}

#[tokio::test]
async fn no_route_lets_an_unknown_parameter_pass() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let api = running.json("/openapi.json").await;
    let mut asked = 0;
    for (path, methods) in api["paths"].as_object().expect("paths") {
        let path = path.replace("{name}", "sales_metrics").replace("{sequence}", "1");
        let path = path.replace("{request}", &uuid::Uuid::nil().to_string());
        for method in methods.as_object().expect("methods").keys() {
            let method: reqwest::Method = method.to_uppercase().parse().expect("a method");
            let address = format!("http://{}{path}?nonsense=1", running.address);
            let answer = running.client.request(method.clone(), address).send().await.expect("answers");
            assert_eq!(answer.status(), 400, "{method} {path}");
            let problem: Json = answer.json().await.expect("JSON");
            assert_eq!(problem["code"], "invalid_parameter", "{method} {path}");
            assert_eq!(problem["errors"][0]["pointer"], "/nonsense", "{method} {path}");
            asked += 1;
        }
    }
    assert_eq!(asked, 23);
    running.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_unknown_and_not_settled() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let none = uuid::Uuid::nil();
    let (status, problem) = running.problem(&format!("/v1/dead-letters/orders/{none}")).await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_order")));
    for (path, code) in [
        ("/v1/metrics/none/totals?", "unknown_metric"),
        ("/v1/metrics/sales_metrics/series?version=none&", "unknown_version"),
    ] {
        let (status, problem) = running.problem(&format!("{path}from=now&format=xml&format=csv&colour=red")).await;
        assert_eq!((status, &problem["code"]), (404, &json!(code)));
        let errors = problem["errors"].as_array().expect("errors").iter();
        let pointers: Vec<_> = errors.map(|error| &error["pointer"]).collect();
        assert_eq!(pointers, ["/from", "/format"], "all that can be told without the metric");
    }
    running.stop().await;
}

/// Start, end and revenue of each point of a series that is not grouped.
fn points(answer: &Json) -> Vec<(&str, &str, &str)> {
    let points = answer["series"][0]["points"].as_array().expect("points");
    points
        .iter()
        .map(|point| (text_of(&point["start"]), text_of(&point["end"]), text_of(&point["values"]["revenue"])))
        .collect()
}

fn text_of(value: &Json) -> &str {
    value.as_str().expect("a text")
}

#[tokio::test]
async fn days_are_those_of_the_shop() {
    let shop = Shop::open().await;
    let running = shop.report("calendar.zone = 'Europe/Berlin'").await;
    trade(&shop, &running).await;
    let totals = async |question: &str| running.json(&format!("/v1/metrics/sales_metrics/totals?{question}")).await;
    let answer = totals("from=2026-11-27&to=2026-11-28").await;
    assert_eq!((revenue(&answer), &answer["zone"]), (vec!["30.00"], &json!("Europe/Berlin")));
    assert_eq!((&answer["from"], &answer["to"]), (&json!("2026-11-26T23:00:00Z"), &json!("2026-11-27T23:00:00Z")));
    assert_eq!(revenue(&totals("from=2026-11-27&to=2026-11-28&zone=UTC").await), ["60.00"]);
    // The plus is not encoded, and comes as a space.
    let plus = totals("from=2026-11-27T00:00:00+01:00&to=2026-11-28T00:00:00+01:00").await;
    assert_eq!(revenue(&plus), ["30.00"]);
    assert_eq!(running.get("/v1/dead-letters?since=2026-11-27T00:00:00+01:00").send().await.expect("it").status(), 200);

    let days = "/v1/metrics/sales_metrics/series?resolution=day";
    let answer = running.json(days).await;
    let (first, second) =
        (("2026-11-26T23:00:00Z", "2026-11-27T23:00:00Z"), ("2026-11-27T23:00:00Z", "2026-11-28T23:00:00Z"));
    assert_eq!(points(&answer), [(first.0, first.1, "30.00"), (second.0, second.1, "40.00")]);
    assert_eq!((&answer["resolution"], &answer["approximate"]), (&json!("day"), &json!([])));
    let cut = running.json(&format!("{days}&from=2026-11-27T12:00:00Z&to=2026-11-27T23:31:00Z")).await;
    let expected = [("2026-11-27T12:00:00Z", first.1, "20.00"), (second.0, "2026-11-27T23:31:00Z", "40.00")];
    assert_eq!(points(&cut), expected, "points say what of a day they hold");
    let csv = running.get(&format!("{days}&format=csv&zone=UTC")).send().await.expect("it").text().await.expect("text");
    assert!(csv.contains("2026-11-27T00:00:00Z,2026-11-28T00:00:00Z,") && csv.contains(",60.00"), "{csv}");
    running.stop().await;
}

#[tokio::test]
async fn what_windows_cannot_tell_is_refused() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    trade(&shop, &running).await;
    for (question, status, code) in [
        ("daily_sales/series?resolution=day&zone=Europe/Berlin", 422, "unaligned_range"),
        ("daily_sales/totals?zone=Europe/Berlin&from=2026-11-27", 422, "unaligned_range"),
        ("daily_sales/series?resolution=hour", 400, "invalid_parameter"),
        ("sales_metrics/series?resolution=second", 400, "invalid_parameter"),
        ("sales_metrics/totals?resolution=day", 400, "invalid_parameter"),
        ("sales_metrics/totals?zone=Europe/Atlantis", 400, "invalid_parameter"),
        ("sales_metrics/totals?zone=UTC&zone=UTC", 400, "invalid_parameter"),
        ("sales_metrics/totals?from=2026-11-31", 400, "invalid_parameter"),
        ("sales_metrics/totals?from=2026-11-27&to=2026-11-26", 400, "invalid_parameter"),
    ] {
        let (seen, problem) = running.problem(&format!("/v1/metrics/{question}")).await;
        assert_eq!((seen, problem["code"].as_str()), (status, Some(code)), "{question}: {problem}");
    }
    running.stop().await;
}

#[tokio::test]
async fn days_that_a_metric_has_not_are_told_of_the_one_that_has_them() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    trade(&shop, &running).await;
    for question in
        ["series?resolution=day&zone=Europe/Berlin&group_by=region", "totals?zone=Europe/Berlin&from=2026-11-27"]
    {
        let (status, problem) = running.problem(&format!("/v1/metrics/daily_sales/{question}")).await;
        let detail = problem["detail"].as_str().expect("a detail");
        let example = format!("/v1/metrics/order_metrics/{question}");
        assert!(status == 422 && detail.ends_with(&format!("GET {example}")), "{detail}");
        assert_eq!(running.json(&example).await["zone"], "Europe/Berlin", "it can be asked as it stands");
    }
    running.stop().await;
}

/// Stores a year of sales in two categories, and gives their sum in cents.
async fn trade_for_a_year(shop: &Shop) -> i64 {
    let begin = time("2025-11-27T00:00:00Z");
    let sales = crate::shop::sales();
    let mut cents = 0;
    let cells: Vec<CellUpdate> = (0..365 * DAY / EVERY)
        .flat_map(|n| ["books", "games"].map(|category| (n, category)))
        .map(|(n, category)| {
            let amount = n % 97 + 1;
            cents += amount;
            let start = begin.plus_millis(n * EVERY);
            let mut cell = sale("sales_metrics", MINUTE, &start.to_string(), 0);
            cell.group = sales.cell_group([category, "Asia Pacific", "Asia Pacific"]);
            let revenue = Measure::Sum(Amount::from_micros(i128::from(amount) * 10_000));
            cell.totals = sales.totals([("revenue", revenue)]);
            cell
        })
        .collect();
    for (at, cells) in (1..).zip(cells.chunks(1000)) {
        shop.bus.publish(&update(0, at, cells.to_vec())).await.expect("stored");
    }
    cents
}

/// The sum of all points, in cents, and how many they are.
fn sum_of(answer: &Json) -> (i64, usize) {
    let points = answer["series"].as_array().expect("series").iter().flat_map(|line| line["points"].as_array());
    let amounts = points.flatten().map(|point| text_of(&point["values"]["revenue"]).replace('.', ""));
    let amounts: Vec<i64> = amounts.map(|amount| amount.parse().expect("an amount")).collect();
    (amounts.iter().sum(), amounts.len())
}

#[tokio::test]
async fn a_year_is_a_normal_range() {
    let shop = Shop::open().await;
    let running = shop.report("limits.points = 5000").await;
    let cents = trade_for_a_year(&shop).await;
    let total = format!("{}.{:02}", cents / 100, cents % 100);
    running.until("/v1/metrics/sales_metrics/totals", |answer| revenue(answer) == [total.as_str()]).await;
    let series = "/v1/metrics/sales_metrics/series?group_by=category";
    for (more, resolution, points) in [
        ("", "day", 365),
        // As the page asks for everything.
        ("&from=1970-01-01T00:00:00Z&to=2030-01-01T00:00:00Z", "day", 365),
        ("&resolution=week", "week", 53),
        ("&resolution=month", "month", 13),
        ("&zone=America/Havana", "day", 366),
        ("&resolution=year&zone=Asia/Kathmandu", "year", 2),
    ] {
        let answer = running.json(&format!("{series}{more}")).await;
        assert_eq!((&answer["resolution"], sum_of(&answer)), (&json!(resolution), (cents, 2 * points)), "{more}");
    }
    let (status, problem) = running.problem(&format!("{series}&resolution=window")).await;
    assert_eq!((status, &problem["code"]), (422, &json!("too_many_points")));
    let day = running.json(&format!("{series}&from=2026-03-01&to=2026-03-02")).await;
    assert_eq!((&day["resolution"], sum_of(&day).1), (&json!("window"), 2 * 8));
    running.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_told_more_coarsely() {
    let shop = Shop::open().await;
    let running = shop.report("limits.points = 2\ncalendar.zone = 'Asia/Kathmandu'").await;
    trade(&shop, &running).await;
    let answer = running.json("/v1/metrics/sales_metrics/series").await;
    assert_eq!((&answer["resolution"], &answer["zone"]), (&json!("day"), &json!("Asia/Kathmandu")));
    assert_eq!(sum_of(&answer), (7000, 2), "two days of three windows");
    let (status, problem) = running.problem("/v1/metrics/sales_metrics/series?resolution=window").await;
    assert_eq!((status, &problem["code"]), (422, &json!("too_many_points")));
    running.stop().await;
}
