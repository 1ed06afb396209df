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

/// The chart asks for a volume of two and a half times what the log may take, and the server
/// sets aside what every stream may take.
#[test]
fn all_streams_together_fit_into_two_and_a_half_times_the_log() {
    let sixteenths: u64 = StreamName::ALL.iter().map(|stream| 16 / stream.share()).sum();
    assert!(sixteenths <= 40, "{sixteenths} sixteenths of the log");
}
