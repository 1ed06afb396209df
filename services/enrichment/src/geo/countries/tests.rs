use super::*;

fn code(text: &str) -> Option<String> {
    Some(Countries::built_in().expect("parses").find(text)?.as_str().to_owned())
}

#[test]
fn the_built_in_table_is_all_of_iso_3166() {
    let countries = Countries::built_in().expect("parses");
    assert_eq!(countries.regions.len(), 250, "249 of ISO 3166-1 and Kosovo");
    let mut regions: Vec<&str> = countries.regions.values().map(|r| &**r).collect();
    regions.sort_unstable();
    regions.dedup();
    assert_eq!(regions, ["Asia Pacific", "Europe", "Latin America", "Middle East & Africa", "North America"]);
}

#[test]
fn a_shops_spellings_are_understood() {
    for (text, expected) in [
        ("United Kingdom", "GB"),
        ("uk", "GB"),
        ("EIRE", "IE"),
        ("RSA", "ZA"),
        ("USA", "US"),
        (" de ", "DE"),
        ("fr", "FR"),
        ("gB", "GB"),
        ("Norway", "NO"),
        ("NO", "NO"),
        ("ÖSTERREICH", "AT"),
        ("Hong Kong", "HK"),
        ("Czech Republic", "CZ"),
    ] {
        assert_eq!(code(text).as_deref(), Some(expected), "{text}");
    }
    for text in ["Channel Islands", "European Community", "Unspecified", "", "ZZ", &"x".repeat(1000)] {
        assert_eq!(code(text), None, "{text}");
    }
}

#[test]
fn every_country_of_the_real_data_has_a_region_or_is_none() {
    let truth = crate::testing::data("online-retail/truth/per_country.csv");
    let Some(truth) = truth else {
        return tidemill_testkit::skipped_even_in_ci("country names of the real data", "the data set is absent");
    };
    let countries = Countries::built_in().expect("parses");
    let mut reader = csv::Reader::from_path(truth).expect("opens");
    let unknown: Vec<String> = reader
        .records()
        .map(|record| record.expect("reads")[0].to_owned())
        .filter(|name| countries.find(name).and_then(|country| countries.region(country)).is_none())
        .collect();
    assert_eq!(unknown, ["Channel Islands", "European Community", "Unspecified"]);
}

#[test]
fn a_wrong_table_is_refused_with_its_reason() {
    for (yaml, reason) in [
        ("Europe: {DEU: [Germany]}", "no country code"),
        ("Europe: {DE: []}\nAsia: {DE: []}", "two regions"),
        ("Europe: {DE: [Land], AT: [Land]}", "two countries"),
        ("Europe: [DE]", "line 1"),
    ] {
        let error = Countries::parse("mine.yaml", yaml).err().expect(yaml).to_string();
        assert!(error.contains("mine.yaml") && error.contains(reason), "{error}");
    }
}
