//! The figures of a table: a function of what was measured, of the time and of what the
//! settings ask for.

use tidemill_batch_views::{LagQuantiles, MeasuredTable, NewestEvents, QualityFigure, RuleCount};
use tidemill_domain::Timestamp;
use tidemill_events::MeasuredFigure;

use crate::config::QualityConfig;

/// Counts of rows that are told as they are, and whether a good table has none of them.
const COUNTS: [(&str, bool); 7] = [
    ("missing_ids", true),
    ("missing_customers", false),
    ("missing_products", false),
    ("negative_amounts", true),
    ("unread_amounts", true),
    ("late", false),
    ("held", false),
];

/// The table whose scores say how much is known of somebody.
const CUSTOMERS: &str = "silver.customers";

/// What a figure may not be beyond.
#[derive(Debug, Clone, Copy)]
enum FigureBound {
    None,
    AtMost(f64),
    AtLeast(f64),
}

/// Figures of a table, being gathered.
pub(super) struct TableFigures<'t> {
    table: &'t str,
    version: u64,
    checked: Option<u64>,
    config: QualityConfig,
    figures: Vec<QualityFigure>,
}

impl<'t> TableFigures<'t> {
    /// Those of a table (`silver.events`), as of now.
    pub(super) fn of(table: &'t str, measured: &MeasuredTable, config: QualityConfig, now: Timestamp) -> Self {
        let counts = &measured.counts;
        // Counts of rows are whole numbers.
        let checked = Some(counts.sum("checked") as u64);
        let mut all = Self { table, version: measured.version, checked, config, figures: Vec::new() };
        all.push("rows", counts.sum("rows"), FigureBound::None);
        for (name, is_fault) in COUNTS.into_iter().filter(|(name, _)| counts.sums.contains_key(*name)) {
            all.push(name, counts.sum(name), if is_fault { FigureBound::AtMost(0.0) } else { FigureBound::None });
        }
        if let Some(duplicates) = measured.duplicates {
            // Senders may send again; what is read from bronze must not count it twice.
            let bound = if table.starts_with("bronze.") { FigureBound::None } else { FigureBound::AtMost(0.0) };
            all.push("duplicates", duplicates as f64, bound);
        }
        let scored = counts.sum("scored");
        if scored > 0.0 && counts.sums.contains_key("scores") {
            all.push("mean_score", counts.sum("scores") / scored, FigureBound::None);
            // What a shop knows of its customers is told and not judged: few know the address of each.
            let is_judged = table != CUSTOMERS;
            let share = if is_judged { FigureBound::AtLeast(config.high_quality_share) } else { FigureBound::None };
            all.push("high_quality_share", counts.sum("high_scores") / scored, share);
        }
        all.lag(measured.lag);
        all.age(counts.newest, counts.newest_sent, now);
        all
    }

    /// Adds how new the events are that it has, where that is known.
    pub(super) fn covering(mut self, newest: &[NewestEvents], now: Timestamp) -> Self {
        if let Some(NewestEvents { newest, newest_sent, .. }) = newest.iter().find(|known| known.table == self.table) {
            self.age(*newest, *newest_sent, now);
        }
        self
    }

    /// Adds what breaks rules, of so many rows that were looked at.
    pub(super) fn rules(mut self, rules: &[RuleCount], looked_at: u64) -> Self {
        for RuleCount { rule, contract, severity, failed } in rules {
            let bound = if severity == "warn" { FigureBound::None } else { FigureBound::AtMost(0.0) };
            self.push("failed_rows", *failed as f64, bound);
            if let Some(QualityFigure { figure, .. }) = self.figures.last_mut() {
                (figure.rule, figure.contract) = (Some(rule.clone()), contract.clone());
                (figure.severity, figure.checked) = (Some(severity.clone()), Some(looked_at));
            }
        }
        self
    }

    pub(super) fn done(self) -> Vec<QualityFigure> {
        self.figures
    }

    fn lag(&mut self, lag: Option<LagQuantiles>) {
        let Some(LagQuantiles { p50, p95, max }) = lag else { return };
        self.push("lag_p50_seconds", seconds(p50), FigureBound::None);
        self.push("lag_p95_seconds", seconds(p95), FigureBound::AtMost(self.config.lag_seconds.into()));
        self.push("lag_max_seconds", seconds(max), FigureBound::None);
    }

    /// The suite tells an event in each interval itself: so how old the newest of all is
    /// says whether the table is behind, and how old the newest that was sent is also
    /// whether anybody sends.
    fn age(&mut self, newest: Option<Timestamp>, newest_sent: Option<Timestamp>, now: Timestamp) {
        let age = |at: Timestamp| seconds(now.millis().saturating_sub(at.millis()).max(0));
        let fresh = f64::from(self.config.fresh_seconds);
        if let Some(newest) = newest {
            self.push("delay_seconds", age(newest), FigureBound::AtMost(fresh));
        }
        if let Some(newest) = newest_sent {
            self.push("freshness_seconds", age(newest), FigureBound::AtMost(fresh));
            self.push("fresh", if age(newest) <= fresh { 1.0 } else { 0.0 }, FigureBound::None);
        }
    }

    fn push(&mut self, measure: &str, value: f64, bound: FigureBound) {
        let (threshold, good) = match bound {
            FigureBound::None => (None, None),
            FigureBound::AtMost(most) => (Some(most), Some(value <= most)),
            FigureBound::AtLeast(least) => (Some(least), Some(value >= least)),
        };
        let figure = MeasuredFigure {
            measure: measure.to_owned(),
            contract: None,
            rule: None,
            severity: None,
            value,
            checked: self.checked,
            threshold,
            good,
        };
        self.figures.push(QualityFigure { table: self.table.to_owned(), version: self.version, figure });
    }
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tidemill_batch_views::FileCounts;

    use super::*;

    fn measured(sums: &[(&str, f64)]) -> MeasuredTable {
        let sums = sums.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let at = |millis| Some(Timestamp::saturating_from_millis(millis));
        MeasuredTable {
            version: 4,
            counts: FileCounts { sums, newest: at(990_000), newest_sent: at(600_000), ..FileCounts::default() },
            duplicates: Some(2),
            lag: Some(LagQuantiles { p50: 1_500, p95: 31_000, max: 60_000 }),
            counted: BTreeMap::new(),
            gone: Vec::new(),
        }
    }

    fn told(table: &str, sums: &[(&str, f64)]) -> BTreeMap<String, (f64, Option<bool>)> {
        let now = Timestamp::saturating_from_millis(1_000_000);
        let figures = TableFigures::of(table, &measured(sums), QualityConfig::default(), now).done();
        assert!(figures.iter().all(|QualityFigure { figure, .. }| figure.threshold.is_some() == figure.good.is_some()));
        figures.into_iter().map(|QualityFigure { figure, .. }| (figure.measure, (figure.value, figure.good))).collect()
    }

    #[test]
    fn a_figure_is_good_on_its_side_of_its_threshold() {
        let sums = [
            ("rows", 12.0),
            ("checked", 10.0),
            ("missing_ids", 0.0),
            ("negative_amounts", 1.0),
            ("scored", 8.0),
            ("scores", 6.0),
            ("high_scores", 7.0),
        ];
        let told_of = told("silver.events", &sums);
        let good = |measure: &str| told_of.get(measure).copied().unwrap_or_else(|| panic!("{measure}"));
        assert_eq!(good("rows"), (12.0, None));
        assert_eq!(good("missing_ids"), (0.0, Some(true)));
        assert_eq!(good("negative_amounts"), (1.0, Some(false)));
        assert_eq!(good("duplicates"), (2.0, Some(false)));
        assert_eq!(good("mean_score"), (0.75, None));
        assert_eq!(good("high_quality_share"), (0.875, Some(false)));
        assert_eq!(good("lag_p50_seconds"), (1.5, None));
        assert_eq!(good("lag_p95_seconds"), (31.0, Some(false)));
        assert_eq!(good("delay_seconds"), (10.0, Some(true)), "the suite's own events say that it is not behind");
        assert_eq!(good("freshness_seconds"), (400.0, Some(false)), "and do not count as fresh ones");
        assert_eq!(good("fresh"), (0.0, None));
        assert_eq!(told("bronze.events", &sums)["duplicates"], (2.0, None), "senders may send again");
        let customers = told("silver.customers", &sums);
        assert_eq!(customers["high_quality_share"], (0.875, None), "few shops know the address of each");
        assert!(!told("silver.orders", &[("rows", 1.0)]).contains_key("mean_score"), "nothing has a score");
    }

    #[test]
    fn a_rule_that_only_warns_makes_no_table_bad() {
        let rule = |severity: &str| RuleCount {
            rule: "r".into(),
            contract: Some("c".into()),
            severity: severity.into(),
            failed: 3,
        };
        let now = Timestamp::EPOCH;
        let all = TableFigures::of("silver.quarantine", &measured(&[]), QualityConfig::default(), now);
        let all = all.rules(&[rule("warn"), rule("quarantine")], 9).done();
        let rules: Vec<_> = all.iter().map(|all| &all.figure).filter(|figure| figure.rule.is_some()).collect();
        assert_eq!(rules.iter().map(|figure| figure.good).collect::<Vec<_>>(), [None, Some(false)]);
        assert!(rules.iter().all(|figure| (figure.value, figure.checked) == (3.0, Some(9))));
    }
}
