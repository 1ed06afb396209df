//! The commands as a person types them.

use std::{
    fs::File,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tidemill_testkit::{eventually, tempdir};

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

/// Other users of the machine see neither the data nor the password of the log,
/// whatever is logged.
#[tokio::test]
async fn what_a_laptop_keeps_is_its_users_alone() {
    let folder = tempdir();
    let (data, said) = (folder.path().join("data"), folder.path().join("said"));
    let output = File::create(&said).expect("a file");
    let mut up = Command::new(env!("CARGO_BIN_EXE_tidemill"))
        .args(["up", "--log", "trace", "--port", "0", "--reporting-port", "0", "--jaeger-port", "0", "--data"])
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("a file"))
        .stderr(output)
        .spawn()
        .expect("tidemill starts");
    let says = || std::fs::read_to_string(&said).expect("text");
    eventually("it serves", Duration::from_secs(60), || async { says().contains("Ctrl-C ends it.").then_some(()) })
        .await;

    let mode = |path: &Path| std::fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    for private in ["", "nats", "stores"] {
        assert_eq!(mode(&data.join(private)), 0o700, "{private:?}");
    }
    assert_eq!(mode(&data.join("nats/nats.conf")), 0o600);
    let stores: Vec<_> = std::fs::read_dir(data.join("stores")).expect("is there").flatten().collect();
    assert!(stores.len() >= 5, "{stores:?}");
    stores.iter().for_each(|store| assert_eq!(mode(&store.path()), 0o600, "{store:?}"));

    let config = std::fs::read_to_string(data.join("nats/nats.conf")).expect("text");
    let password = config.lines().find_map(|line| line.trim().strip_prefix("password: ")).expect("a password");
    let told = Command::new("kill").args(["-INT", &up.id().to_string()]).status().expect("kill runs");
    assert!(told.success() && up.wait().expect("it ends").success(), "{}", says());
    assert!(says().contains("nats") && !says().contains(password.trim_matches('"')), "the password is told");
}
