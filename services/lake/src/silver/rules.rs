//! What is asked of events on their way into silver.

use tidemill_contracts::{ContractSet, EventJudge, QualityRules, Rule};
use tidemill_service::StartError;

use super::{columns::SilverColumns, place::EventPlace};
use crate::config::ContractsConfig;

/// The contract of `silver.events`, those of all tables, how good an event is, and what
/// more of it is a column.
#[derive(Debug)]
pub(crate) struct SilverRules {
    pub(crate) contracts: ContractSet,
    pub(crate) judge: EventJudge,
    pub(crate) quality: QualityRules,
    pub(crate) columns: SilverColumns,
}

impl SilverRules {
    /// Those that the settings name, or those that come with the lake.
    pub(crate) fn load(config: &ContractsConfig) -> Result<Self, StartError> {
        let contracts = ContractSet::load(config.folder.as_deref()).map_err(StartError::new)?;
        let missing = || StartError::new("there is no contract of silver.events");
        let judge = EventJudge::of(&contracts).ok_or_else(missing)?;
        let quality = QualityRules::load(config.quality.as_deref()).map_err(StartError::new)?;
        Ok(Self { contracts, judge, quality, columns: SilverColumns::load(config.columns.as_deref())? })
    }

    /// Whether the data of events of this type are looked into.
    pub(super) fn need_data(&self, kind: &str) -> bool {
        self.judge.needs_data(kind) || self.quality.needs_data(kind) || self.columns.need_data(kind)
    }
}

/// An event breaks a rule that stops its partition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "rule `{rule}` of {contract} {version} does not hold for the event at line {index} of batch {raw_seq} in \
     partition {partition}{}", pointer.as_deref().map(|pointer| format!(", at {pointer}")).unwrap_or_default()
)]
pub(crate) struct BrokenContract {
    rule: String,
    contract: String,
    version: String,
    partition: i32,
    raw_seq: i64,
    index: i32,
    pointer: Option<String>,
}

impl BrokenContract {
    pub(super) fn of(rules: &SilverRules, rule: &Rule, place: EventPlace) -> Self {
        let contract = rules.judge.contract();
        Self {
            rule: rule.name().into(),
            contract: contract.id.clone(),
            version: contract.version.clone(),
            partition: place.partition,
            raw_seq: place.raw_seq,
            index: place.index,
            pointer: rule.pointer().map(String::from),
        }
    }
}
