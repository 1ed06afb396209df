use axum::http::HeaderName;
use serde_json::json;

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let parse = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().expect("ascii"));
    pairs.iter().map(parse).collect()
}

fn form(route: Route, content_type: &str) -> Result<Format, Error> {
    Format::of(route, &headers(&[("content-type", content_type)]))
}

#[test]
fn a_content_type_names_a_form() {
    assert_eq!(form(Route::EVENTS, "application/cloudevents+json; charset=UTF-8"), Ok(Format::Event));
    assert_eq!(form(Route::EVENTS, "application/CloudEvents-batch+json"), Ok(Format::Array));
    assert_eq!(form(Route::EVENTS, "application/x-ndjson"), Ok(Format::Lines));
    assert_eq!(form(Route::EVENTS, "application/json"), Ok(Format::EventOrArray));
    assert_eq!(form(Route::EVENTS, "text/plain;charset=UTF-8"), Ok(Format::EventOrArray));
    assert_eq!(form(Route::TRACK, "text/plain;charset=UTF-8"), Ok(Format::Call("track")));
    assert_eq!(form(Route::BATCH, "application/json"), Ok(Format::Calls));
    for (route, wrong) in [
        (Route::EVENTS, "text/html"),
        (Route::EVENTS, "text/plain; charset=iso-8859-1"),
        (Route::EVENTS, ""),
        (Route::EVENTS, "application/json; charset=utf-16"),
        (Route::TRACK, "application/x-ndjson"),
    ] {
        assert_eq!(form(route, wrong).expect_err(wrong).code().as_str(), "unsupported_media_type");
    }
    for (path, kind) in [("/v1/p", "page"), ("/v1/identify", "identify"), ("/v1/a", "alias"), ("/v1/t", "track")] {
        let route = Route::at(path).expect(path);
        assert_eq!(form(route, "text/plain"), Ok(Format::Call(kind)), "{path}");
    }
    assert_eq!(Route::at("/v1/b").map(|route| form(route, "text/plain")), Some(Ok(Format::Calls)));
    let bare = Format::of(Route::EVENTS, &HeaderMap::new()).expect_err("no header at all");
    assert_eq!(bare.code().as_str(), "unsupported_media_type");
}

#[test]
fn a_body_is_split_without_looking_into_its_events() {
    let texts = |format: Format, body: &'static str| -> Vec<&'static str> {
        let items = format.split(body.as_bytes(), 3).expect(body);
        items.texts.into_iter().map(|text| std::str::from_utf8(text).expect("UTF-8")).collect()
    };
    assert_eq!(
        texts(Format::Array, r#" [ {"a": 1,"a":2} ,"\ud800", 1e999 ]"#),
        [r#"{"a": 1,"a":2}"#, r#""\ud800""#, "1e999"]
    );
    assert_eq!(texts(Format::EventOrArray, "[]"), Vec::<&str>::new());
    assert_eq!(texts(Format::EventOrArray, " {\n"), ["{"]);
    assert_eq!(texts(Format::Lines, "\n{}\r\n \n{\n[]"), ["{}", "{", "[]"]);
    assert_eq!(texts(Format::Calls, r#"{"sentAt":1,"batch":[{},3]}"#), ["{}", "3"]);
    let deep = format!("[{}{}]", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(Format::Array.split(deep.as_bytes(), 1).expect("framed").texts.len(), 1);
}

#[test]
fn a_mark_before_a_text_is_passed_over() {
    for (format, body, texts) in [
        (Format::Event, "\u{feff}{}", 1),
        (Format::EventOrArray, "\u{feff} {}", 1),
        (Format::EventOrArray, "\u{feff}[{},{}]", 2),
        (Format::Array, "\u{feff}[{},{}]", 2),
        (Format::Lines, "\u{feff}{}\r\n\u{feff}{}\n\u{feff}\n", 2),
        (Format::Call("track"), "\u{feff}{}", 1),
        (Format::Calls, "\u{feff}{\"batch\":[{}]}", 1),
    ] {
        let split = format.split(body.as_bytes(), 9).expect(body);
        assert_eq!(split.texts, vec![b"{}"; texts], "{format:?}");
    }
    for empty in ["\u{feff}", "\u{feff}\n"] {
        assert_eq!(Format::Lines.split(empty.as_bytes(), 9).expect_err("empty").code().as_str(), "malformed_body");
    }
}

#[test]
fn a_mark_before_data_is_passed_over_where_the_data_is_json() {
    let read = |content_type: &str| {
        let format = Format::of(Route::EVENTS, &headers(&[("ce-type", "a"), ("content-type", content_type)]));
        format.and_then(|format| format.read("\u{feff}{}".as_bytes(), 64)).expect(content_type)
    };
    assert_eq!(read("application/json").data, Some(json!({})));
    assert_eq!(read("text/csv").attributes["data_base64"], "77u/e30=", "what is no JSON is kept to the byte");
    let inside = Format::Event.read(br#"{"data_base64":"77u/e30="}"#, 64).expect("JSON");
    assert_eq!(inside.data, Some(json!({})));
    let within = Format::Event.read("{\"a\":\u{feff}1}".as_bytes(), 64).expect_err("a mark within");
    assert_eq!(within.code().as_str(), "malformed_json");
}

#[test]
fn a_broken_frame_is_the_bodys_fault() {
    for (format, body) in [
        (Format::Array, "[{},"),
        (Format::Array, "{}"),
        (Format::EventOrArray, "[NaN]"),
        (Format::EventOrArray, ""),
        (Format::Lines, " \n"),
        (Format::Calls, "{}"),
        (Format::Calls, r#"{"batch":[],"batch":[]}"#),
    ] {
        assert_eq!(format.split(body.as_bytes(), 9).expect_err(body).code().as_str(), "malformed_body", "{body}");
    }
    assert_eq!(Format::Array.split(b"[\"\xff\"]", 9).expect_err("not UTF-8").code().as_str(), "malformed_body");
}

#[test]
fn binary_mode_has_its_attributes_in_headers() {
    let sent = headers(&[
        ("ce-specversion", "1.0"),
        ("ce-subject", "Zo%C3%AB%20%22x%22"),
        ("content-type", "application/json"),
    ]);
    let format = Format::of(Route::EVENTS, &sent).expect("binary");
    let envelope = format.read(br#"{"n":1}"#, 64).expect("valid");
    assert_eq!(
        Value::from(envelope.attributes),
        json!({"specversion": "1.0", "subject": "Zo\u{eb} \"x\"", "datacontenttype": "application/json"})
    );
    assert_eq!(envelope.data, Some(json!({"n": 1})));
    assert_eq!(format.read(b"", 64).expect("no data").data, None);
    assert_eq!(format.read(br#"{"n":1,"n":2}"#, 64).expect_err("twice").pointer(), Some("/data/n"));

    for wrong in [("ce-subject", "%ff"), ("ce-data", "x")] {
        let sent = headers(&[("ce-type", "a"), wrong]);
        assert_eq!(Format::of(Route::EVENTS, &sent).expect_err(wrong.1).code().as_str(), "invalid_event");
    }
    let other = headers(&[("ce-type", "a"), ("content-type", "image/png")]);
    let envelope = Format::of(Route::EVENTS, &other).and_then(|format| format.read(&[0xff], 64)).expect("bytes");
    assert_eq!(envelope.attributes["data_base64"], "/w==");
}

#[test]
fn an_event_is_as_deep_however_it_was_sent() {
    let data = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let base64 = |levels| format!(r#"{{"data_base64":"{}"}}"#, STANDARD.encode(data(levels)));
    let binary = Format::Binary(Map::new());
    for (format, text) in
        [(&Format::Event, format!(r#"{{"data":{}}}"#, data(63))), (&Format::Event, base64(63)), (&binary, data(63))]
    {
        let expected = serde_json::from_str(&data(63)).expect("JSON");
        assert_eq!(format.read(text.as_bytes(), 64).map(|envelope| envelope.data), Ok(Some(expected)), "{text}");
    }
    for (format, text) in
        [(&Format::Event, format!(r#"{{"data":{}}}"#, data(64))), (&Format::Event, base64(64)), (&binary, data(64))]
    {
        assert_eq!(format.read(text.as_bytes(), 64).expect_err(&text).code().as_str(), "too_deep", "{text}");
    }
}

#[test]
fn base64_that_is_json_is_read() {
    let read = |text: &str| Format::Event.read(text.as_bytes(), 64);
    assert_eq!(read(r#"{"data_base64":"eyJuIjoxfQ=="}"#).expect("JSON").data, Some(json!({"n": 1})));
    let unsaid = read(r#"{"data":{"n":2},"data_base64":null}"#).expect("null says nothing");
    assert_eq!((unsaid.data, unsaid.attributes.get("data_base64")), (Some(json!({"n": 2})), None));
    let kept = read(r#"{"datacontenttype":"image/png","data_base64":"/w=="}"#).expect("bytes");
    assert_eq!((kept.data, &kept.attributes["data_base64"]), (None, &json!("/w==")));
    for wrong in [r#"{"data_base64":"?"}"#, r#"{"data_base64":3}"#, r#"{"data":1,"data_base64":"MQ=="}"#, "[]"] {
        assert_eq!(read(wrong).expect_err(wrong).code().as_str(), "invalid_event");
    }
}
