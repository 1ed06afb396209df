//! What a generation's store says of the generation itself.

use sqlx::{Row, any::AnyRow};
use tidemill_store::Error as StoreError;

use super::Store;
use crate::{
    error::Error,
    replay::record::{GenerationProgress, GenerationRecord, WantedState},
};

impl Store {
    /// The generation that the store is of; `None` where it is of none yet.
    pub(crate) async fn generation(&self) -> Result<Option<GenerationRecord>, Error> {
        self.call(async {
            let query = sqlx::query("SELECT name, inputs, wanted, rate, progress, rules FROM generation");
            let row = query.fetch_optional(self.database.pool()).await.map_err(StoreError::from)?;
            Ok(row.as_ref().map(record).transpose()?)
        })
        .await
    }

    /// Makes it the store of a generation. A store is of one for ever: what is there stays.
    pub(crate) async fn begin_generation(&self, record: &GenerationRecord) -> Result<(), Error> {
        self.call(async {
            let GenerationRecord { name, inputs, rules, wanted, rate, progress } = record;
            let inputs = serde_json::to_string(inputs).map_err(|_| StoreError::Malformed("inputs"))?;
            let rules = (!rules.is_empty()).then(|| serde_json::to_string(rules)).transpose();
            let rules = rules.map_err(|_| StoreError::Malformed("rules"))?;
            let sql = "INSERT INTO generation (name, inputs, wanted, rate, progress, rules) \
                       SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS (SELECT 1 FROM generation)";
            let query = sqlx::query(sql).bind(name.as_str()).bind(inputs).bind(wanted.as_str());
            let query = query.bind(rate.cast_signed()).bind(json(progress)?).bind(rules);
            query.execute(self.database.writer()).await.map(|_| ()).map_err(|e| StoreError::from(e).into())
        })
        .await
    }

    /// Says what its replay is to do. What was cancelled stays so.
    pub(crate) async fn want(&self, wanted: WantedState, rate: Option<u64>) -> Result<(), Error> {
        self.call(async {
            let sql = "UPDATE generation SET wanted = $1, rate = COALESCE($2, rate) WHERE wanted <> 'cancelled'";
            let query = sqlx::query(sql).bind(wanted.as_str()).bind(rate.map(u64::cast_signed));
            query.execute(self.database.writer()).await.map(|_| ()).map_err(|e| StoreError::from(e).into())
        })
        .await
    }

    /// Says how far its replay is.
    pub(crate) async fn tell_progress(&self, progress: &GenerationProgress) -> Result<(), Error> {
        self.call(async {
            let query = sqlx::query("UPDATE generation SET progress = $1").bind(json(progress)?);
            query.execute(self.database.writer()).await.map(|_| ()).map_err(|e| StoreError::from(e).into())
        })
        .await
    }
}

fn json(progress: &GenerationProgress) -> Result<String, StoreError> {
    serde_json::to_string(progress).map_err(|_| StoreError::Malformed("progress"))
}

fn record(row: &AnyRow) -> Result<GenerationRecord, StoreError> {
    let name: String = row.try_get(0)?;
    let (inputs, wanted, progress): (String, String, String) = (row.try_get(1)?, row.try_get(2)?, row.try_get(4)?);
    let rules: Option<String> = row.try_get(5)?;
    let rules = rules.map(|rules| serde_json::from_str(&rules)).transpose();
    Ok(GenerationRecord {
        rules: rules.map_err(|_| StoreError::Malformed("rules"))?.unwrap_or_default(),
        name: name.parse().map_err(|_| StoreError::Malformed("generation"))?,
        inputs: serde_json::from_str(&inputs).map_err(|_| StoreError::Malformed("inputs"))?,
        wanted: WantedState::read(&wanted).ok_or(StoreError::Malformed("wanted"))?,
        rate: row.try_get::<i64, _>(3)?.cast_unsigned(),
        progress: serde_json::from_str(&progress).map_err(|_| StoreError::Malformed("progress"))?,
    })
}
