//! Questions of contracts in SQL. Each may read whole tables: so they are asked seldom, as anybody's questions are,
//! and what they were answered is told until they are asked again.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::TryStreamExt as _;
use serde_json::{Map, Value};
use tidemill_batch_views::{QualityFigure, ResultFormat, SqlError};
use tidemill_contracts::{ContractSet, DataContract, RuleSeverity, SqlCheck};
use tidemill_events::MeasuredFigure;
use tidemill_lake_tables::Lake;
use tidemill_service::Context;
use tokio::time::Instant;

use crate::sql::SqlProcesses;

/// The measure of an answer.
pub(super) const CHECK: &str = "check";
/// The measure of a question that was not answered.
pub(super) const UNANSWERED: &str = "check_unanswered";

/// From one look at whose work it is to the next, at most.
const LOOK: Duration = Duration::from_secs(5);
/// Bytes of an answer: it is one number.
const MOST_BYTES: u64 = 4096;

/// The questions of all contracts, and what they were answered last.
pub(crate) struct ContractChecks {
    pub(super) contracts: ContractSet,
    sql: Arc<SqlProcesses>,
    lake: Lake,
    /// By table and rule.
    told: Mutex<BTreeMap<(String, String), QualityFigure>>,
}

impl ContractChecks {
    pub(crate) fn new(contracts: ContractSet, sql: Arc<SqlProcesses>, lake: Lake) -> Self {
        Self { contracts, sql, lake, told: Mutex::default() }
    }

    /// What was answered last, by table.
    pub(super) fn told(&self) -> Vec<QualityFigure> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn tell(&self, table: &str, rule: &str, figure: Option<QualityFigure>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (table.to_owned(), rule.to_owned());
        match figure {
            Some(figure) => told.insert(key, figure),
            None => told.remove(&key),
        };
    }

    /// Asks all of them, one after the other.
    async fn ask_all(&self) {
        for contract in self.contracts.iter() {
            for check in &contract.checks {
                let table = contract.table.replace('/', ".");
                match self.ask(contract, check).await {
                    Ok(figure) => self.tell(&table, &check.name, figure),
                    // Others were asked; the answer of before stands.
                    Err(SqlError::Busy) => {}
                    Err(error) => {
                        let code = error.code().as_str();
                        tracing::warn!(table, rule = check.name, code, %error, "a question of a contract has no answer");
                        self.tell(&table, &check.name, Some(unanswered(&table, contract, check)));
                    }
                }
            }
        }
    }

    /// The figure of an answer; none where there is no such table.
    async fn ask(&self, contract: &DataContract, check: &SqlCheck) -> Result<Option<QualityFigure>, SqlError> {
        let Some(table) = self.lake.existing(&contract.table).await? else { return Ok(None) };
        let answer = self.sql.query(check.query.clone(), None, ResultFormat::Ndjson).await?;
        if answer.bytes() > MOST_BYTES {
            return Err(SqlError::Failed("the answer is more than one number".into()));
        }
        let chunks: Vec<_> =
            answer.chunks().try_collect().await.map_err(|error| SqlError::Failed(error.to_string()))?;
        let number = number(&chunks.concat()).ok_or_else(|| SqlError::Failed("the answer is not one number".into()))?;
        let name = contract.table.replace('/', ".");
        Ok(Some(answered(&name, table.version().unwrap_or_default(), contract, check, number)))
    }
}

/// Asks in each interval, while that is this replica's work.
pub(super) async fn keep(
    context: Context,
    checks: Arc<ContractChecks>,
    every: Duration,
    is_ours: impl Fn() -> bool,
) -> Result<(), Infallible> {
    let stop = context.shutdown.clone();
    let mut asked: Option<Instant> = None;
    while stop.run_until_cancelled(tokio::time::sleep(every.min(LOOK))).await.is_some() {
        if !is_ours() {
            asked = None;
            checks.told.lock().unwrap_or_else(PoisonError::into_inner).clear();
        } else if asked.is_none_or(|at| at.elapsed() >= every) {
            if stop.run_until_cancelled(checks.ask_all()).await.is_none() {
                break;
            }
            asked = Some(Instant::now());
        }
    }
    Ok(())
}

fn answered(table: &str, version: u64, contract: &DataContract, check: &SqlCheck, number: f64) -> QualityFigure {
    let is_judged = check.severity != RuleSeverity::Warn;
    let figure = MeasuredFigure {
        value: number,
        threshold: is_judged.then(|| check.bound.threshold(number)),
        good: is_judged.then(|| check.bound.holds(number)),
        ..nothing(CHECK, contract, check)
    };
    QualityFigure { table: table.into(), version, figure }
}

fn unanswered(table: &str, contract: &DataContract, check: &SqlCheck) -> QualityFigure {
    let is_judged = check.severity != RuleSeverity::Warn;
    let figure = MeasuredFigure {
        value: 1.0,
        threshold: is_judged.then_some(0.0),
        good: is_judged.then_some(false),
        ..nothing(UNANSWERED, contract, check)
    };
    QualityFigure { table: table.into(), version: 0, figure }
}

fn nothing(measure: &str, contract: &DataContract, check: &SqlCheck) -> MeasuredFigure {
    MeasuredFigure {
        measure: measure.into(),
        contract: Some(contract.id.clone()),
        rule: Some(check.name.clone()),
        severity: Some(check.severity.as_str().into()),
        value: 0.0,
        checked: None,
        threshold: None,
        good: None,
    }
}

/// The number in an answer of one row and one column.
fn number(answer: &[u8]) -> Option<f64> {
    let row: Map<String, Value> = serde_json::from_slice(answer).ok()?;
    let mut columns = row.values();
    let (Some(value), None) = (columns.next(), columns.next()) else { return None };
    match value {
        Value::Number(number) => number.as_f64(),
        // As amounts are written.
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
    .filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_number() {
        assert_eq!(number(b"{\"count(*)\":3}\n"), Some(3.0));
        assert_eq!(number(b"{\"net\":\"10.50\"}\n"), Some(10.5));
        for other in ["", "{}", "{\"a\":1,\"b\":2}", "{\"a\":1}\n{\"a\":2}", "{\"a\":null}", "{\"a\":\"NaN\"}"] {
            assert_eq!(number(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn an_answer_is_held_against_its_bound_unless_it_only_warns() {
        let contracts = ContractSet::load(None).expect("contracts");
        let contract = contracts.of_table("silver/events").expect("a contract");
        let check = contract.checks.iter().find(|check| check.name == "unique_place").expect("a check");
        let told = |check: &SqlCheck, number| {
            let QualityFigure { figure, version, .. } = answered("silver.events", 7, contract, check, number);
            assert_eq!((version, figure.measure.as_str(), figure.rule.as_deref()), (7, CHECK, Some("unique_place")));
            (figure.value, figure.threshold, figure.good)
        };
        assert_eq!(told(check, 0.0), (0.0, Some(0.0), Some(true)));
        assert_eq!(told(check, 2.0), (2.0, Some(0.0), Some(false)));
        assert_eq!(unanswered("silver.events", contract, check).figure.good, Some(false));
        let warning = SqlCheck { severity: RuleSeverity::Warn, ..check.clone() };
        assert_eq!(told(&warning, 2.0), (2.0, None, None));
    }
}
