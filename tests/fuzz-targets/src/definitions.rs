//! What operators write: metrics, rules and conditions.

use std::collections::BTreeMap;

use serde_json::Value;
use tidemill_alert::Rules;
use tidemill_definitions::{Condition, DefinitionError, MetricDefinition};

use crate::{events::METRICS, input};

/// A metric is refused with its place, or means the same whenever it is read.
pub(crate) fn metric(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match MetricDefinition::parse("metric.yaml", text) {
        Ok(metric) => {
            let again = MetricDefinition::parse("metric.yaml", text).expect("it was right before");
            assert_eq!(metric.version(), again.version());
            let windows = metric.window.starts(tidemill_domain::Timestamp::EPOCH).count();
            assert!(windows <= 1001, "an event falls into {windows} windows");
        }
        Err(error) => says_where("metric.yaml", text, &error),
    }
}

/// The same of a rule.
pub(crate) fn rule(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let read = || {
        let mut rules = Rules::default();
        rules.add("rule.yaml", text, &METRICS).map(|()| rules)
    };
    match read() {
        Ok(rules) => {
            let versions = |rules: &Rules| rules.metas().map(|meta| meta.version.clone()).collect::<Vec<_>>();
            assert_eq!(versions(&rules).len(), 1);
            assert_eq!(versions(&rules), versions(&read().expect("it was right before")));
        }
        Err(error) => says_where("rule.yaml", text, &error),
    }
}

fn says_where(file: &str, text: &str, error: &DefinitionError) {
    let told = error.to_string();
    let place = told.strip_prefix(file).and_then(|rest| rest.strip_prefix(':'));
    let line = place.and_then(|rest| rest.split_once(": ")).and_then(|(line, _)| line.parse().ok());
    let lines = text.lines().count().max(1);
    assert!(line.is_some_and(|line| (1..=lines).contains(&line)), "of {lines} lines: {told}");
}

/// A condition is refused, or is a function of its variables: it ends, with the
/// same answer each time. The variables are a JSON object behind a line `---`.
pub(crate) fn condition(input: &[u8]) {
    let (text, variables) = input::halves(input, b"\n---\n");
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(condition) = Condition::compile(text) else { return };
    let variables: BTreeMap<String, Value> = serde_json::from_slice(variables).unwrap_or_default();
    assert_eq!(condition.holds(&variables), condition.holds(&variables));
    let written = serde_json::to_value(&condition).expect("a text");
    let read: Condition = serde_json::from_value(written).expect("it compiled before");
    assert_eq!(read.variables(), condition.variables());
}
