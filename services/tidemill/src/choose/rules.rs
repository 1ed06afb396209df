//! The decision: rules in an order, the first that holds counts.

use super::needs::{Changes, Latency, LookBack, Reaction, SuiteNeeds, Tables};
use crate::profile::SuiteProfile;

/// Events that are counted again within a night, at some 100,000 a second.
pub(super) const A_NIGHT: u64 = 3_000_000_000;
/// People from whom on somebody can look after two paths to a number.
pub(super) const TWO_PATHS: u32 = 3;

/// The pattern, and why. There is always a reason.
pub(super) fn decide(answers: &SuiteNeeds) -> (SuiteProfile, Vec<String>) {
    let SuiteNeeds { latency, act, history, tables, .. } = answers;
    let pattern = if *act != Reaction::No {
        SuiteProfile::Full
    } else if !latency.is_live() {
        SuiteProfile::Medallion
    } else if *history == LookBack::Week && *tables == Tables::No {
        SuiteProfile::Kappa
    } else if is_long(answers) && answers.team >= TWO_PATHS {
        SuiteProfile::Lambda
    } else {
        SuiteProfile::MedallionStreaming
    };
    let mut reasons = vec![of_pattern(answers, pattern), of_latency(answers, pattern).into()];
    reasons.extend(of_past(answers, pattern));
    reasons.extend(of_team(answers, pattern));
    (pattern, reasons)
}

/// Whether the past is longer than one wants to count again for each change, or than live totals are kept.
pub(super) fn is_long(answers: &SuiteNeeds) -> bool {
    answers.history == LookBack::Years || answers.changes == Changes::Often && past(answers) > A_NIGHT
}

/// Events of the past that a change is about.
pub(super) fn past(answers: &SuiteNeeds) -> u64 {
    answers.events.0.saturating_mul(answers.history.days())
}

fn of_pattern(answers: &SuiteNeeds, pattern: SuiteProfile) -> String {
    match (pattern, answers.act) {
        (_, Reaction::Alert) => {
            "Alerts read events and live totals as they come: that needs the stream, and alert.".into()
        }
        (_, Reaction::Recommend) => "Recommendations are learnt from events as they come: that needs the stream, and \
             recommendation."
            .into(),
        (SuiteProfile::Medallion, _) => "Nobody waits for a number, so none has to be kept in memory: tables that are \
             written every ten seconds, and added up every two minutes, are enough."
            .into(),
        (SuiteProfile::Kappa, _) => {
            "Numbers are live, and what is counted again is still in the log: one path, and `tidemill \
             replay` for changes."
                .into()
        }
        (SuiteProfile::Lambda, _) => {
            "Numbers are live, and are made again further back than the log reaches: batch views have \
             the past, the stream has what came since, and both are merged at a position in the log."
                .into()
        }
        (SuiteProfile::MedallionStreaming, _) => {
            "Numbers are live; what is asked of the past is asked of the tables, apart from them.".into()
        }
        // It acts, which the first two arms tell.
        (SuiteProfile::Full, Reaction::No) => "The suite acts by itself.".into(),
    }
}

fn of_latency(answers: &SuiteNeeds, pattern: SuiteProfile) -> &'static str {
    match (answers.latency, pattern) {
        (Latency::SubSecond, _) => {
            "Half of the numbers are visible within 0.3 to 0.4 s at half the load that 2 cores \
             sustain, 99 % within 0.6 to 0.8 s (docs/performance.md)."
        }
        (Latency::Seconds, _) => "Seconds are what the stream has at any load that it sustains.",
        (Latency::Minutes, SuiteProfile::Medallion) => {
            "Two minutes are what gold takes by default (`gold.every_seconds`); no live total is needed."
        }
        (Latency::Hours, SuiteProfile::Medallion) => {
            "Hours would even let `gold.every_seconds` be 3600: fewer commits, and larger files."
        }
        (Latency::Minutes | Latency::Hours, _) => "Numbers could wait, but what acts cannot.",
    }
}

fn of_past(answers: &SuiteNeeds, pattern: SuiteProfile) -> Vec<String> {
    let mut reasons = Vec::new();
    match answers.history {
        LookBack::Week => {
            reasons.push("A week is what the log keeps by default: a replay of it needs nothing else.".into());
        }
        LookBack::Months | LookBack::Years => {
            reasons.push(
                "The log keeps a week. What is older is in bronze, from which all layers can be made again.".into(),
            );
        }
    }
    if answers.changes == Changes::Often {
        reasons.push(match past(answers) > A_NIGHT {
            true => format!(
                "Definitions change often, and {} events lie behind a change: more than a night's work to count \
                 again, so a batch view is made once and kept.",
                thousands(past(answers))
            ),
            false => format!(
                "Definitions change often, but only {} events lie behind a change: they are counted again within a \
                 night.",
                thousands(past(answers))
            ),
        });
    }
    if answers.tables == Tables::Yes {
        reasons.push("Whoever asks events by SQL, or trains on them, gets Delta tables that any engine reads.".into());
    } else if pattern == SuiteProfile::Medallion {
        reasons.push("Answers come by `tidemill sql` here; there is no dashboard without the stream.".into());
    }
    reasons
}

fn of_team(answers: &SuiteNeeds, pattern: SuiteProfile) -> Option<String> {
    let people = match answers.team {
        1 => "One person".to_owned(),
        team => format!("A team of {team}"),
    };
    let count = pattern.parts().len();
    match (answers.team < TWO_PATHS, pattern) {
        (true, SuiteProfile::MedallionStreaming) if is_long(answers) => Some(format!(
            "{people} should not look after two paths to one number: gold answers the past, the stream the present, \
             and nobody merges them. From {TWO_PATHS} people on it would be lambda."
        )),
        (true, _) => Some(format!("{people} has {count} services to look after, and one log.")),
        (false, SuiteProfile::Lambda | SuiteProfile::Full) => {
            Some(format!("{people} can look after {count} services."))
        }
        (false, _) => None,
    }
}

fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let from_the_end = digits.char_indices().map(|(at, digit)| {
        let comma = if at > 0 && (digits.len() - at).is_multiple_of(3) { "," } else { "" };
        format!("{comma}{digit}")
    });
    from_the_end.collect()
}
