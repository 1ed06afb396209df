//! Rules that take long hold up silver, and nothing else.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidemill_domain::{Clock, SystemClock};
use tidemill_testkit::eventually;

use crate::common::{DEADLINE, TestShop, counts};

/// More than there are threads of anything, so that all of them are at it.
const EVENTS: usize = 160;

fn view(number: usize) -> Value {
    json!({"specversion": "1.0", "type": "product.viewed", "source": format!("web-{number}"), "id": format!("v-{number}"),
        "subject": format!("c-{number}"), "time": SystemClock.now().to_string(), "data": {"product_id": "novel"}})
}

/// The contract that comes with the lake, with a rule that takes some hundredths of a second for each event at least.
fn slow_contract() -> String {
    let contract = include_str!("../../contracts/silver.events.yaml");
    let list = format!("[{}]", (0..350).map(|number| number.to_string()).collect::<Vec<_>>().join(","));
    let rule = format!(
        "    quality:\n      - name: slow\n        type: custom\n        engine: cel\n        severity: warn\n        \
         implementation: {{condition: \"{list}.all(a, {list}.all(b, a * b >= 0))\"}}\n"
    );
    contract.replacen("    quality:\n", &rule, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_rule_keeps_neither_the_server_nor_bronze_waiting() {
    let shop = TestShop::start().await;
    let folder = shop.folder().join("contracts");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("events.yaml"), slow_contract()).expect("writes");
    // Each a batch of its own.
    for number in 0..EVENTS {
        shop.post(&[view(number)], None).await;
    }
    shop.balanced(EVENTS as u64).await;
    let lake = shop.lake_with(&format!("[contracts]\nfolder = {folder:?}\n"));
    let begun = Instant::now();
    let probe = async {
        let mut longest = Duration::ZERO;
        loop {
            let asked = Instant::now();
            let alive = shop.http.get(format!("http://{}/livez", lake.address)).send().await;
            assert!(alive.is_ok_and(|answer| answer.status().is_success()));
            longest = longest.max(asked.elapsed());
            if shop.rows("silver/events", &["id"]).await.len() >= EVENTS {
                return longest;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let bronze = async {
        counts("events of bronze", EVENTS, async || shop.bronze().await.len()).await;
        begun.elapsed()
    };
    let both = async { tokio::join!(probe, bronze) };
    let (longest, bronze) = tokio::time::timeout(DEADLINE, both).await.expect("all events are rows at last");
    let silver = begun.elapsed();
    eprintln!("bronze after {bronze:?}, silver after {silver:?}; the longest answer took {longest:?}");
    // However slow the machine is: none of the two waits for the rule.
    assert!(longest < silver / 4, "{longest:?} of {silver:?}");
    assert!(bronze < silver / 2, "{bronze:?} of {silver:?}");
    eventually("it is ready", DEADLINE, async || lake.problems().is_empty().then_some(())).await;
    lake.stop().await;
}
