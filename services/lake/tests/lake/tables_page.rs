//! The page of the lake's tables, from their declarations.

use std::fmt::Write as _;

use tidemill_lake_tables::{ColumnDefinition, TableDefinition, tables::ALL};

/// `docs/reference/lake-tables.md`.
pub(crate) fn page() -> String {
    let mut page = String::from(
        "# Tables of the lake\n\n<!-- Written by `make reference`. -->\n\nTypes are Delta's. [What a row says of its place]\
         (../lake.md#what-a-row-says-of-its-place) tells which columns tables are joined by; those of\n[gold](../sql.md#gold) \
         follow from the metrics.\n",
    );
    for table in &ALL {
        add(&mut page, table);
    }
    page
}

fn add(page: &mut String, table: &TableDefinition) {
    let list = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let _ = write!(page, "\n## `{table}`\n\n{}\n", table.about);
    if !table.partitioned_by.is_empty() {
        let _ = write!(page, "\nFolders: {}.\n", list(table.partitioned_by));
    }
    page.push_str("\n| column | type | null | what |\n| --- | --- | --- | --- |\n");
    for ColumnDefinition { name, kind, nullable, about } in table.columns {
        let null = if *nullable { "yes" } else { "" };
        let _ = writeln!(page, "| `{name}` | {kind} | {null} | {} |", about.replace('|', "\\|"));
    }
}
