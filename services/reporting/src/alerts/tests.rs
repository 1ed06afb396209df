use super::*;
use crate::testing::{at, transition};

#[test]
fn transitions_may_come_in_any_order() {
    let (fired, notified) = (transition(1, AlertState::Firing, at(5)), transition(1, AlertState::Notified, at(9)));
    let all = |order: &[&AlertTransition]| order.iter().fold(None, |alert, step| Some(AlertRecord::after(alert, step)));
    let straight = all(&[&fired, &notified]).expect("two transitions");
    assert_eq!((straight.state, straight.fired_at, straight.notified_at), (AlertState::Notified, at(5), Some(at(9))));
    assert_eq!(all(&[&notified, &fired, &notified, &fired]), Some(straight));
    assert_eq!(all(&[&fired]).expect("one").notified_at, None);
}
