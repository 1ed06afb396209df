//! What is counted of which table, in SQL.

use deltalake::arrow::datatypes::Schema;

use super::terms::QualityTerms;
use crate::SqlDialect;

/// What the sources of the suite's own events begin with.
const OWN: &str = "tidemill/";

/// What is counted of a table.
pub(super) struct CountedTable {
    path: &'static str,
    /// Conditions of the rows that are counted, by name.
    conditions: &'static [(&'static str, &'static str)],
    /// The column that says when ingestion took an event in.
    pub(super) received: Option<&'static str>,
    /// Rows that are the same in these are one row and its duplicates.
    pub(super) identity: Option<&'static str>,
    /// Whether a row says where it is from, so that the suite's own are not looked at.
    has_source: bool,
}

const TABLES: [CountedTable; 8] = [
    CountedTable {
        path: "bronze/events",
        conditions: &[("missing_ids", "id = ''")],
        received: Some("ingested_at"),
        identity: Some("source, id"),
        has_source: true,
    },
    CountedTable {
        path: "silver/events",
        conditions: &[
            ("missing_ids", "id = ''"),
            ("missing_customers", "customer IS NULL"),
            ("late", "late"),
            ("scored", "quality_score IS NOT NULL"),
        ],
        received: Some("received"),
        identity: Some("source, id, late"),
        has_source: true,
    },
    CountedTable {
        path: "silver/order_lines",
        conditions: &[
            ("missing_ids", "order_id IS NULL"),
            ("missing_products", "product IS NULL"),
            ("negative_amounts", "gross < 0 OR discount < 0 OR refund < 0 OR cancelled < 0"),
            ("unread_amounts", "net IS NULL"),
        ],
        received: None,
        identity: Some("\"partition\", raw_seq, \"index\", line"),
        has_source: true,
    },
    CountedTable {
        path: "silver/orders",
        conditions: &[
            ("missing_ids", "order_id = ''"),
            ("missing_customers", "customer IS NULL"),
            ("negative_amounts", "gross < 0 OR net < 0"),
        ],
        received: None,
        identity: Some("\"partition\", order_id, currency"),
        has_source: false,
    },
    CountedTable {
        path: "silver/customers",
        conditions: &[("missing_ids", "customer = ''"), ("scored", "quality_score IS NOT NULL")],
        received: None,
        identity: Some("customer, valid_from"),
        has_source: false,
    },
    CountedTable {
        path: "silver/quarantine",
        conditions: &[("held", "redrive IS NULL")],
        received: None,
        identity: None,
        has_source: false,
    },
    CountedTable {
        path: "gold/daily_metrics",
        conditions: &[("negative_amounts", "revenue < 0")],
        received: None,
        identity: None,
        has_source: false,
    },
    CountedTable {
        path: "gold/customer_lifetime_value",
        conditions: &[("missing_ids", "customer IS NULL"), ("negative_amounts", "\"value\" < 0")],
        received: None,
        identity: Some("customer, currency"),
        has_source: false,
    },
];

/// A table of which rows are counted alone.
const OTHER: CountedTable =
    CountedTable { path: "", conditions: &[], received: None, identity: None, has_source: false };

/// A query whose first column is the file, and the names of the others.
pub(super) struct CountQuery {
    pub(super) sql: String,
    pub(super) sums: Vec<&'static str>,
}

impl CountedTable {
    /// That of a path; of one that nothing more is known of, rows are counted.
    pub(super) fn of(path: &str) -> &'static Self {
        TABLES.iter().find(|table| table.path == path).unwrap_or(&OTHER)
    }

    /// Which of its rows are looked at.
    fn sent(&self) -> String {
        match self.has_source {
            true => format!("NOT starts_with(source, '{OWN}')"),
            false => "true".into(),
        }
    }

    /// The query that counts, of the columns that there are.
    pub(super) fn query(&self, file: &str, terms: QualityTerms, schema: &Schema) -> CountQuery {
        let sent = self.sent();
        let has = |name: &str| schema.column_with_name(name).is_some();
        let mut selected = vec!["count(*)".to_owned(), format!("count(*) FILTER (WHERE {sent})")];
        let mut sums = vec!["rows", "checked"];
        for (name, condition) in self.conditions {
            selected.push(format!("count(*) FILTER (WHERE {sent} AND ({condition}))"));
            sums.push(name);
        }
        if self.conditions.iter().any(|(name, _)| *name == "scored") && has("quality_score") {
            selected.push(format!("coalesce(sum(quality_score) FILTER (WHERE {sent}), 0)"));
            selected.push(format!("count(*) FILTER (WHERE {sent} AND quality_score >= {})", terms.high_score));
            sums.extend(["scores", "high_scores"]);
        }
        if let Some(received) = self.received {
            selected.push(format!("CAST(max({received}) AS BIGINT)"));
            selected.push(format!("CAST(max({received}) FILTER (WHERE {sent}) AS BIGINT)"));
        }
        let sql = format!("SELECT {file}, {} FROM counted GROUP BY {file}", selected.join(", "));
        CountQuery { sql, sums }
    }

    /// The query that tells which rules are broken, how often: file, rule, contract,
    /// severity and count.
    pub(super) fn rules(&self, file: &str, schema: &Schema) -> Option<String> {
        let has = |name: &str| schema.column_with_name(name).is_some();
        let text = |text: &str| SqlDialect::DataFusion.text(text);
        match self.path {
            "silver/events" if has("warnings") => Some(format!(
                "SELECT {file}, rule, CAST(NULL AS VARCHAR), {}, count(*) FROM \
                 (SELECT {file}, unnest(string_to_array(warnings, ',')) AS rule FROM counted \
                 WHERE warnings IS NOT NULL AND warnings <> '') GROUP BY {file}, rule",
                text("warn"),
            )),
            "silver/quarantine" => Some(format!(
                "SELECT {file}, rule, contract, {}, count(*) FROM counted WHERE redrive IS NULL \
                 GROUP BY {file}, rule, contract",
                text("quarantine"),
            )),
            _ => None,
        }
    }

    /// The query that counts rows that another one is the same as.
    pub(super) fn duplicates(&self) -> Option<String> {
        let (identity, sent) = (self.identity?, self.sent());
        Some(format!(
            "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM counted WHERE {sent} GROUP BY {identity})"
        ))
    }

    /// Tells what is counted from what an earlier release counted.
    pub(super) fn fingerprint(&self, terms: QualityTerms, schema: &Schema) -> String {
        let query = self.query("file", terms, schema).sql;
        let all = [Some(query), self.rules("file", schema), self.duplicates()];
        let text = all.into_iter().flatten().collect::<Vec<_>>().join(";");
        format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
    }
}
