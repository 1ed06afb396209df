//! What changes of orders come to, in SQL.

use std::sync::Arc;

use deltalake::{
    arrow::{
        array::{Array, ArrayRef, AsArray, RecordBatch, StringArray},
        datatypes::Decimal128Type,
    },
    datafusion::{
        datasource::MemTable,
        prelude::{SessionConfig, SessionContext},
    },
};

use crate::{
    error::{LakeError, LakeErrorKind},
    read::with_columns,
    schema::arrow_schema,
    tables::SilverOrder,
};

/// Amounts of an order, which add up.
const AMOUNTS: [&str; 9] = ["gross", "discount", "revenue", "refund", "cancelled", "net", "shipping", "tax", "excess"];
/// What is taken over from the first event that tells it.
const FIRSTS: [&str; 4] = ["placed_at", "customer", "country", "region"];
/// The number of the file that an order is in; null of one that is new.
pub(super) const FILE: &str = "file";

/// The orders that all of their changes come to.
pub(crate) async fn orders_of(changes: RecordBatch) -> Result<Vec<RecordBatch>, LakeError> {
    let context = SessionContext::new();
    let rows = format!("SELECT {}, \"time\" AS first_event, \"time\" AS last_event, 1 AS age FROM changes", same());
    register(&context, "changes", changes)?;
    Ok(context.sql(&orders_sql(&rows, "")).await?.collect().await?)
}

/// Orders as they are, numbered by their files, with changes: the first that tells something decides,
/// and an order as it is was first.
pub(super) async fn merged(orders: RecordBatch, changes: RecordBatch) -> Result<Vec<RecordBatch>, LakeError> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let schema = orders.schema();
    register(&context, "orders", orders)?;
    register(&context, "changes", changes)?;
    let rows = format!(
        "SELECT {0}, first_event, last_event, 0 AS age, {FILE} FROM orders \
         UNION ALL SELECT {0}, \"time\" AS first_event, \"time\" AS last_event, 1 AS age, \
         CAST(NULL AS INT) AS {FILE} FROM changes",
        same()
    );
    let batches = context.sql(&orders_sql(&rows, ", max(file) AS file")).await?.collect().await?;
    batches.iter().map(|batch| with_columns(batch, &schema)).collect()
}

/// The orders of changes of which each is the only one of its order.
pub(super) fn orders_of_single(changes: &RecordBatch) -> Result<RecordBatch, LakeError> {
    let missing = |name: &str| LakeError::new(LakeErrorKind::Internal, format!("changes have no column {name}"));
    let column = |name: &str| changes.column_by_name(name).cloned().ok_or_else(|| missing(name));
    let schema = arrow_schema(&SilverOrder::TABLE);
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "first_event" | "last_event" => column("time"),
        "status" => {
            let placed = column("placed_at")?;
            let amounts = ["cancelled", "revenue", "refund", "net"].map(column);
            let [cancelled, revenue, refund, net] = amounts;
            let amounts = [cancelled?, revenue?, refund?, net?];
            let amounts = amounts.each_ref().map(|amounts| amounts.as_primitive::<Decimal128Type>().values());
            let status = |row: usize| status(placed.is_valid(row), amounts.map(|values| values[row]));
            Ok(Arc::new((0..changes.num_rows()).map(|row| Some(status(row))).collect::<StringArray>()) as ArrayRef)
        }
        name => column(name),
    });
    Ok(RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, LakeError>>()?)?)
}

fn register(context: &SessionContext, name: &str, rows: RecordBatch) -> Result<(), LakeError> {
    let table = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
    context.register_table(name, Arc::new(table))?;
    Ok(())
}

/// The columns that orders and changes share.
fn same() -> String {
    let columns = ["partition", "order_id", "currency", "raw_seq"].into_iter().chain(FIRSTS).chain(AMOUNTS);
    columns.map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ")
}

/// Rows of each order and currency as one, and what became of it.
fn orders_sql(rows: &str, more: &str) -> String {
    let sums = AMOUNTS.map(|amount| format!("CAST(sum({amount}) AS DECIMAL(38, 12)) AS {amount}")).join(", ");
    let first = |column: &str| {
        // However changes are cut into commits, the first that tells it decides.
        let earliest = format!("first_value({column} ORDER BY age, raw_seq, {column})");
        format!("{earliest} FILTER (WHERE {column} IS NOT NULL) AS {column}")
    };
    let firsts = FIRSTS.map(first).join(", ");
    format!(
        "SELECT *, {STATUS} AS status FROM (SELECT \"partition\", order_id, currency, min(first_event) AS first_event, \
         max(last_event) AS last_event, {firsts}, {sums}, max(raw_seq) AS raw_seq{more} FROM ({rows}) \
         GROUP BY \"partition\", order_id, currency)"
    )
}

/// What became of an order, by what its amounts come to.
const STATUS: &str = "CASE WHEN placed_at IS NULL THEN 'unknown' \
     WHEN cancelled > 0 AND cancelled >= revenue THEN 'cancelled' \
     WHEN refund > 0 AND net <= 0 THEN 'refunded' \
     WHEN refund > 0 THEN 'partly_refunded' ELSE 'placed' END";

/// The same of one order.
const fn status(is_placed: bool, [cancelled, revenue, refund, net]: [i128; 4]) -> &'static str {
    match is_placed {
        false => "unknown",
        true if cancelled > 0 && cancelled >= revenue => "cancelled",
        true if refund > 0 && net <= 0 => "refunded",
        true if refund > 0 => "partly_refunded",
        true => "placed",
    }
}
