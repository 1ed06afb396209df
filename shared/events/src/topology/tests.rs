use super::*;

#[test]
fn a_token_never_widens_a_subject() {
    assert_eq!(dlq("ingestion", "bad.code >*"), "tm.dlq.ingestion.bad_code___");
    assert_eq!(alerts(""), "tm.alerts._");
}

#[test]
fn what_varies_in_a_subject_has_a_name() {
    assert_eq!(StreamName::Dlq.address(), "tm.dlq.{service}.{code}");
    assert_eq!(StreamName::Redrive.address(), "tm.redrive");
    for stream in StreamName::ALL {
        assert!(!stream.address().contains('*'), "{stream}");
        assert_eq!(stream.subjects().matches('*').count(), stream.parameters().len(), "{stream}");
    }
}
