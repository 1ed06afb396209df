use tidemill_events::bodies;

use super::{
    super::rejections::{ClaimedIdentity, Rejections},
    *,
};
use crate::{config::RequestLimitsConfig, error::Error, limits::RequestLimits};

#[test]
fn a_large_group_goes_into_several_letters_and_nothing_of_it_is_left_out() {
    let mut admission = RequestLimits::new(&RequestLimitsConfig::default()).admit().expect("a place");
    let mut rejected = Rejections::default();
    for n in 0..40 {
        let body = format!("{n:02}{}", "x".repeat(30 << 10));
        rejected.add(n, ClaimedIdentity::default(), Error::Internal, body.into(), &mut admission).expect("fits");
    }
    let plans = plan(rejected.groups());
    let parts: Vec<_> = plans.iter().map(|plan| plan.bodies.clone()).collect();
    assert_eq!(parts, [0..8, 8..16, 16..24, 24..32, 32..40]);
    let of = &rejected.groups()[0].bodies;
    assert!(parts.into_iter().all(|part| bodies::encode(&of[part]).expect("encodes").len() <= MAX_LETTER));
}
