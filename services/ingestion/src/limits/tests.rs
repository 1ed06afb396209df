use super::*;
use crate::testing::two_callers;

fn limits(change: impl FnOnce(&mut RequestLimitsConfig)) -> RequestLimits {
    let mut config = RequestLimitsConfig::default();
    change(&mut config);
    RequestLimits::new(&config)
}

#[test]
fn places_and_memory_are_bounded_and_come_back() {
    let limits = limits(|l| (l.in_flight_requests, l.in_flight_bytes) = (1, 4 * UNIT));
    let mut admission = limits.admit().expect("one place");
    assert_eq!(limits.admit().err(), Some(Error::Busy));
    admission.charge(3 * UNIT).expect("fits");
    assert_eq!(admission.charge(UNIT + 1), Err(Error::Busy));
    drop(admission);
    limits.admit().expect("the place is back").charge(4 * UNIT).expect("and the memory");
}

#[test]
fn what_is_needed_for_a_while_is_given_back_before_the_rest() {
    let limits = limits(|l| l.in_flight_bytes = 4 * UNIT);
    let mut admission = limits.admit().expect("a place");
    let mut scratch = admission.scratch();
    scratch.cover(2 * UNIT).and_then(|()| scratch.cover(UNIT)).and_then(|()| scratch.cover(3 * UNIT)).expect("fits");
    assert_eq!(admission.charge(2 * UNIT), Err(Error::Busy));
    drop(scratch);
    let mut again = limits.admit().expect("a place");
    drop(admission);
    again.charge(4 * UNIT).expect("all of it is back");
}

#[tokio::test]
async fn a_body_has_a_size_and_a_time() {
    let limits = limits(|l| (l.wire_bytes, l.body_seconds) = (10, 0));
    let mut admission = limits.admit().expect("a place");
    let too_large = Err(Error::BodyTooLarge { limit: 10 });
    assert_eq!(limits.read(Body::from("0123456789"), 10, &mut admission).await, Ok("0123456789".into()));
    assert_eq!(limits.read(Body::from("0123456789a"), 0, &mut admission).await, too_large);
    assert_eq!(limits.read(Body::empty(), 11, &mut admission).await, too_large);
    let endless = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    assert_eq!(limits.read(endless, 0, &mut admission).await, Err(Error::BodyTimeout { seconds: 0 }));
}

#[test]
fn a_rate_is_the_keys_own() {
    let mut config = RequestLimitsConfig { events_per_request: 10, ..RequestLimitsConfig::default() };
    (config.rate_per_key, config.burst) = (NonZeroU32::MIN, NonZeroU32::MIN.saturating_add(9));
    let limits = RequestLimits::new(&config);
    let (one, two) = two_callers();
    assert_eq!(limits.spend(&one, 10), Ok(()));
    assert!(matches!(limits.spend(&one, 5), Err(Error::RateLimited { retry_after: 1..=6 })));
    assert_eq!(limits.spend(&two, 10), Ok(()));
}

#[tokio::test]
async fn draining_waits_for_the_last_answer_and_lets_nobody_in() {
    let limits = Arc::new(limits(|_| ()));
    let last = limits.admit().expect("a place");
    let draining = tokio::spawn({
        let limits = limits.clone();
        async move { limits.drain().await }
    });
    tidemill_testkit::eventually("nobody is let in", Duration::from_secs(5), || {
        let refused = limits.admit().is_err();
        async move { refused.then_some(()) }
    })
    .await;
    assert!(!draining.is_finished());
    drop(last);
    draining.await.expect("drains");
    assert_eq!(limits.admit().err(), Some(Error::Busy));
}
