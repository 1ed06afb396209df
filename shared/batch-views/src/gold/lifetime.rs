//! `gold.customer_lifetime_value`: what each customer's orders come to.

use deltalake::{datafusion::prelude::SessionContext, kernel::Transaction};
use tidemill_definitions::{CustomerSegment, CustomerSegments};

use super::{
    refreshed::{RefreshStep, RefreshTold, Refreshed},
    write::{GoldPart, reaches, write},
};
use crate::{SqlDialect, SqlEngine, SqlError, engine::TableVersions};

pub(super) const NAME: &str = "customer_lifetime_value";
pub(super) const PATH: &str = "gold/customer_lifetime_value";
/// What it is made of.
const SOURCES: [&str; 2] = ["silver/orders", "silver/order_lines"];

/// The segment of a value, in SQL.
fn segment_of(segments: &CustomerSegments, value: &str) -> String {
    let text = |text: &str| SqlDialect::DataFusion.text(text);
    let case = |segment: &CustomerSegment| {
        format!("WHEN {value} > CAST('{}' AS DECIMAL(38, 12)) THEN {}", segment.above, text(&segment.name))
    };
    let cases: Vec<_> = segments.bounded().iter().map(case).collect();
    format!("CASE {} ELSE {} END", cases.join(" "), text(segments.otherwise()))
}

/// A row for each customer and currency of their orders.
pub(super) fn sql(segments: &CustomerSegments) -> String {
    let segment = segment_of(segments, "coalesce(sum(\"base_value\") OVER (PARTITION BY \"customer\"), 0)");
    format!(
        r#"WITH "lines" AS (
  SELECT "partition", "order_id", "currency", sum("base_net") AS "base_net", max("base_currency") AS "base_currency"
  FROM silver.order_lines WHERE "order_id" IS NOT NULL
  GROUP BY "partition", "order_id", "currency"
), "customers" AS (
  SELECT o."customer", o."currency", sum(o."net") AS "value", count(o."placed_at") AS "orders",
    min(o."placed_at") AS "first_order", max(o."placed_at") AS "last_order", sum(l."base_net") AS "base_value",
    max(l."base_currency") AS "base_currency"
  FROM silver.orders o LEFT JOIN "lines" l ON o."partition" = l."partition" AND o."order_id" = l."order_id"
    AND o."currency" IS NOT DISTINCT FROM l."currency"
  WHERE o."customer" IS NOT NULL GROUP BY o."customer", o."currency"
)
SELECT "customer", "currency", "value", "orders", "first_order", "last_order",
  share("value", "orders") AS "average", "base_value", "base_currency", {segment} AS "segment"
FROM "customers""#
    )
}

/// As questions name it.
pub(super) fn name() -> String {
    format!("gold.{NAME}")
}

/// By what names it says which versions of its sources it has.
fn names() -> [String; 2] {
    SOURCES.map(|source| format!("{PATH}/{source}"))
}

/// What says so in a commit, where all sources are there.
pub(super) fn transactions(sources: &TableVersions) -> Option<Vec<Transaction>> {
    let transaction = |(name, source): (&String, &str)| Some(Transaction::new(name, sources.version(source)?));
    names().iter().zip(SOURCES).map(transaction).collect()
}

/// Computes all of it, where any of its sources has changed.
pub(super) async fn refresh(
    engine: &SqlEngine,
    context: &SessionContext,
    sources: &TableVersions,
    segments: &CustomerSegments,
    told: RefreshTold<'_>,
) -> Result<Option<Refreshed>, SqlError> {
    let versions: Option<Vec<i64>> = SOURCES.iter().map(|path| sources.version(path)).collect();
    let Some(versions) = versions else { return Ok(None) };
    let table = engine.lake().existing(PATH).await?;
    let names = names();
    if let Some(table) = &table {
        let mut known = Vec::new();
        for name in &names {
            known.push(table.snapshot()?.transaction_version(table.log_store().as_ref(), name).await?);
        }
        if versions.iter().zip(&known).all(|(version, known)| *known == Some(*version)) {
            return Ok(None);
        }
    }
    let transactions = transactions(sources).unwrap_or_default();
    told(RefreshStep::Begins { table: &name(), reads: &SOURCES, reaches: reaches(&transactions) });
    let part = GoldPart { sql: sql(segments), replaces: None, transactions, partitioned_by: None };
    let written = write(engine, context, PATH, table, part).await?;
    Ok(Some(Refreshed::of(PATH, None, &written)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_data() {
        let segments = CustomerSegments::built_in().expect("they are right");
        let sql = segment_of(&segments, "v");
        assert!(sql.starts_with("CASE WHEN v > CAST('10000.00' AS DECIMAL(38, 12)) THEN 'VIP' WHEN v >"), "{sql}");
        assert!(sql.ends_with("ELSE 'Occasional' END"), "{sql}");
    }
}
