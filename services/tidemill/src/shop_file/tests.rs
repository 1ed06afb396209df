use std::path::Path;

use super::*;

fn parse(text: &str) -> Result<ShopFile, String> {
    ShopFile::parse(Path::new("/nowhere/tidemill.toml"), text).map_err(|error| error.to_string())
}

#[test]
fn the_file_that_is_written_says_what_the_defaults_say() {
    let text = sample(&ShopFile::default());
    assert_eq!(parse(&text), Ok(ShopFile::default()));
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    // Every setting is there, and each has a comment right above it.
    let lines: Vec<&str> = text.lines().collect();
    for name in ["data", "zone", "currency", "folder", "port", "origins", "schemas", "files", "geoip", "webhook_file"] {
        let is_it = |line: &&str| line.trim_start_matches('#').starts_with(&format!("{name} = "));
        let at = lines.iter().position(is_it).unwrap_or_else(|| panic!("{name} is missing: {text}"));
        assert!(lines[at - 1].starts_with("# "), "{name} has no comment");
    }
}

#[test]
fn every_example_in_it_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = sample(&ShopFile::default());
    let is_example =
        |line: &&str| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
    let examples = text.lines().filter(is_example).count();
    let with_examples: String =
        text.lines().map(|line| format!("{}\n", if is_example(&line) { &line[1..] } else { line })).collect();
    let named = ["keys", "definitions/schemas", "definitions/metrics", "definitions/rules", "reference"];
    for name in named {
        std::fs::create_dir_all(folder.path().join(name)).expect("a folder");
    }
    for name in [
        "definitions/shop.yaml",
        "definitions/amounts.yaml",
        "definitions/recommendation.yaml",
        "definitions/learning.yaml",
        "definitions/index.toml",
        "products.csv",
        "countries.yaml",
        "country.mmdb",
        "slack-webhook",
        "lake.toml",
        "reporting.toml",
    ] {
        std::fs::write(folder.path().join(name), "").expect("writes");
    }
    let read = ShopFile::parse(&folder.path().join(NAME), &with_examples).expect("every example is right");
    assert_eq!(examples, 20, "{with_examples}");
    assert_eq!(read.definitions.metrics, Some(folder.path().join("definitions/metrics")));
    assert_eq!(read.reference.files, [folder.path().join("products.csv"), folder.path().join("reference")]);
    // What it says is written as it is read.
    let again = ShopFile::parse(&folder.path().join(NAME), &sample(&read)).expect("reads");
    assert_eq!(again, read);
}

#[test]
fn an_error_says_file_and_line_and_shows_no_line() {
    for (text, told) in [
        ("zone = 'UTC'\ncurency = 'EUR'\n", "tidemill.toml:2: unknown field `curency`"),
        ("[http]\nport = 'secret'\n", "tidemill.toml:2: http.port: invalid type"),
        ("[http]\nport = 70000\n", "tidemill.toml:2: http.port: invalid value"),
        ("\n\nzone = 'Berlin'\n", "tidemill.toml:3: zone: \"Berlin\" is no zone of the IANA database"),
        ("profile = 'kapa'\n", "tidemill.toml:1: profile: unknown variant `kapa`, expected one of `medallion`"),
        ("currency = 'Euro'\n", "tidemill.toml:1: currency: must be the three letters of a currency"),
        ("[http]\n\nhosts = ['shop:80']\n", "tidemill.toml:3: http.hosts: \"shop:80\" is no host without a port"),
        ("[http]\naddress = 'localhost'\n", "tidemill.toml:2: http.address: "),
        ("log = 'info'\nsample_ratio = 1.5\n", "tidemill.toml:2: sample_ratio: 1.5 is not 0 to 1"),
        ("[keys]\nwrite = 'tm_secret'\n", "tidemill.toml:2: unknown field `write`"),
        ("[slack]\nwebhook_file 'tm_secret'\n", "tidemill.toml:2: "),
        ("log = 'info'\nlog = 'warn'\n", "tidemill.toml:2: duplicate key"),
        (
            "\nlog = 'warn,tidemill_alert=loud'\n",
            "tidemill.toml:2: log: \"warn,tidemill_alert=loud\" is no log filter: ",
        ),
        ("zone = 'UTC'\ndata = \"a\\u0000b\"\n", "tidemill.toml:2: data: holds a NUL character"),
        ("[http]\norigins = ['a',\n  \"b\\u0000\"]\n", "tidemill.toml:2: http.origins: holds a NUL character"),
        ("[http]\nhosts = [\n  'shop:80',\n]\n", "tidemill.toml:2: http.hosts: \"shop:80\" is no host"),
        ("zone = 'UTC'\nlog = 'in\0fo'\n", "tidemill.toml:2: log: "),
        (
            "[definitions]\nrules = 'rules'\nmetrics = 'there'\n",
            "tidemill.toml:3: definitions.metrics: /nowhere/there is not there",
        ),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.starts_with(&format!("/nowhere/{told}")), "{text}: {error}");
        assert!(!error.contains("tm_secret"), "{error}");
    }
}

#[test]
fn a_file_may_say_little_and_begin_with_a_mark() {
    let read = parse("\u{feff}currency = 'sek'\n[http]\nport = 0\n").expect("reads");
    let expected = ShopFile {
        currency: "SEK".parse().expect("a currency"),
        http: HttpSection { port: 0, ..HttpSection::default() },
        ..ShopFile::default()
    };
    assert_eq!(read, expected);
}

#[test]
fn a_file_in_another_encoding_is_told_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(NAME);
    std::fs::write(&file, b"zone = 'UTC'\n[keys]\nfolder = 'Schl\xfcssel'\n").expect("writes");
    let error = ShopFile::read(&file).expect_err("is Latin-1").to_string();
    let told = "tidemill.toml:3: keys.folder: the byte 0xfc is no UTF-8; save the file as UTF-8";
    assert!(error.ends_with(told), "{error}");
}
