use super::*;
use crate::testing::two_callers;

#[test]
fn a_budget_is_the_callers_own() {
    let config = DeadLettersConfig { bytes_per_minute: NonZeroU32::MIN.saturating_add(999_999) };
    let (one, two) = two_callers();
    let budgets = Budgets::new(&config);
    assert!(budgets.spend(&one, 900_000) && !budgets.spend(&one, 900_000));
    assert!(budgets.spend(&two, 900_000) && budgets.spend(&two, 90_000));
    assert!(!budgets.spend(&two, 2_000_000), "more than a minute has");
}
