//! `silver.customers`: what was known of each customer, and when.
//!
//! It is computed from all of `silver.events` whenever that has changed, so it is a function of
//! the events and of nothing that came before: late ones, and such that come twice, find their place by
//! their time.

mod versions;

use deltalake::{
    arrow::{
        array::{Array, ArrayRef, AsArray, RecordBatch},
        compute::cast,
        datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType},
    },
    datafusion::prelude::SessionContext,
};
use futures::TryStreamExt as _;
use tidemill_contracts::QualityRules;
use tidemill_domain::Timestamp;
use tidemill_lake_tables::{AppId, Replacement, TableProperties, tables::SilverCustomer};

use self::versions::{CustomerVersion, CustomerVersions, ToldCustomer};
use crate::{ColumnState, RefreshStep, RefreshTold, Refreshed, SqlEngine, SqlError};

const SOURCE: &str = "silver/events";
/// What tells something of a customer, in the order of time; of one time the later in the log
/// comes behind.
const SQL: &str = r#"SELECT "customer", "time", "partition", "raw_seq", "index", "country", "email", "phone",
  "has_address", "profile" FROM silver.events
WHERE "customer" IS NOT NULL
  AND ("email" IS NOT NULL OR "phone" IS NOT NULL OR "has_address" IS NOT NULL OR "profile" IS NOT NULL)
ORDER BY "customer", "time", "raw_seq", "index""#;

/// Keeps the customers up to the events.
#[derive(Debug, Clone)]
pub struct Customers {
    quality: QualityRules,
}

impl Customers {
    /// By these rules of quality.
    pub const fn new(quality: QualityRules) -> Self {
        Self { quality }
    }

    /// Computes them, if the events have changed; tells that it begins.
    ///
    /// # Errors
    /// The store is away, or a table cannot be read or written: the table is as it was.
    pub async fn refresh(
        &self,
        engine: &SqlEngine,
        properties: &TableProperties,
        told: RefreshTold<'_>,
    ) -> Result<Option<Refreshed>, SqlError> {
        let context = engine.context();
        let sources = engine.sources(&context, &[SOURCE]).await?;
        let Some(version) = sources.version(SOURCE) else { return Ok(None) };
        if !context.table("silver.events").await?.schema().has_column_with_unqualified_name("profile") {
            // An older release has made it, and nobody has written to it since.
            return Ok(None);
        }
        let table = engine.lake().table(&SilverCustomer::TABLE, properties).await?;
        let app = AppId::of_stream(&SilverCustomer::TABLE);
        if table.reached([app.clone()]).await?.get(&app) == Some(&version) {
            return Ok(None);
        }
        let (name, reaches) = (SilverCustomer::TABLE.to_string(), format!("{app}={version}"));
        told(RefreshStep::Begins { table: &name, reads: &[SOURCE], reaches });
        let mut replacement = Replacement::<SilverCustomer<'static>>::new(table, &app, version)?;
        self.compute(&context, &mut replacement).await?;
        let (version, rows) = replacement.commit().await?;
        tracing::debug!(rows, version, "customers are computed");
        let columns = SilverCustomer::TABLE.columns.iter().map(ColumnState::declared).collect();
        Ok(Some(Refreshed { table: SilverCustomer::TABLE.to_string(), days: None, version, columns }))
    }

    async fn compute(
        &self,
        context: &SessionContext,
        replacement: &mut Replacement<SilverCustomer<'static>>,
    ) -> Result<(), SqlError> {
        let mut versions = CustomerVersions::new(self.quality.country_attribute());
        let mut rows = context.sql(SQL).await?.execute_stream().await?;
        while let Some(batch) = rows.try_next().await? {
            for told in told(&batch)? {
                for version in versions.add(&told) {
                    self.push(&version, replacement).await?;
                }
            }
        }
        for version in versions.end() {
            self.push(&version, replacement).await?;
        }
        Ok(())
    }

    async fn push(
        &self,
        version: &CustomerVersion,
        replacement: &mut Replacement<SilverCustomer<'static>>,
    ) -> Result<(), SqlError> {
        let known = &version.known;
        let score = self.quality.of_customer(&known.contacts, known.country.is_some());
        let failed = self.quality.customer_parts(score.failed);
        let row = SilverCustomer {
            customer: &version.customer,
            valid_from: version.valid_from,
            valid_to: version.valid_to,
            current: version.valid_to.is_none(),
            country: known.country.as_deref(),
            email: known.contacts.email.as_deref(),
            phone: known.contacts.phone.as_deref(),
            has_address: known.contacts.has_address == Some(true),
            profile: known.profile.as_deref(),
            quality_score: score.value,
            quality_failed: failed.as_deref(),
            partition: version.place.0,
            raw_seq: version.place.1,
            index: version.place.2,
        };
        Ok(replacement.push(&row).await?)
    }
}

/// What the events of a batch tell. A scan may give texts in another form than a table has them.
fn told(batch: &RecordBatch) -> Result<Vec<ToldCustomer>, SqlError> {
    let missing = |name: &str| SqlError::Failed(format!("there is no column {name}"));
    let column = |name: &'static str, kind: &DataType| {
        Ok::<_, SqlError>(cast(batch.column_by_name(name).ok_or_else(|| missing(name))?, kind)?)
    };
    let texts = |name| column(name, &DataType::Utf8);
    let (customers, profiles, countries) = (texts("customer")?, texts("profile")?, texts("country")?);
    let (emails, phones) = (texts("email")?, texts("phone")?);
    let times = column("time", &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))?;
    let (partitions, sequences) = (column("partition", &DataType::Int32)?, column("raw_seq", &DataType::Int64)?);
    let (indexes, addresses) = (column("index", &DataType::Int32)?, column("has_address", &DataType::Boolean)?);
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let (partitions, sequences) = (partitions.as_primitive::<Int32Type>(), sequences.as_primitive::<Int64Type>());
    let (indexes, addresses) = (indexes.as_primitive::<Int32Type>(), addresses.as_boolean());
    let text =
        |texts: &ArrayRef, row: usize| texts.is_valid(row).then(|| texts.as_string::<i32>().value(row).to_owned());
    let row = |row: usize| ToldCustomer {
        customer: text(&customers, row).unwrap_or_default(),
        time: Timestamp::saturating_from_millis(times.value(row).div_euclid(1000)),
        place: (partitions.value(row), sequences.value(row), indexes.value(row)),
        country: text(&countries, row),
        email: text(&emails, row),
        phone: text(&phones, row),
        has_address: addresses.is_valid(row).then(|| addresses.value(row)),
        profile: text(&profiles, row),
    };
    Ok((0..batch.num_rows()).map(row).collect())
}
