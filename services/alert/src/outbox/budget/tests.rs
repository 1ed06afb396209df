use super::*;

#[test]
fn a_budget_is_per_rule_and_comes_back_after_a_minute() {
    let at = Timestamp::saturating_from_millis;
    let mut budget = Budget::new(2);
    budget.spend("A", at(0));
    budget.spend("A", at(1000));
    assert_eq!((budget.left("A", at(2000)), budget.left("B", at(2000))), (0, 2));
    assert_eq!(budget.refilled_in("A", at(2000)), Duration::from_secs(58));
    assert_eq!(budget.left("A", at(MINUTE)), 2);
}
