//! `tidemill dlq` and `tidemill books` against a running all-in-one.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tidemill::suite::{Options, Suite};
use tidemill_testkit::{tempdir, try_eventually};

use crate::terminal::{Terminal, answering};

const DEADLINE: Duration = Duration::from_secs(60);
/// Whoever reads why it is refused reads all of it.
const LONG_TYPE: &str = "order.beamed.from.the.warehouse.to.the.customer.at.once";

async fn post(http: &reqwest::Client, ingestion: SocketAddr, lines: &[Value]) {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let request = http.post(format!("http://{ingestion}/v1/events")).header("content-type", "application/x-ndjson");
    let status = request.body(body).send().await.expect("answers").status();
    assert!(matches!(status.as_u16(), 202 | 422), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_mended_redriven_and_counted_once() {
    tidemill_service::install_crypto();
    let folder = tempdir();
    let options = Options { folder: folder.path().to_owned(), ..Options::default() };
    let suite = Suite::start(&options).await.expect("starts");
    let terminal = Terminal { url: format!("http://{}", suite.reporting) };
    let http = reqwest::Client::new();
    let order = |id: &str, kind: &str| {
        let items = json!([{"product_id": "p", "quantity": 1, "unit_price": "10.00"}]);
        json!({"id": id, "source": "shop", "type": kind, "subject": "c", "data": {"order_id": id, "items": items}})
    };
    let mut broken = [order("o-1", "order.teleported"), order("o-2", "order.teleported"), order("o-3", LONG_TYPE)];
    // It would turn the text after it around.
    broken[2]["data"]["note"] = json!("\u{202e}turned");
    // Each in a request of its own: those of one that fail alike are one letter.
    for event in broken {
        post(&http, suite.ingestion, &[event]).await;
    }
    post(&http, suite.ingestion, &[order("o-4", "order.placed")]).await;

    let dead = try_eventually("all three are listed", DEADLINE, || async {
        let (_, answer) = terminal.json(&["dlq", "list", "--json", "--service", "ingestion"], None).await;
        let letters = answer["dead_letters"].as_array().cloned().unwrap_or_default();
        if letters.len() == 3 { Ok(letters) } else { Err(answer) }
    })
    .await;
    let number = |id: &str| {
        let letter = dead.iter().find(|letter| letter["event_id"] == id).expect("listed");
        letter["sequence"].as_u64().expect("a number").to_string()
    };
    let (code, table) =
        terminal.says(&["dlq", "list", "--code", "unknown_type", "--since", "1h", "--limit", "2"]).await;
    assert!(code == Some(0) && table.contains("unknown_type") && table.contains("There are more"), "{table}");
    let (code, shown) = terminal.says(&["dlq", "show", &number("o-1")]).await;
    assert!(code == Some(0) && shown.contains("order.teleported") && shown.contains("state"), "{shown}");

    let (_, shown) = terminal.says(&["dlq", "show", &number("o-3")]).await;
    assert!(shown.contains("turned"), "{shown}");

    // All of a reason can be read, however long it is.
    let long = dead.iter().find(|letter| letter["event_id"] == "o-3").expect("listed");
    let reason = long["reason"].as_str().expect("a reason");
    assert!(reason.chars().count() > 60, "this one is too long for a table: {reason}");
    let (_, table) = terminal.says(&["dlq", "list"]).await;
    assert!(!table.contains(reason) && table.contains("--wide tells all of it"), "{table}");
    let (_, table) = terminal.says(&["dlq", "list", "--wide"]).await;
    assert!(table.contains(reason) && !table.contains('…'), "{table}");
    let (_, shown) = terminal.says(&["dlq", "show", &number("o-3")]).await;
    assert!(shown.contains(reason), "{shown}");

    // What would be done, asked for, and mistakes.
    let (code, told) = terminal.says(&["dlq", "redrive", "--code", "unknown_type", "--dry-run"]).await;
    assert!(code == Some(0) && told.contains("would redrive: 3"), "{told}");
    for (arguments, hint) in [
        (&["dlq", "redrive"][..], "--all"),
        (&["dlq", "redrive", "1", "--code", "x"], "not both"),
        (&["dlq", "redrive", "--all"], "--yes"),
        (&["dlq", "redrive", "1", "2", "--body", "-", "--yes"], "exactly one"),
        (&["dlq", "discard", "1", "--yes"], "--reason"),
        (&["dlq", "show", "999"], "no dead letter 999"),
        (&["dlq", "list", "--since", "yesterday"], "RFC 3339"),
        (&["dlq", "list", "--url", "http://127.0.0.1:1"], "does not answer"),
        (&["dlq", "list", "--reporting-url", "http://127.0.0.1:1"], "does not answer"),
    ] {
        let (code, told) = terminal.says(arguments).await;
        assert!(code != Some(0) && told.contains(hint), "{arguments:?}: {told}");
        assert!(!told.contains("error sending request"), "the cause is told: {told}");
    }
    let (_, audit) = terminal.json(&["dlq", "audit", "--json"], None).await;
    assert_eq!(audit["actions"], json!([]), "nothing of that did anything");

    // Mended it is accepted; as it was it fails again.
    let mended = order("o-1", "order.placed").to_string();
    let redrive = ["dlq", "redrive", &number("o-1"), "--body", "-", "--yes", "--reason", "mended", "--json"];
    let (code, told) = terminal.json(&redrive, Some(mended.clone())).await;
    assert_eq!((code, &told["accepted"], &told["failed_again"]), (Some(0), &json!(1), &json!(0)), "{told}");
    assert_eq!(
        (&told["counted"], &told["late"], &told["not_counted_yet"]),
        (&json!(1), &json!(0), &json!(0)),
        "{told}"
    );
    let (code, told) = terminal.says(&["dlq", "redrive", &number("o-2"), "--yes"]).await;
    assert!(code == Some(1) && told.contains("failed again: 1") && told.contains("unknown_type"), "{told}");
    let (code, told) = terminal.says(&["dlq", "redrive", &number("o-1"), "--yes"]).await;
    assert!(code == Some(1) && told.contains("already_accepted"), "{told}");
    let discard = ["dlq", "discard", &number("o-3"), "--reason", "never real", "--yes", "--json"];
    let (code, told) = terminal.json(&discard, None).await;
    assert_eq!((code, &told["ordered"]), (Some(0), &json!(1)), "{told}");
    // Once more by force: the event is a duplicate of itself.
    let force = ["dlq", "redrive", &number("o-1"), "--body", "-", "--force", "--yes", "--json"];
    let (code, told) = terminal.json(&force, Some(mended)).await;
    assert_eq!((code, &told["accepted"]), (Some(0), &json!(1)), "{told}");
    assert_eq!((&told["counted"], &told["duplicate"]), (&json!(0), &json!(1)), "{told}");
    let (_, shown) = terminal.says(&["dlq", "show", &number("o-1")]).await;
    assert!(shown.contains("redrive, mended") && shown.contains("anna") && shown.contains("accepted"), "{shown}");

    let (code, whole) = terminal.says(&["dlq", "show", &number("o-3"), "--unmasked"]).await;
    assert!(code == Some(0) && whole.contains("unmask"), "who sees all of it is told of: {whole}");

    let table = try_eventually("the books balance", DEADLINE, || async {
        match terminal.says(&["books", "--hours"]).await {
            (Some(0), table) => Ok(table),
            (_, table) => Err(table),
        }
    })
    .await;
    assert!(table.contains("The books balance.") && table.contains("all hours"), "{table}");
    for arguments in [
        &["books", "--hours"][..],
        &["books", "--json"],
        &["dlq", "list", "--limit", "500"],
        &["dlq", "show", &number("o-3")],
        &["dlq", "audit"],
        &["dlq", "redrive", "--all", "--dry-run"],
        &["keys", "new", "shop"],
        &["--help"],
    ] {
        let (code, told) = terminal.says_to_nobody(arguments);
        assert!(code == Some(0) && !told.contains("panicked") && !told.contains("pipe"), "{arguments:?}: {told}");
    }
    let (code, books) = terminal.json(&["books", "--json"], None).await;
    assert_eq!(code, Some(0));
    let totals = &books["totals"];
    // Four at first; of the three redriven two were accepted and one failed again.
    assert_eq!((&totals["received"], &totals["accepted"], &totals["rejected"]), (&json!(7), &json!(3), &json!(4)));
    assert_eq!((&totals["counted"], &totals["duplicate"], &totals["dead_lettered"]), (&json!(2), &json!(1), &json!(4)));
    let sales = http.get(format!("http://{}/v1/metrics/sales_metrics/totals", suite.reporting)).send().await;
    let sales: Value = sales.expect("answers").json().await.expect("JSON");
    assert_eq!(sales["rows"][0]["values"]["orders"], json!(2), "o-1 and o-4, once each: {sales}");
    assert_eq!(sales["rows"][0]["values"]["revenue"], json!("20.00"), "{sales}");
    assert!(suite.stop().await, "drains");
}

#[tokio::test]
async fn the_help_has_examples() {
    let terminal = Terminal { url: "http://127.0.0.1:1".into() };
    for command in [
        &["dlq", "--help"][..],
        &["dlq", "redrive", "--help"],
        &["books", "--help"],
        &["check", "--help"],
        &["dlq", "list", "--help"],
        &["import", "online-retail", "--help"],
        &["keys", "--help"],
    ] {
        let (code, help) = terminal.says(command).await;
        assert!(code == Some(0) && help.contains("Examples:\n  tidemill"), "{help}");
    }
    // Each says of each address whose it is.
    for (command, ingestion) in [("check", true), ("books", false)] {
        let (_, help) = terminal.says(&[command, "--help"]).await;
        assert!(help.contains("--reporting-url <URL>") && !help.contains("--url <"), "{help}");
        assert_eq!(help.contains("--ingestion-url <URL>"), ingestion, "{help}");
    }
    let (_, help) = terminal.says(&["--help"]).await;
    for code in ["3  the books do not balance", "4  the suite cannot be reached"] {
        assert!(help.contains(code), "{help}");
    }
}

#[tokio::test]
async fn the_exit_code_says_what_kind_of_failure_it_is() {
    let nowhere = Terminal { url: "http://127.0.0.1:1".into() };
    let (code, told) = nowhere.says(&["books"]).await;
    assert!(code == Some(4) && told.contains("does not answer: connection refused; is the suite running"), "{told}");
    assert_eq!(told.matches("refused").count(), 1, "it is told once: {told}");

    let open = r#"{"balanced": false, "sources": [], "totals": {"received": 1, "accepted": 1, "rejected": 0,
        "counted": 0, "late": 0, "duplicate": 0, "dead_lettered": 0, "in_flight": 1}}"#;
    for arguments in [&["books"][..], &["books", "--json"]] {
        let (code, told) = Terminal { url: answering(open) }.says(arguments).await;
        assert_eq!(code, Some(3), "{told}");
    }
    let (code, told) = Terminal { url: answering("[]") }.says(&["books"]).await;
    assert!(code == Some(1) && told.contains("cannot be read"), "{told}");
    let (code, _) = nowhere.says(&["books", "--no-such-option"]).await;
    assert_eq!(code, Some(2));
}
