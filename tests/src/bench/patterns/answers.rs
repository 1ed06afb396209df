//! What a pattern answers: live totals, gold, or both.

use std::collections::BTreeMap;

use serde_json::Value;
use tidemill::{
    client::Client,
    profile::{ProfilePart, SuiteProfile},
};

use super::{
    super::{
        lake::{ask, number},
        suite::Suite,
    },
    workload::PatternWork,
};
use crate::{
    error::Error,
    journal::Journal,
    shop::{
        reader,
        truth::{self, Daily},
    },
};

const GOLD: &str =
    "select window_start, country, lines, invoices, customers, quantity, net, sales from gold.daily_country";

/// Who is asked.
pub(super) struct PatternAnswers<'a> {
    pub(super) profile: SuiteProfile,
    pub(super) suite: &'a Suite,
    pub(super) client: &'a Client,
}

impl PatternAnswers<'_> {
    pub(super) fn has(&self, part: ProfilePart) -> bool {
        self.profile.has(part)
    }

    /// Whether all that it answers is the truth, cell for cell.
    pub(super) async fn are_exact(&self, work: &PatternWork<'_>, journal: &Journal) -> Result<bool, Error> {
        let mut is_exact = true;
        for (what, told) in self.all().await? {
            let difference = truth::compare(&work.truth, &told);
            if difference.rows > 0 {
                journal.problem(format_args!("{}, {what}: {difference:?}", self.profile.name()));
                is_exact = false;
            }
        }
        Ok(is_exact)
    }

    /// `daily_country` of each that has it.
    pub(super) async fn all(&self) -> Result<Vec<(&'static str, Daily)>, Error> {
        let mut all = Vec::new();
        if self.has(ProfilePart::Reporting) {
            all.push(("live totals", reader::daily(self.client).await?));
        }
        if self.has(ProfilePart::Lake) {
            all.push(("gold", gold(self.suite).await?));
        }
        Ok(all)
    }
}

async fn gold(suite: &Suite) -> Result<Daily, Error> {
    let answer = ask(suite, GOLD).await?;
    let mut daily = Daily::new();
    for row in answer["rows"].as_array().into_iter().flatten() {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let day = text("window_start").get(..10).unwrap_or_default().to_owned();
        let members = row.as_object().into_iter().flatten();
        let values: BTreeMap<String, Value> =
            members.map(|(name, value)| (name.clone(), without_zeros(value))).collect();
        let figures = truth::of_answer(&values).map_err(|why| Error::Refused(format!("gold, {row}: {why}")))?;
        daily.insert((day, text("country")), figures);
    }
    Ok(daily)
}

/// A decimal without the zeros at its end.
fn without_zeros(value: &Value) -> Value {
    match value.as_str() {
        Some(text) if text.contains('.') => text.trim_end_matches('0').trim_end_matches('.').into(),
        _ => value.clone(),
    }
}

/// Lines that gold has counted.
pub(super) async fn lines_of_gold(suite: &Suite) -> Result<u64, Error> {
    let answer = ask(suite, "select coalesce(sum(lines), 0) as lines from gold.daily_country").await?;
    let lines = number(&answer["rows"][0]["lines"]);
    lines.ok_or_else(|| Error::Refused(format!("gold does not tell its lines: {answer}")))
}
