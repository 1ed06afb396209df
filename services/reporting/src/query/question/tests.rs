use super::*;
use crate::testing::sales;

fn asked(parameters: &[(&str, &str)]) -> Result<Question, Error> {
    let pairs: Vec<_> = parameters.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Question::parse(&sales(), QuestionView::Series, Zone::UTC, &pairs)
}

#[test]
fn every_wrong_parameter_is_told() {
    let Err(Error::Parameters(errors)) =
        asked(&[("from", "yesterday"), ("colour/x", "red"), ("group_by", "shop,region,region"), ("format", "xml")])
    else {
        panic!("four are wrong")
    };
    let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["/from", "/colour~1x", "/format", "/group_by", "/group_by"]);
    let Err(Error::Parameters(errors)) = asked(&[("from", "2026-01-02T00:00:00Z"), ("to", "2026-01-01T00:00:00Z")])
    else {
        panic!("the span is none")
    };
    assert_eq!(errors, [wrong("to", "must not be before from")]);
    let Err(Error::Parameters(errors)) = asked(&[("version", "v"), ("generation", "batch")]) else {
        panic!("a version is of one generation")
    };
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].pointer, "/generation");
}
