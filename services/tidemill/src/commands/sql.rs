//! `tidemill sql`

use std::{
    fs,
    io::{self, IsTerminal, Read, Write},
    path::Path,
    process::ExitCode,
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::ended::Ended;
use crate::{
    arguments::{SqlArguments, SqlFormat},
    client::LakeClient,
    table::{self, plain},
};

/// Characters of a value that a table shows.
const SHOWN: usize = 60;

/// Why an answer is not written.
#[derive(Debug, thiserror::Error)]
enum SqlOutputError {
    #[error("a terminal cannot show {0}: write it into a file, by -o FILE")]
    Binary(&'static str),
    #[error("a table is for a terminal: take another --format for a file")]
    TableInFile,
    #[error("{path}: {source}")]
    File { path: String, source: io::Error },
}

#[derive(Deserialize)]
struct TableAnswer {
    columns: Vec<TableColumn>,
    rows: Vec<serde_json::Map<String, Value>>,
}

#[derive(Deserialize)]
struct TableColumn {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

pub(crate) async fn sql(arguments: SqlArguments) -> Ended {
    let is_terminal = io::stdout().is_terminal();
    let format = format(arguments.format, arguments.output.as_deref(), is_terminal)?;
    let mut question = arguments.question;
    if question == "-" {
        question.clear();
        io::stdin().read_to_string(&mut question)?;
    }
    let client = LakeClient::new(arguments.target.lake_url, arguments.target.key);
    let asked = json!({ "sql": question, "at": arguments.at, "format": name(format) });
    let answer = client.post("/v1/sql", &asked).await?;
    match (format, arguments.output) {
        (SqlFormat::Table, _) => show(&serde_json::from_slice(&answer)?),
        (_, Some(file)) => {
            let failed = |source| SqlOutputError::File { path: file.display().to_string(), source };
            fs::write(&file, &answer).map_err(failed)?;
        }
        (SqlFormat::Arrow | SqlFormat::Parquet, None) => io::stdout().write_all(&answer)?,
        (SqlFormat::Json | SqlFormat::Ndjson | SqlFormat::Csv, None) => {
            say!("{}", String::from_utf8_lossy(&answer).trim_end_matches('\n'));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the answer is written as, where it can be.
fn format(asked: Option<SqlFormat>, output: Option<&Path>, is_terminal: bool) -> Result<SqlFormat, SqlOutputError> {
    let by_name = |file: &Path| match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => SqlFormat::Json,
        Some("ndjson" | "jsonl") => SqlFormat::Ndjson,
        Some("arrow" | "arrows") => SqlFormat::Arrow,
        Some("parquet") => SqlFormat::Parquet,
        _ => SqlFormat::Csv,
    };
    let format = match (asked, output) {
        (Some(format), _) => format,
        (None, Some(file)) => by_name(file),
        (None, None) if is_terminal => SqlFormat::Table,
        (None, None) => SqlFormat::Csv,
    };
    match (format, output) {
        (SqlFormat::Table, Some(_)) => Err(SqlOutputError::TableInFile),
        (SqlFormat::Arrow | SqlFormat::Parquet, None) if is_terminal => Err(SqlOutputError::Binary(name(format))),
        _ => Ok(format),
    }
}

/// What the lake is asked for.
const fn name(format: SqlFormat) -> &'static str {
    match format {
        SqlFormat::Table | SqlFormat::Json => "json",
        SqlFormat::Ndjson => "ndjson",
        SqlFormat::Csv => "csv",
        SqlFormat::Arrow => "arrow",
        SqlFormat::Parquet => "parquet",
    }
}

fn show(answer: &TableAnswer) {
    let header: Vec<&str> = answer.columns.iter().map(|column| column.name.as_str()).collect();
    let is_number = |kind: &str| matches!(kind, "int" | "long" | "double") || kind.starts_with("decimal");
    let numbers: Vec<bool> = answer.columns.iter().map(|column| is_number(&column.kind)).collect();
    let cell = |value: Option<&Value>| match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => plain(text, SHOWN),
        Some(other) => plain(&other.to_string(), SHOWN),
    };
    let row = |row: &serde_json::Map<String, Value>| header.iter().map(|name| cell(row.get(*name))).collect();
    let rows: Vec<Vec<String>> = answer.rows.iter().map(row).collect();
    table::print_columns(&header, &numbers, &rows);
    tell!("{} {}", rows.len(), if rows.len() == 1 { "row" } else { "rows" });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_written_as_it_is_wanted_or_as_its_file_is_called() {
        let of = |asked, output: Option<&str>, is_terminal| format(asked, output.map(Path::new), is_terminal).ok();
        assert_eq!(of(None, None, true), Some(SqlFormat::Table));
        assert_eq!(of(None, None, false), Some(SqlFormat::Csv));
        assert_eq!(of(None, Some("a.parquet"), true), Some(SqlFormat::Parquet));
        assert_eq!(of(Some(SqlFormat::Json), Some("a.txt"), true), Some(SqlFormat::Json));
        assert_eq!(of(Some(SqlFormat::Parquet), None, true), None);
        assert_eq!(of(Some(SqlFormat::Parquet), None, false), Some(SqlFormat::Parquet));
        assert_eq!(of(Some(SqlFormat::Table), Some("a.txt"), false), None);
    }
}
