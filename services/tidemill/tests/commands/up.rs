//! `tidemill init`, and `tidemill up` with what it wrote.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tidemill_testkit::{tempdir, try_eventually};

use crate::terminal::Terminal;

const READ_KEY: &str = "key-of-the-wall-1";

/// A suite that runs as a process.
pub(crate) struct Running {
    child: Child,
    /// What it said until it was ready.
    told: Vec<String>,
}

impl Running {
    pub(crate) fn start(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.arg("up").args(arguments).envs(variables.iter().copied()).current_dir(folder);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let told = lines.take_while(|line| line != "Ctrl-C ends it.").collect();
        Self { child, told }
    }

    /// What it says under a heading.
    pub(crate) fn says(&self, heading: &str) -> &str {
        let line = self.told.iter().find_map(|line| line.strip_prefix(heading));
        line.unwrap_or_else(|| panic!("{heading} is missing in {:?}", self.told)).trim()
    }

    /// Whether it says anything under a heading.
    pub(crate) fn tells(&self, heading: &str) -> bool {
        self.told.iter().any(|line| line.starts_with(heading))
    }

    pub(crate) fn stop(mut self) -> Option<i32> {
        let told = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(told.expect("it runs").success());
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.child.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_never_overwritten() {
    let folder = tempdir();
    let shop = folder.path().join("shop");
    let (terminal, shop) = (Terminal { url: String::new() }, shop.to_str().expect("text"));
    let (code, told) = terminal.says(&["init", shop]).await;
    assert!(code == Some(0) && told.contains("tidemill.toml"), "{told}");
    let file = format!("{shop}/tidemill.toml");
    let written = std::fs::read_to_string(&file).expect("a file");
    assert_eq!(written, tidemill::shop_file::sample(&tidemill::shop_file::ShopFile::default()));
    std::fs::write(&file, "currency = 'SEK'\n").expect("writes");
    for arguments in [vec!["init", shop], vec!["init", shop, "--definitions"]] {
        let (code, told) = terminal.says(&arguments).await;
        assert!(code == Some(1) && told.contains("tidemill.toml is there already"), "{told}");
    }
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), "currency = 'SEK'\n");
    assert!(!Path::new(shop).join("definitions").exists(), "nothing is written where something is in the way");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suite_is_as_its_file_says_and_options_go_before_it() {
    tidemill_service::install_crypto();
    let folder = tempdir();
    let terminal = Terminal { url: String::new() };
    let (code, told) = terminal.says(&["init", folder.path().to_str().expect("text"), "--definitions"]).await;
    assert!(code == Some(0) && told.contains("definitions/rules/revenue_spike.yaml"), "{told}");
    let file = folder.path().join("tidemill.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    assert!(text.contains("\nmetrics = \"definitions/metrics\"\n"), "{text}");
    let text = text
        .replace("zone = \"UTC\"", "zone = \"Europe/Berlin\"")
        .replace("#data = ", "data = ")
        .replace("port = 7070", "port = 1")
        .replace("port = 7080", "port = 0")
        .replace("port = 16686", "port = 0");
    std::fs::write(&file, text).expect("writes");
    for name in ["conversion", "daily_country", "daily_sales", "product_views"] {
        std::fs::remove_file(folder.path().join(format!("definitions/metrics/{name}.yaml"))).expect("removes");
    }
    let keys = [
        ("TIDEMILL_AUTH__WRITE", "shop key-of-the-shop-1"),
        ("TIDEMILL_AUTH__READ", "wall key-of-the-wall-1"),
        ("TIDEMILL_AUTH__OPERATE", "anna key-of-anna-is-it"),
    ];
    let suite = Running::start(folder.path(), &["--port", "0"], &keys);
    assert_eq!(suite.says("Settings"), "tidemill.toml");
    assert!(suite.says("Data").ends_with("data"), "{:?}", suite.told);
    assert!(suite.says("Keys").contains("environment") && !suite.told.concat().contains("key-of"), "{:?}", suite.told);
    let (http, reporting) = (reqwest::Client::new(), suite.says("Dashboard").to_owned());
    let get = async |path: &str| http.get(format!("{reporting}{path}"));
    let refused = get("/v1/metrics").await.send().await.expect("an answer").status();
    assert_eq!(refused, 401);
    try_eventually("the shop's own metrics in its zone", Duration::from_secs(30), async || {
        let ask = async |path| -> Result<Value, reqwest::Error> {
            get(path).await.bearer_auth(READ_KEY).send().await?.json().await
        };
        let metrics = ask("/v1/metrics").await.map_err(|e| e.to_string())?;
        let names: Vec<_> =
            metrics["metrics"].as_array().into_iter().flatten().filter_map(|m| m["name"].as_str()).collect();
        let own = names.contains(&"sales_metrics") && !names.contains(&"conversion");
        let series = ask("/v1/metrics/sales_metrics/series").await.map_err(|e| e.to_string())?;
        let is_so = own && series["zone"] == "Europe/Berlin";
        if is_so { Ok(()) } else { Err(format!("{names:?} {series}")) }
    })
    .await;
    assert_eq!(suite.stop(), Some(0));
    assert!(folder.path().join("data/stores").is_dir(), "the data are in the folder of the file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_is_told_with_its_line_and_nothing_starts() {
    let folder = tempdir();
    let (terminal, file) = (Terminal { url: String::new() }, folder.path().join("shop.toml"));
    for (text, told) in [
        ("currency = 'EUR'\n[http]\nprot = 7070\n", "shop.toml:3: unknown field `prot`"),
        ("[http]\naddress = '0.0.0.0'\nport = 0\nreporting_port = 0\njaeger_port = 0\n", "so keys are needed"),
    ] {
        std::fs::write(&file, text).expect("writes");
        let (code, said) = terminal.says(&["up", "--config", file.to_str().expect("text")]).await;
        assert!(code == Some(1) && said.contains(told), "{said}");
    }
}
