use super::*;

#[test]
fn a_token_never_widens_a_subject() {
    assert_eq!(dlq("ingestion", "bad.code >*"), "tm.dlq.ingestion.bad_code___");
    assert_eq!(alerts(""), "tm.alerts._");
}

/// Alerts, points and the lake follow the live totals alone.
#[test]
fn reporting_alone_reads_generations() {
    assert_eq!(StreamName::Generations.readers(), ["reporting"].into());
    let live = Durable::each(Partition::new(0)).map(|durable| (durable.name(), durable.filter()));
    for (name, filter) in live.into_iter().filter(|(name, _)| name != "reporting-generations") {
        assert!(!filter.starts_with("tm.generations"), "{name} reads {filter}");
    }
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
