//! Looks at totals all the time: a count never goes back, whoever died or took
//! over meanwhile.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::time::sleep;

use super::suite::Suite;
use crate::service::Service;

const INTERVAL: Duration = Duration::from_secs(1);
/// The counts that are looked at: where they are asked for, and where they are
/// in the answer. Who is cut over to may have counted less than what answered before.
const COUNTS: [(&str, &str); 3] = [
    ("/v1/metrics/daily_country/totals?generation=live", "/rows/0/values/lines"),
    ("/v1/metrics/daily_sales/totals?generation=live", "/rows/0/values/orders"),
    ("/v1/books", "/totals/counted"),
];

/// Asks every replica of reporting, for ever; one that does not answer is
/// asked again later.
pub(super) async fn counts_never_go_back(suite: &Suite) {
    let mut highest: BTreeMap<(SocketAddr, &str), u64> = BTreeMap::new();
    loop {
        for address in suite.addresses(Service::Reporting) {
            for (path, place) in COUNTS {
                let Some(count) = count(suite, address, path, place).await else { continue };
                let before = highest.entry((address, path)).or_default();
                if count < *before {
                    suite.journal.problem(format_args!("{address}{path} went back from {before} to {count}"));
                }
                *before = count;
            }
        }
        sleep(INTERVAL).await;
    }
}

async fn count(suite: &Suite, address: SocketAddr, path: &str, place: &str) -> Option<u64> {
    let answer = suite.http.get(format!("http://{address}{path}")).send().await.ok()?;
    let answer: Value = answer.error_for_status().ok()?.json().await.ok()?;
    answer.pointer(place)?.as_u64()
}
