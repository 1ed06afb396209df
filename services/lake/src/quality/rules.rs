//! The rules of contracts: each is told, also where no row breaks it.

use tidemill_batch_views::RuleCount;
use tidemill_contracts::{ContractSet, DataContract, Rule, RuleSeverity};
use tidemill_lake_tables::tables::{QuarantinedEvent, SilverEvent};

/// What was counted of the rows of a table (`silver.events`), and the rules that none of them breaks.
pub(super) fn with_kept(contracts: &ContractSet, table: &str, counted: &[RuleCount]) -> Vec<RuleCount> {
    let mut all = counted.to_vec();
    let Some(contract) = contracts.of_table(&SilverEvent::TABLE.path()) else { return all };
    for kept in contract.rules.iter().filter(|rule| counted_in(rule.severity()) == table) {
        let kept = none_of(contract, kept);
        let same = |known: &RuleCount| {
            (&known.rule, &known.severity, &known.contract) == (&kept.rule, &kept.severity, &kept.contract)
        };
        if !all.iter().any(same) {
            all.push(kept);
        }
    }
    all
}

/// The table whose rows tell of rules like this. One that stops its partition has no row anywhere.
fn counted_in(severity: RuleSeverity) -> String {
    match severity {
        RuleSeverity::Warn | RuleSeverity::Fail => SilverEvent::TABLE.to_string(),
        RuleSeverity::Quarantine => QuarantinedEvent::TABLE.to_string(),
    }
}

/// As rows would tell it: a warning names its rule alone.
fn none_of(contract: &DataContract, rule: &Rule) -> RuleCount {
    let is_named = rule.severity() != RuleSeverity::Warn;
    RuleCount {
        rule: rule.name().into(),
        contract: is_named.then(|| contract.id.clone()),
        severity: rule.severity().as_str().into(),
        failed: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_no_row_breaks_is_told_with_none() {
        let contracts = ContractSet::load(None).expect("contracts");
        let contract = contracts.of_table("silver/events").expect("a contract");
        let count = |rule: &str, contract: Option<&str>, severity: &str, failed| RuleCount {
            rule: rule.into(),
            contract: contract.map(String::from),
            severity: severity.into(),
            failed,
        };
        let counted = [count("email_valid", None, "warn", 3), count("of_before", None, "warn", 1)];
        let all = with_kept(&contracts, "silver.events", &counted);
        assert_eq!(all[..2], counted, "what is counted stays");
        let warned = contract.rules.iter().filter(|rule| rule.severity() == RuleSeverity::Warn).count();
        assert_eq!(all.len(), warned + 1, "each rule once, and one that there is no more");
        assert!(all[2..].iter().all(|rule| rule.failed == 0 && rule.contract.is_none()));
        let held = with_kept(&contracts, "silver.quarantine", &[]);
        assert_eq!(held, [count("readable", Some(&contract.id), "quarantine", 0)]);
        assert_eq!(with_kept(&contracts, "silver.orders", &[]), []);
    }
}
