//! The commands as a person types them.

use std::{
    fs::File,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tidemill_testkit::{eventually, tempdir};

/// A file of the data set Online Retail.
const INVOICE: &str = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n\
    1,a,b,1,2009-12-01 08:00:00,1,1,UK\n";

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
fn a_demo_behind_keys_plays_with_keys_and_beside_what_is_there() {
    let (keys, data) = (tempdir(), tempdir());
    for role in ["write", "read", "operate"] {
        std::fs::write(keys.path().join(role), format!("{role}r the-key-that-may-{role}\n")).expect("writes");
    }
    let [keys, data] = [&keys, &data].map(|folder| folder.path().to_str().expect("text"));
    let demo = |more: &[&str]| {
        let ports = ["--port", "0", "--reporting-port", "0", "--jaeger-port", "0"];
        let output = tidemill(
            &[&["demo", "--events", "1000", "--exit", "--keys", keys, "--data", data], &ports[..], more].concat(),
        );
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, told) = demo(&[]);
    assert!(code == Some(1) && told.contains("--write-key and --read-key"), "{told}");
    let given = ["--write-key", "the-key-that-may-write", "--read-key", "the-key-that-may-read"];
    let (code, told) = demo(&given);
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = demo(&given);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("1000 events were played; the books have 1000 more"), "{told}");
}

#[test]
fn help_shows_examples_and_mistakes_are_named() {
    let help = tidemill(&["--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("tidemill import online-retail"));
    // Before a server is started, which there is none of here.
    let folder = tempdir();
    let lines = folder.path().join("lines.csv");
    let lines = lines.to_str().expect("text");
    std::fs::write(lines, "a,b\n1,2\n").expect("writes");
    let import = |file: &str, out: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.args(["import", "online-retail", file, "--out", out]).env("TIDEMILL_NATS_SERVER", "/dev/null/nats");
        let output = command.stdin(Stdio::null()).output().expect("tidemill starts");
        assert_eq!(output.status.code(), Some(1), "{file}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(import("no-such-file.csv", "/dev/null/x").contains("no-such-file.csv"));
    assert!(import(lines, "/dev/null/x").contains("InvoiceNo or Invoice"));
    std::fs::write(lines, INVOICE).expect("writes");
    assert!(import(lines, "/dev/null/x").contains("/dev/null/x"));
    let nobody = tidemill(&["demo", "--events", "5"]);
    assert_eq!(nobody.status.code(), Some(2));
}

/// `tidemill up` with free ports; killed when dropped, so that a test that fails
/// leaves nothing behind.
struct Up {
    process: Child,
    said: PathBuf,
}

impl Up {
    async fn start(folder: &Path, arguments: &[&str]) -> Self {
        let said = folder.join("said");
        let output = File::create(&said).expect("a file");
        let process = Command::new(env!("CARGO_BIN_EXE_tidemill"))
            .args(["up", "--port", "0", "--reporting-port", "0", "--jaeger-port", "0", "--data"])
            .arg(folder.join("data"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file"))
            .stderr(output)
            .spawn()
            .expect("tidemill starts");
        let up = Self { process, said };
        eventually("it serves", Duration::from_secs(60), async || up.says().contains("Ctrl-C ends it.").then_some(()))
            .await;
        up
    }

    fn says(&self) -> String {
        std::fs::read_to_string(&self.said).expect("text")
    }

    /// Whether it ends in order.
    fn ends_by(&mut self, signal: &str) -> bool {
        let told = Command::new("kill").args([signal, &self.process.id().to_string()]).status().expect("kill runs");
        told.success() && self.process.wait().expect("it ends").success()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // It may have ended, which serves as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Other users of the machine see neither the data nor the password of the log,
/// whatever is logged.
#[tokio::test]
async fn what_a_laptop_keeps_is_its_users_alone() {
    let folder = tempdir();
    let data = folder.path().join("data");
    let mut up = Up::start(folder.path(), &["--log", "trace"]).await;

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
    assert!(up.ends_by("-INT"), "{}", up.says());
    assert!(up.says().contains("nats") && !up.says().contains(password.trim_matches('"')), "the password is told");
}

/// Somebody reads it, also through a pipe.
#[tokio::test]
async fn what_it_tells_is_for_people() {
    let folder = tempdir();
    let mut up = Up::start(folder.path(), &["--log", "info"]).await;
    assert!(up.ends_by("-INT"), "{}", up.says());
    let said = up.says();
    let keys: Vec<_> = said.lines().filter(|line| line.starts_with("Keys ")).collect();
    assert!(matches!(keys[..], [told] if told.contains("--keys DIR")), "{said}");
    assert!(said.contains(" INFO ") && !said.lines().any(|line| line.starts_with('{')), "{said}");
}

#[tokio::test]
async fn what_is_in_the_way_of_a_start_is_named() {
    let folder = tempdir();
    let mut up = Up::start(folder.path(), &[]).await;
    let data = folder.path().join("data");
    let fails = |arguments: &[&str]| {
        let output = tidemill(&[&["up"], arguments].concat());
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };

    // Two suites on one folder would destroy each other's log.
    let other = format!("in use by another suite, process {};", up.process.id());
    let free = ["--port", "0", "--reporting-port", "0", "--jaeger-port", "0"];
    let told = fails(&[&free[..], &["--data", data.to_str().expect("text")]].concat());
    assert!(told.contains(&other) && !told.contains("pkill"), "{told}");

    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    for option in ["--reporting-port", "--jaeger-port"] {
        let free = free.chunks(2).filter(|pair| pair[0] != option).flatten().copied();
        let told = fails(&free.chain([option, &port]).collect::<Vec<_>>());
        assert!(told.contains(&port) && told.contains("take other ports by --port"), "{told}");
        assert_eq!(told.lines().count(), 1, "one line says it: {told}");
    }

    // As a supervisor ends it: nothing is left that holds the folder.
    assert!(up.ends_by("-TERM"), "{}", up.says());
    for signal in ["-HUP", "-QUIT"] {
        assert!(Up::start(folder.path(), &[]).await.ends_by(signal), "{signal}");
    }
}

/// The id of the nats-server that keeps its streams under a suite's folder, once
/// it runs.
async fn server_of(data: &Path) -> String {
    let lock = data.join("nats/nats.lock");
    let read = async || std::fs::read_to_string(&lock).ok().filter(|id| !id.is_empty());
    eventually("its server runs", Duration::from_secs(60), read).await
}

async fn is_gone(process: &str) {
    let runs =
        || Command::new("kill").args(["-0", process]).stderr(Stdio::null()).status().expect("kill runs").success();
    eventually("it has ended", Duration::from_secs(20), async || (!runs()).then_some(())).await;
}

/// Nothing can be done in order then, and yet nothing may be left.
#[tokio::test]
async fn a_suite_that_is_killed_takes_its_server_along() {
    let folder = tempdir();
    let data = folder.path().join("data");
    let mut up = Up::start(folder.path(), &[]).await;
    let server = server_of(&data).await;
    up.process.kill().expect("it ran");
    up.process.wait().expect("it ends");
    is_gone(&server).await;
    assert!(Up::start(folder.path(), &[]).await.ends_by("-TERM"), "the folder is free at once");
}

/// Whatever it is at: it has only begun to start here.
#[tokio::test]
async fn an_import_that_is_ended_leaves_nothing() {
    let folder = tempdir();
    let (temporary, lines) = (folder.path().join("tmp"), folder.path().join("lines.csv"));
    std::fs::create_dir(&temporary).expect("a folder");
    std::fs::write(&lines, INVOICE).expect("writes");
    for signal in ["-TERM", "-HUP", "-INT"] {
        let mut import = Command::new(env!("CARGO_BIN_EXE_tidemill"))
            .args(["import", "online-retail"])
            .arg(&lines)
            .arg("--out")
            .arg(folder.path().join("out"))
            .env("TMPDIR", &temporary)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tidemill starts");
        let only = || std::fs::read_dir(&temporary).expect("is there").flatten().next().map(|entry| entry.path());
        let data = eventually("it has a folder", Duration::from_secs(60), async || only()).await;
        let server = server_of(&data).await;
        let told = Command::new("kill").args([signal, &import.id().to_string()]).status().expect("kill runs");
        assert!(told.success());
        assert_eq!(import.wait().expect("it ends").code(), Some(1), "{signal}: not all was imported");
        is_gone(&server).await;
        assert_eq!(only(), None, "{signal}");
    }
}
