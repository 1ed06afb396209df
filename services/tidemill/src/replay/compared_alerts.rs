//! The alerts of a backtest beside the live ones.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use tidemill_domain::Timestamp;
use tidemill_events::AlertTransition;

/// Alerts by whether both have raised them. Each list is in the order of the log.
#[derive(Debug, Default, PartialEq)]
pub struct ComparedAlerts {
    /// Raised by both: as the backtest has it, with what both share.
    pub both: Vec<AlertTransition>,
    /// Raised by the live rules alone.
    pub only_live: Vec<AlertTransition>,
    /// Raised by the backtest alone.
    pub only_here: Vec<AlertTransition>,
}

/// How many alerts of a rule are on which side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AlertCounts {
    /// Raised by both.
    pub both: u64,
    /// By the live rules alone.
    pub only_live: u64,
    /// By the backtest alone.
    pub only_here: u64,
}

/// What an alert is about: a rule that was changed is about the same.
type Occasion = (String, Timestamp, BTreeMap<String, String>);

fn occasion(alert: &AlertTransition) -> Occasion {
    (alert.rule.clone(), alert.event_time, alert.dimensions.clone())
}

impl ComparedAlerts {
    /// Puts them beside each other: by their ids, which a rule gives to the same occasion as
    /// long as it stays as it is, and else by what they are about.
    pub(super) fn of(here: Vec<AlertTransition>, live: Vec<AlertTransition>) -> Self {
        let mut unmatched: HashMap<_, _> = live.into_iter().map(|alert| (alert.id, alert)).collect();
        let (mut both, others): (Vec<_>, Vec<_>) =
            here.into_iter().partition(|alert| unmatched.remove(&alert.id).is_some());
        let mut by_occasion: HashMap<Occasion, Vec<AlertTransition>> = HashMap::new();
        for alert in unmatched.into_values() {
            by_occasion.entry(occasion(&alert)).or_default().push(alert);
        }
        let (again, mut only_here): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|alert| by_occasion.get_mut(&occasion(alert)).is_some_and(|live| live.pop().is_some()));
        both.extend(again);
        let mut only_live: Vec<_> = by_occasion.into_values().flatten().collect();
        for list in [&mut both, &mut only_live, &mut only_here] {
            list.sort_by_key(|alert| (alert.raw_seq, alert.at, alert.id));
        }
        Self { both, only_live, only_here }
    }

    /// Whether both have raised the same.
    pub fn are_equal(&self) -> bool {
        self.only_live.is_empty() && self.only_here.is_empty()
    }

    /// How many of each rule that has any.
    pub fn counts(&self) -> BTreeMap<&str, AlertCounts> {
        let mut counts: BTreeMap<&str, AlertCounts> = BTreeMap::new();
        for alert in &self.both {
            counts.entry(&alert.rule).or_default().both += 1;
        }
        for alert in &self.only_live {
            counts.entry(&alert.rule).or_default().only_live += 1;
        }
        for alert in &self.only_here {
            counts.entry(&alert.rule).or_default().only_here += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use tidemill_domain::Partition;
    use tidemill_events::AlertState;
    use uuid::Uuid;

    use super::*;

    fn alert(id: u128, rule: &str, minute: i64, subject: &str) -> AlertTransition {
        AlertTransition {
            id: Uuid::from_u128(id),
            rule: rule.into(),
            rule_version: String::new(),
            severity: "info".into(),
            state: AlertState::Firing,
            title: String::new(),
            summary: String::new(),
            dimensions: BTreeMap::from([("subject".into(), subject.into())]),
            values: BTreeMap::new(),
            event_time: Timestamp::saturating_from_millis(minute * 60_000),
            at: Timestamp::EPOCH,
            partition: Partition::new(0),
            raw_seq: u64::try_from(minute).expect("a minute"),
            trace: None,
        }
    }

    #[test]
    fn a_changed_rule_is_about_the_same_occasions() {
        let live = vec![alert(1, "A", 1, "x"), alert(2, "A", 2, "x"), alert(3, "B", 2, "x"), alert(4, "B", 2, "x")];
        // A as it was; B is another rule, so its ids are others. It finds one of two.
        let here = vec![alert(2, "A", 2, "x"), alert(5, "B", 2, "x"), alert(6, "B", 2, "y")];
        let compared = ComparedAlerts::of(here, live);
        let counts = |both, only_live, only_here| AlertCounts { both, only_live, only_here };
        assert_eq!(compared.counts(), BTreeMap::from([("A", counts(1, 1, 0)), ("B", counts(1, 1, 1))]));
        assert!(!compared.are_equal());
        assert_eq!(compared.only_here[0].dimensions["subject"], "y");
    }
}
