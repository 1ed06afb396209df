use super::*;

#[test]
fn every_file_has_a_type_that_a_browser_runs_or_shows() {
    for path in Assets::iter() {
        let plain = ["LICENSE", "README"].iter().any(|text| path.contains(text));
        assert!(plain || !content_type(&path).starts_with("text/plain"), "{path}");
    }
}

#[test]
fn what_the_browser_has_is_not_sent_again() {
    let first = serve("index.html", &HeaderMap::new());
    assert_eq!(first.status(), StatusCode::OK);
    let etag = first.headers()[header::ETAG].clone();
    for known in [etag.to_str().expect("ascii").to_owned(), format!("\"x\", W/{}", etag.to_str().expect("ascii"))] {
        let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(&known).expect("ascii"))]);
        assert_eq!(serve("index.html", &headers).status(), StatusCode::NOT_MODIFIED, "{known}");
    }
    assert_eq!(serve("../Cargo.toml", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
}
