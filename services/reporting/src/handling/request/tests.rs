use super::*;

fn checked(kind: RequestKind, json: &str) -> Result<Vec<u8>, Vec<String>> {
    let asked: OrderRequest = serde_json::from_str(json).map_err(|e: serde_json::Error| vec![e.to_string()])?;
    asked.check(kind).map_err(|error| match error {
        Error::Request(errors) => errors.into_iter().map(|e| e.pointer).collect(),
        other => panic!("{other}"),
    })
}

#[test]
fn an_order_says_which_letters_and_who() {
    let ok = [r#"{"sequences":[1],"by":"anna"}"#, r#"{"filter":{},"by":"anna","limit":5,"after":3,"dry_run":true}"#];
    ok.iter().for_each(|json| assert_eq!(checked(RequestKind::Redrive, json), Ok(Vec::new()), "{json}"));
    for (json, pointers) in [
        (r#"{"by":"anna"}"#, &[""][..]),
        (r#"{"sequences":[],"by":" "}"#, &["/sequences", "/by"]),
        (r#"{"sequences":[1],"filter":{},"by":"a\u0000"}"#, &["/filter", "/by"]),
        (r#"{"filter":{"source":"a\u0000","code":"\u001b"},"by":"a"}"#, &["/filter/code", "/filter/source"]),
        (r#"{"filter":{},"by":"a","limit":0,"body":{}}"#, &["/limit", "/body"]),
        (r#"{"sequences":[1,2],"by":"a","body":{}}"#, &["/body"]),
        (r#"{"sequences":[1],"by":"a","body":" "}"#, &["/body"]),
    ] {
        assert_eq!(checked(RequestKind::Redrive, json).expect_err(json), pointers, "{json}");
    }
    assert_eq!(checked(RequestKind::Discard, ok[0]), Err(vec!["/reason".to_owned()]));
    let unknown =
        checked(RequestKind::Redrive, r#"{"sequences":[1],"by":"a","dryrun":true}"#).expect_err("it is dry_run");
    assert!(unknown[0].starts_with("unknown field `dryrun`"), "{unknown:?}");
}

#[test]
fn a_mended_event_is_taken_to_the_letter() {
    let of = |body: &str| {
        let order = format!(r#"{{"sequences":[1],"by":"a","body":{body}}}"#);
        String::from_utf8(checked(RequestKind::Redrive, &order).expect("right")).expect("text")
    };
    assert_eq!(of(r#"{"n": 0.10000000000000000001}"#), r#"{"n": 0.10000000000000000001}"#);
    assert_eq!(of(r#""{\"a\":1}""#), r#"{"a":1}"#);
}
