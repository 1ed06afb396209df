use std::collections::BTreeSet;

use clap::ValueEnum;

use super::{Changes::*, Latency::*, LookBack::*, Reaction::*, *};
use crate::choose::needs::Tables;

fn answers(
    latency: Latency,
    team: u32,
    history: LookBack,
    changes: Changes,
    tables: bool,
    act: Reaction,
) -> SuiteNeeds {
    let tables = if tables { Tables::Yes } else { Tables::No };
    SuiteNeeds { latency, team, history, changes, tables, act, events: EventsPerDay(50_000_000) }
}

#[test]
fn each_case_of_the_table_has_its_pattern() {
    for (asked, pattern) in [
        (answers(SubSecond, 8, Week, Rarely, false, No), SuiteProfile::Kappa),
        (answers(Seconds, 1, Week, Often, false, No), SuiteProfile::Kappa),
        (answers(Seconds, 8, Week, Rarely, true, No), SuiteProfile::MedallionStreaming),
        (answers(Seconds, 8, Months, Rarely, false, No), SuiteProfile::MedallionStreaming),
        (answers(Seconds, 8, Months, Often, false, No), SuiteProfile::Lambda),
        (answers(SubSecond, 8, Years, Rarely, true, No), SuiteProfile::Lambda),
        (answers(SubSecond, 2, Years, Rarely, true, No), SuiteProfile::MedallionStreaming),
        (answers(Minutes, 8, Years, Often, true, No), SuiteProfile::Medallion),
        (answers(Hours, 1, Week, Rarely, false, No), SuiteProfile::Medallion),
        (answers(Seconds, 4, Week, Rarely, false, Alert), SuiteProfile::Full),
        (answers(Hours, 4, Years, Rarely, true, Recommend), SuiteProfile::Full),
    ] {
        assert_eq!(choose(asked).pattern, pattern, "{asked:?}");
    }
    // Little enough to be counted again within a night.
    let few = SuiteNeeds { events: EventsPerDay(1_000_000), ..answers(Seconds, 8, Months, Often, false, No) };
    assert_eq!(choose(few).pattern, SuiteProfile::MedallionStreaming);
}

/// Whatever can be asked.
fn all() -> Vec<SuiteNeeds> {
    let mut all = Vec::new();
    for latency in Latency::value_variants() {
        for history in LookBack::value_variants() {
            for changes in Changes::value_variants() {
                for tables in Tables::value_variants() {
                    for act in Reaction::value_variants() {
                        for (team, events) in [1, 2, 3, 8, u32::MAX].into_iter().flat_map(|team| {
                            [1, 1_000_000, 50_000_000, u64::MAX].map(|events| (team, EventsPerDay(events)))
                        }) {
                            all.push(SuiteNeeds {
                                latency: *latency,
                                team,
                                history: *history,
                                changes: *changes,
                                tables: *tables,
                                act: *act,
                                events,
                            });
                        }
                    }
                }
            }
        }
    }
    all
}

#[test]
fn there_is_always_one_pattern_with_reasons_and_it_is_always_the_same() {
    let (mut patterns, mut told) = (BTreeSet::new(), BTreeSet::new());
    for asked in all() {
        let choice = choose(asked);
        assert_eq!(choice, choose(asked));
        assert!(!choice.reasons.is_empty() && choice.reasons.iter().all(|reason| !reason.is_empty()), "{asked:?}");
        let distinct: BTreeSet<&String> = choice.reasons.iter().collect();
        assert_eq!(distinct.len(), choice.reasons.len(), "{choice:?}");
        assert!(choice.helm.contains(&format!("profiles/{}.yaml", choice.pattern.name())), "{choice:?}");
        assert_eq!(choice.helm.contains("lake.url"), choice.services.contains(&ProfilePart::Lake));
        assert!(choice.laptop.contains(&format!("--profile {} ", choice.pattern.name())), "{choice:?}");
        patterns.insert(choice.pattern);
        told.extend(choice.anti_patterns.iter().map(|one| one.name));
    }
    assert_eq!(patterns, BTreeSet::from(SuiteProfile::ALL), "each pattern fits somewhere");
    assert_eq!(told, anti_patterns::names().collect(), "each anti-pattern applies somewhere");
}

/// A value that changes nothing would be a question without a reason to ask it.
#[test]
fn every_value_of_every_question_makes_a_difference_somewhere() {
    let told = |asked: SuiteNeeds| {
        let Choice { pattern, reasons, anti_patterns, .. } = choose(asked);
        (pattern, reasons, anti_patterns)
    };
    let all = all();
    let differs = |change: &dyn Fn(SuiteNeeds) -> Option<SuiteNeeds>| {
        all.iter().any(|asked| change(*asked).is_some_and(|other| told(*asked) != told(other)))
    };
    macro_rules! each_pair {
        ($kind:ty, $field:ident) => {
            for one in <$kind>::value_variants() {
                for other in <$kind>::value_variants().iter().filter(|other| *other != one) {
                    let change =
                        |asked: SuiteNeeds| (asked.$field == *one).then_some(SuiteNeeds { $field: *other, ..asked });
                    assert!(differs(&change), "{one:?} is as {other:?} everywhere");
                }
            }
        };
    }
    each_pair!(Latency, latency);
    each_pair!(LookBack, history);
    each_pair!(Changes, changes);
    each_pair!(Tables, tables);
    each_pair!(Reaction, act);
    assert!(differs(&|asked| Some(SuiteNeeds { team: 8, ..asked }).filter(|_| asked.team == 1)));
    assert!(differs(&|asked| Some(SuiteNeeds { events: EventsPerDay(1), ..asked })));
}

#[test]
fn events_are_read_as_people_write_them() {
    for (text, events) in [("1", 1), ("250k", 250_000), ("20M", 20_000_000), ("1G", 1_000_000_000), ("1_000", 1_000)] {
        assert_eq!(text.parse(), Ok(EventsPerDay(events)), "{text}");
    }
    for text in ["", "0", "k", "-1", "1.5M", "1m", "99999999999G", "many", "1é"] {
        let told = text.parse::<EventsPerDay>().expect_err(text).to_string();
        assert!(told.contains("250k"), "{told}");
    }
}
