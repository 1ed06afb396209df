use super::*;
use crate::{config::RequestLimitsConfig, limits::RequestLimits};

fn rejections(events: impl IntoIterator<Item = (&'static str, &'static str)>) -> Rejections {
    let mut admission = RequestLimits::new(&RequestLimitsConfig::default()).admit().expect("a place");
    let mut rejections = Rejections::default();
    for (index, (kind, body)) in events.into_iter().enumerate() {
        let error = Error::UnknownType(kind.into());
        rejections.add(index, ClaimedIdentity::default(), error, body.into(), &mut admission).expect("fits");
    }
    rejections
}

#[test]
fn what_failed_alike_is_together_and_equal_bodies_are_one() {
    let mut rejections = rejections([("a", "1"), ("b", "1"), ("a", "2"), ("a", "1")]);
    let bodies = |group: &FailureGroup| group.bodies.iter().map(|b| (b.bytes.clone(), b.count)).collect::<Vec<_>>();
    let groups: Vec<_> = rejections.groups().iter().map(bodies).collect();
    assert_eq!(groups, [vec![("1".into(), 2), ("2".into(), 1)], vec![("1".into(), 1)]]);
    assert_eq!((rejections.total(), rejections.not_kept()), (4, 0));
    rejections.drop_bodies(0, 0..1);
    assert_eq!(rejections.not_kept(), 2);
    assert_eq!(rejections.listed().map(|(_, kept)| kept).collect::<Vec<_>>(), [false, true, true, false]);
}

#[test]
fn an_answer_tells_the_first_ones_and_counts_the_rest() {
    let rejections = rejections(std::iter::repeat_n(("a", "1"), LISTED + 3));
    assert_eq!((rejections.total(), rejections.listed().len()), (LISTED + 3, LISTED));
    let told = rejections.unlisted().told();
    assert_eq!((told.len(), told[0].code, told[0].count), (1, "unknown_type", 3));
    assert_eq!(told[0].indexes, [LISTED, LISTED + 1, LISTED + 2]);
}
