//! The commands as a person types them.

use std::process::{Command, Stdio};

use serde_json::Value;

fn tidemill(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_tidemill"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("tidemill starts: {e}"))
}

#[test]
fn the_demo_ends_by_itself_with_balanced_books() {
    let output =
        tidemill(&["demo", "--events", "5000", "--exit", "--port", "0", "--reporting-port", "0", "--jaeger-port", "0"]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}{stderr}");
    let last: Value = serde_json::from_str(stdout.lines().last().unwrap_or_default()).expect("the last line is JSON");
    let count = |name: &str| last[name].as_u64().unwrap_or_else(|| panic!("{name} is a number in {last}"));
    assert_eq!(count("received"), 5000);
    assert_eq!(count("received"), count("accepted") + count("rejected"));
    assert_eq!(count("received"), count("counted") + count("late") + count("duplicate") + count("dead_lettered"));
    for part in ["rejected", "late", "duplicate", "alerts", "traces"] {
        assert!(count(part) > 0, "{part} in {last}");
    }
    assert!(last["seconds"].is_number());
    for address in ["Dashboard", "API", "Jaeger"] {
        assert!(stdout.contains(address), "{address} in {stdout}");
    }
}

#[test]
fn help_shows_examples_and_mistakes_are_named() {
    let help = tidemill(&["--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("tidemill import online-retail"));
    let wrong = tidemill(&["import", "online-retail", "no-such-file.csv", "--out", "/dev/null/x"]);
    assert!(!wrong.status.success());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("/dev/null/x"));
    let nobody = tidemill(&["demo", "--events", "5"]);
    assert_eq!(nobody.status.code(), Some(2));
}
