use super::*;

#[test]
fn an_attribute_of_another_form_says_nothing() {
    let read = |backfill: &str| {
        let line = format!(r#"{{"id":"1","source":"s","type":"a","time":"2026-01-02T03:04:05Z"{backfill}}}"#);
        let event: EventRef<'_> = serde_json::from_str(&line).expect("an event");
        event.backfill.map(Cow::into_owned)
    };
    assert_eq!(read(r#","backfill":"a \"b\"""#).as_deref(), Some("a \"b\""));
    for nothing in ["", r#","backfill":true"#, r#","backfill":-5"#, r#","backfill":7"#, r#","backfill":null"#] {
        assert_eq!(read(nothing), None, "{nothing}");
    }
}

#[test]
fn a_flag_of_a_newer_release_stops_no_event() {
    let json = r#"{"refdata":1,"region":"x","quality":["rate_unknown","of_a_newer_release","order_unfollowed"]}"#;
    let enrichment: Enrichment = serde_json::from_str(json).expect("an enrichment");
    assert_eq!(enrichment.quality, [QualityFlag::RateUnknown, QualityFlag::OrderUnfollowed]);
    let all = QualityFlag::ALL.map(|flag| serde_json::to_value(flag).expect("a text"));
    assert_eq!(all.to_vec(), QualityFlag::ALL.map(QualityFlag::as_str));
}

#[test]
fn a_spliced_line_reads_as_the_same_event_with_more() {
    let line = br#"{"specversion":"1.0","id":"1","source":"shop","type":"order.placed","time":"2026-01-02T03:04:05Z","data":{"a":"}"}} "#;
    let enrichment = Enrichment { refdata: 3, region: "Europe".into(), ..Enrichment::default() };
    let mut out = Vec::new();
    splice_enrichment(line, &enrichment, &mut out).expect("serialises");
    let event: EventRef<'_> = serde_json::from_slice(&out).expect("still an event");
    assert_eq!(event.id, "1");
    assert_eq!(event.data.map(RawValue::get), Some(r#"{"a":"}"}"#));
    assert_eq!(event.enriched, Some(enrichment));
    assert_eq!(event.partition_key(), "shop");
}

#[test]
fn lines_end_with_a_newline_or_the_payload() {
    for (payload, expected) in
        [("", &[][..]), ("\n\n", &[]), ("a", &["a"]), ("a\n", &["a"]), ("\na\n\nbc\nd", &["a", "bc", "d"])]
    {
        let expected: Vec<&[u8]> = expected.iter().map(|line| line.as_bytes()).collect();
        assert_eq!(lines(payload.as_bytes()).collect::<Vec<_>>(), expected, "{payload:?}");
    }
}

#[test]
fn amounts_are_converted_where_enrichment_says_how() {
    let conversion = |json: &str| {
        let enrichment: Enrichment = serde_json::from_str(json).expect("an enrichment");
        enrichment.conversion().map(|known| (known.base.to_string(), known.rate.map(String::from)))
    };
    for (json, expected) in [
        (r#"{"refdata":1,"region":"x","currency":"EUR"}"#, Some(("EUR", None))),
        (r#"{"refdata":1,"region":"x","currency":"JPY","rate":"0.0062","base":"EUR"}"#, Some(("EUR", Some("0.0062")))),
        (r#"{"refdata":1,"region":"x","currency":"JPY","quality":["rate_unknown"]}"#, None),
        (r#"{"refdata":1,"region":"x","quality":["currency_unknown"]}"#, None),
        // Of a release that knew no currencies.
        (r#"{"refdata":1,"region":"x"}"#, None),
    ] {
        let expected = expected.map(|(base, rate)| (base.to_owned(), rate.map(String::from)));
        assert_eq!(conversion(json), expected, "{json}");
    }
}
