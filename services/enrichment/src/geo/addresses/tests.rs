use std::{collections::BTreeMap, io::BufRead};

use super::*;

#[test]
fn without_a_file_an_address_tells_nothing() {
    assert_eq!(Geo::open(None).expect("opens").country("8.8.8.8"), None);
    let error = Geo::open(Some(Path::new("/nowhere.mmdb"))).err().expect("is refused").to_string();
    assert!(error.starts_with("/nowhere.mmdb: "), "{error}");
}

/// A real web log against the country of each line, computed elsewhere.
#[test]
fn a_real_log_falls_into_the_right_countries() {
    let (Some(mmdb), Some(log), Some(truth)) = (
        crate::testing::data("geo/dbip-country.mmdb.zst"),
        crate::testing::data("apache-logs/apache_logs_elastic.log.zst"),
        crate::testing::data("apache-logs/apache_logs.per_country.dbip_country_2026-06.csv"),
    ) else {
        return tidemill_testkit::skipped_even_in_ci("countries of a real log", "the data set is absent");
    };
    let inflate = |path| zstd::Decoder::new(std::fs::File::open(path).expect("opens")).expect("is zstd");
    let folder = tidemill_testkit::tempdir();
    let file = folder.path().join("country.mmdb");
    std::io::copy(&mut inflate(mmdb), &mut std::fs::File::create(&file).expect("is made")).expect("inflates");

    let geo = Geo::open(Some(&file)).expect("opens");
    let mut hits = BTreeMap::<String, u32>::new();
    for line in std::io::BufReader::new(inflate(log)).lines() {
        let line = line.expect("reads");
        // The truth leaves out the one line that breaks off.
        if !line.ends_with('"') {
            continue;
        }
        let country = geo.country(line.split(' ').next().unwrap_or_default()).expect("every line has a country");
        *hits.entry(country.as_str().into()).or_default() += 1;
    }
    let expected: BTreeMap<String, u32> =
        csv::Reader::from_path(truth).expect("opens").deserialize().map(|row| row.expect("reads")).collect();
    assert_eq!(hits, expected);

    assert_eq!(geo.country("::ffff:83.149.9.216"), geo.country("83.149.9.216"));
    for nowhere in ["127.0.0.1", "10.1.2.3", "::1", "not an address", ""] {
        assert_eq!(geo.country(nowhere), None, "{nowhere}");
    }
}
