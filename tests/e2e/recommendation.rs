//! Recommendations over the whole chain: what an event changes, and what was shown, clicked
//! and bought of them as metrics.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tidemill::{shop_file::DefinitionsSection, suite::DefinitionFiles};
use tidemill_testkit::{eventually, tempdir, try_eventually};
use tidemill_tests::{DEADLINE, TestSuite, now};

const NDJSON: &str = "application/x-ndjson";
/// Half of the visitors see what visits like theirs have, and half what is popular.
const RULES: &str = "\
fallbacks: [category, popular]
experiment:
  name: shelf
  variants:
    - {name: control, share: 50}
    - {name: popular-first, share: 50, strategy: popular}
";
/// Visits that are shown something.
const SHOWN_TO: u32 = 24;
const PER_LIST: usize = 3;

fn viewed(visit: &str, product: &str) -> Value {
    let data = json!({"product_id": product, "session_id": visit});
    json!({"type": "product.viewed", "source": "storefront", "id": format!("{visit}-{product}"), "time": now(), "data": data})
}

async fn post(suite: &TestSuite, events: &[Value]) {
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    let (status, verdict) = suite.post(NDJSON, lines.join("\n")).await;
    assert_eq!((status, &verdict["accepted"]), (202, &json!(events.len())), "{verdict}");
}

/// What recommendation answers.
async fn recommended(suite: &TestSuite, query: &str) -> Value {
    let url = format!("http://{}/v1/recommendations{query}", suite.suite.recommendation);
    let answer = suite.http.get(url).send().await.expect("recommendation answers");
    answer.json().await.expect("JSON")
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().into_iter().flatten().filter_map(|item| item["item"].as_str()).collect()
}

/// Visits that go from strings to a guitar, and more that look at a book.
async fn teach(suite: &TestSuite) {
    let guitars =
        (0..6).flat_map(|n| ["strings", "guitar", "bag"].map(|product| viewed(&format!("guitar-{n}"), product)));
    let books = (0..9).map(|n| viewed(&format!("book-{n}"), "novel"));
    post(suite, &guitars.chain(books).collect::<Vec<_>>()).await;
    try_eventually("it is learnt", DEADLINE, async || {
        let (visits, popular) = (recommended(suite, "?items=strings").await, recommended(suite, "/popular").await);
        let is_learnt = ids(&popular).first() == Some(&"novel") && popular["items"][0]["reason"]["count"] == 9;
        if is_learnt && visits["items"][0]["reason"]["count"] == 6 { Ok(()) } else { Err((visits, popular)) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_changes_what_is_recommended_within_a_second() {
    let suite = TestSuite::start().await;
    teach(&suite).await;
    let mut took = Vec::new();
    for n in 0..5 {
        let (visit, begun) = (format!("visitor-{n}"), Instant::now());
        post(&suite, &[viewed(&visit, "strings")]).await;
        let query = format!("?session={visit}&n=1");
        let answer = eventually("the answer changes", DEADLINE, async || {
            let answer = recommended(&suite, &query).await;
            (answer["items"][0]["reason"]["strategy"] == "visits").then_some(answer)
        })
        .await;
        took.push(begun.elapsed());
        assert!(["guitar", "bag"].contains(&ids(&answer)[0]), "{answer}");
    }
    // The best of them: others have the machine too.
    assert!(took.iter().min().is_some_and(|took| *took < Duration::from_secs(1)), "{took:?}");
    suite.stop().await;
}

/// What came of a strategy in a variant, in cents.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sum {
    impressions: u64,
    clicks: u64,
    lines: u64,
    quantity: u64,
    revenue: u64,
}

/// By strategy and variant.
type Sums = BTreeMap<(String, String), Sum>;

/// An event of a page, as `recommend.js` tells it and the shop's server passes it on.
fn told(what: &str, visit: &str, items: &[Value]) -> Value {
    json!({"specversion": "1.0", "id": format!("{what}-{visit}"), "source": "storefront", "type": format!("recommendation.{what}"),
        "time": now(), "data": {"items": items, "placement": "product", "session_id": visit}})
}

/// The items of an answer, as events name them.
fn named(answer: &Value) -> Vec<Value> {
    let Value::Array(items) = &answer["items"] else { panic!("no list: {answer}") };
    let recommendation = |item: &Value| {
        json!({"request": answer["request"], "strategy": item["reason"]["strategy"], "experiment": answer["experiment"],
            "variant": answer["variant"]})
    };
    let item = |(position, item): (usize, &Value)| json!({"product_id": item["item"], "position": position + 1, "recommendation": recommendation(item)});
    items.iter().enumerate().map(item).collect()
}

/// Shows lists to visits, of which some click, and some of these buy; answers what that comes to.
async fn trade(suite: &TestSuite) -> (u64, Sums) {
    let (mut events, mut sums) = (Vec::new(), Sums::new());
    for n in 0..SHOWN_TO {
        let visit = format!("visit-{n}");
        let items = named(&recommended(suite, &format!("?session={visit}&items=strings&n={PER_LIST}")).await);
        assert_eq!(items.len(), PER_LIST, "{items:?}");
        let mut sum = |item: &Value, add: &dyn Fn(&mut Sum)| {
            let text = |name: &str| item["recommendation"][name].as_str().expect("a text").to_owned();
            add(sums.entry((text("strategy"), text("variant"))).or_default());
        };
        items.iter().for_each(|item| sum(item, &|sum| sum.impressions += 1));
        events.push(told("shown", &visit, &items));
        if n % 3 == 0 {
            continue;
        }
        let clicked = &items[usize::from(n % 4 == 1)];
        sum(clicked, &|sum| sum.clicks += 1);
        events.push(told("clicked", &visit, std::slice::from_ref(clicked)));
        if n % 2 == 0 {
            continue;
        }
        let quantity = u64::from(n % 5 + 1);
        sum(clicked, &|sum| {
            *sum = Sum {
                lines: sum.lines + 1,
                quantity: sum.quantity + quantity,
                revenue: sum.revenue + quantity * 1_999,
                ..*sum
            };
        });
        events.push(ordered(&visit, clicked, quantity));
    }
    post(suite, &events).await;
    // A beacon that is sent again is counted once.
    let again = events.iter().filter(|event| event["type"] == "recommendation.clicked").cloned().collect::<Vec<_>>();
    post(suite, &again).await;
    (u64::try_from(events.len() + again.len()).expect("few"), sums)
}

/// An order of what was clicked, and of something that nobody recommended.
fn ordered(visit: &str, clicked: &Value, quantity: u64) -> Value {
    let items = json!([
        {"product_id": clicked["product_id"], "quantity": quantity, "unit_price": "19.99", "recommendation": clicked["recommendation"]},
        {"product_id": "tuner", "quantity": 1, "unit_price": "7.00"},
    ]);
    json!({"type": "order.placed", "source": "shop", "id": format!("o-{visit}"), "time": now(), "subject": "c-1",
        "data": {"order_id": format!("o-{visit}"), "items": items}})
}

/// What reporting tells of both metrics.
async fn counted(suite: &TestSuite) -> Sums {
    let mut sums = Sums::new();
    for metric in ["recommendation_metrics", "recommended_sales"] {
        let totals =
            suite.get(&format!("/v1/metrics/{metric}/totals?group_by=strategy,variant&experiment=shelf")).await;
        for row in totals["rows"].as_array().into_iter().flatten() {
            let text = |name: &str| row["dimensions"][name].as_str().expect("a text").to_owned();
            let count = |name: &str| row["values"][name].as_u64().unwrap_or_default();
            let hundredths = |name: &str| {
                let text = row["values"][name].as_str().unwrap_or("0.00");
                let (whole, part) = text.split_once('.').unwrap_or((text, "00"));
                assert_eq!(part.len(), 2, "{row}");
                format!("{whole}{part}").parse::<u64>().expect("a number")
            };
            let sum = sums.entry((text("strategy"), text("variant"))).or_default();
            *sum = Sum {
                impressions: sum.impressions + count("impressions"),
                clicks: sum.clicks + count("clicks"),
                lines: sum.lines + count("lines"),
                quantity: sum.quantity + hundredths("quantity") / 100,
                revenue: sum.revenue + hundredths("revenue"),
            };
        }
    }
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shown_clicked_and_bought_is_told_by_strategy_and_variant() {
    let folder = tempdir();
    let rules = folder.path().join("recommendation.yaml");
    std::fs::write(&rules, RULES).expect("writes");
    let definitions = DefinitionsSection { recommendation: Some(rules), ..DefinitionsSection::default() };
    let suite = TestSuite::with_files(DefinitionFiles { definitions, ..DefinitionFiles::default() }).await;
    teach(&suite).await;
    let before = suite.balanced(0).await["received"].as_u64().expect("a number");
    let (events, sums) = trade(&suite).await;
    suite.balanced(before + events).await;
    for (variant, strategy) in [("control", "visits"), ("popular-first", "popular")] {
        let sum = sums.get(&(strategy.into(), variant.into())).copied().unwrap_or_default();
        assert!(sum.impressions > 0 && sum.clicks > 0 && sum.lines > 0, "too few to tell anything: {sums:?}");
    }
    try_eventually("all is counted", DEADLINE, async || {
        let counted = counted(&suite).await;
        if counted == sums { Ok(()) } else { Err((counted, sums.clone())) }
    })
    .await;

    let placed = suite.get("/v1/metrics/recommendation_metrics/totals?group_by=placement").await;
    let row = &placed["rows"][0];
    let shown = u64::from(SHOWN_TO) * u64::try_from(PER_LIST).expect("few");
    assert_eq!((&row["dimensions"]["placement"], &row["values"]["impressions"]), (&json!("product"), &json!(shown)));

    let report = suite.get("/v1/experiments/shelf").await;
    assert_eq!(report["control"], "control", "{report}");
    let variants: Vec<(&str, u64, u64)> = report["variants"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|told| (told["variant"].as_str(), told["impressions"].as_u64(), told["clicks"].as_u64()))
        .map(|(name, shown, clicked)| (name.expect("a name"), shown.expect("a count"), clicked.expect("a count")))
        .collect();
    let of = |variant: &'static str| {
        let sums = sums.iter().filter(|((_, of), _)| of == variant).map(|(_, sum)| sum);
        let (shown, clicked) =
            sums.fold((0, 0), |(shown, clicked), sum| (shown + sum.impressions, clicked + sum.clicks));
        (variant, shown, clicked)
    };
    assert_eq!(variants, [of("control"), of("popular-first")]);
    let [control, other] = [variants[0], variants[1]].map(|(_, shown, clicked)| share(clicked, shown));
    assert_eq!(report["differences"].as_array().map(Vec::len), Some(1), "{report}");
    let difference = report["differences"][0]["difference"].as_f64().expect("a number");
    assert!((difference - (other - control)).abs() < 1e-9, "{report}");
    suite.stop().await;
}

#[allow(clippy::cast_precision_loss, reason = "both are small")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
