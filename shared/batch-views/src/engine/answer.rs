//! Answers, and how they are written.

use std::{borrow::Cow, str::FromStr, sync::Arc};

use deltalake::{
    arrow::{
        array::{Array, ArrayRef, AsArray, RecordBatch, StringArray},
        csv,
        datatypes::{DataType, Decimal128Type, Field, Schema, SchemaRef},
        error::ArrowError,
        ipc::writer::StreamWriter,
        json,
    },
    datafusion::execution::SendableRecordBatchStream,
    parquet::{arrow::ArrowWriter, basic::Compression, errors::ParquetError, file::properties::WriterProperties},
};
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidemill_domain::Amount;

use super::limits::SqlLimits;
use crate::{SqlError, amounts::SCALE};

/// An answer, in memory.
#[derive(Debug, Clone)]
pub struct Answer {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultFormat {
    /// One JSON object, with columns and rows.
    #[default]
    Json,
    /// A JSON object a row, a row a line.
    Ndjson,
    /// Comma separated, with a header.
    Csv,
    /// A stream of Arrow IPC.
    Arrow,
    /// A Parquet file.
    Parquet,
}

impl FromStr for ResultFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "json" => Self::Json,
            "ndjson" => Self::Ndjson,
            "csv" => Self::Csv,
            "arrow" => Self::Arrow,
            "parquet" => Self::Parquet,
            other => return Err(format!("`{other}` is none of json, ndjson, csv, arrow and parquet")),
        })
    }
}

impl ResultFormat {
    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

#[derive(Serialize)]
struct Column<'s> {
    name: &'s str,
    #[serde(rename = "type")]
    kind: Cow<'static, str>,
}

impl Answer {
    /// Reads a stream to its end, within the limits.
    pub(super) async fn collect(mut stream: SendableRecordBatchStream, limits: &SqlLimits) -> Result<Self, SqlError> {
        let schema = stream.schema();
        let (mut batches, mut rows, mut bytes) = (Vec::new(), 0, 0);
        while let Some(batch) = stream.try_next().await? {
            rows += batch.num_rows();
            bytes += batch.get_array_memory_size();
            if rows > limits.rows {
                return Err(SqlError::TooManyRows(limits.rows));
            }
            if bytes > limits.answer_bytes {
                return Err(SqlError::TooManyBytes(limits.answer_bytes));
            }
            batches.push(batch);
        }
        Ok(Self { schema, batches })
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Writes it.
    ///
    /// # Errors
    /// A type has no form there.
    pub fn write(&self, format: ResultFormat) -> Result<Vec<u8>, SqlError> {
        match format {
            ResultFormat::Json => self.json(),
            ResultFormat::Ndjson => {
                let mut writer = json::WriterBuilder::new()
                    .with_explicit_nulls(true)
                    .build::<_, json::writer::LineDelimited>(Vec::new());
                self.exact()?.iter().try_for_each(|batch| writer.write(batch))?;
                writer.finish()?;
                Ok(writer.into_inner())
            }
            ResultFormat::Csv => self.csv(),
            ResultFormat::Arrow => {
                let mut writer = StreamWriter::try_new(Vec::new(), &self.schema)?;
                self.batches.iter().try_for_each(|batch| writer.write(batch))?;
                writer.finish()?;
                Ok(writer.into_inner()?)
            }
            ResultFormat::Parquet => self.parquet().map_err(|error| SqlError::Failed(error.to_string())),
        }
    }

    /// Its rows as objects of JSON, with amounts as texts.
    pub(crate) fn objects(&self) -> Result<Vec<Map<String, Value>>, SqlError> {
        let lines = self.write(ResultFormat::Ndjson)?;
        let rows = serde_json::Deserializer::from_slice(&lines).into_iter();
        rows.collect::<Result<_, _>>().map_err(|error| SqlError::Failed(error.to_string()))
    }

    fn json(&self) -> Result<Vec<u8>, SqlError> {
        let columns = self.schema.fields().iter();
        let columns: Vec<_> =
            columns.map(|field| Column { name: field.name(), kind: kind(field.data_type()) }).collect();
        let columns = serde_json::to_string(&columns).map_err(|error| SqlError::Failed(error.to_string()))?;
        let mut out = format!("{{\"columns\":{columns},\"rows\":").into_bytes();
        let mut writer =
            json::WriterBuilder::new().with_explicit_nulls(true).build::<_, json::writer::JsonArray>(Vec::new());
        self.exact()?.iter().try_for_each(|batch| writer.write(batch))?;
        writer.finish()?;
        out.extend(writer.into_inner());
        out.push(b'}');
        Ok(out)
    }

    fn csv(&self) -> Result<Vec<u8>, SqlError> {
        let mut out = Vec::new();
        let names: Vec<_> = self.schema.fields().iter().map(|field| quoted(field.name())).collect();
        out.extend_from_slice(names.join(",").as_bytes());
        out.push(b'\n');
        let mut writer = csv::WriterBuilder::new().with_header(false).build(out);
        self.exact()?.iter().try_for_each(|batch| writer.write(batch))?;
        Ok(writer.into_inner())
    }

    fn parquet(&self) -> Result<Vec<u8>, ParquetError> {
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(Default::default())).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&self.schema), Some(properties))?;
        self.batches.iter().try_for_each(|batch| writer.write(batch))?;
        writer.into_inner()
    }

    /// With amounts as texts: a reader of JSON takes numbers for binary floats.
    fn exact(&self) -> Result<Vec<RecordBatch>, SqlError> {
        let is_decimal = |kind: &DataType| matches!(kind, DataType::Decimal128(..));
        let field = |field: &Arc<Field>| match is_decimal(field.data_type()) {
            true => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8)),
            false => Arc::clone(field),
        };
        let schema = Arc::new(Schema::new(self.schema.fields().iter().map(field).collect::<Vec<_>>()));
        let column = |column: &ArrayRef| match column.data_type() {
            DataType::Decimal128(_, scale) => amounts(column, *scale),
            _ => Arc::clone(column),
        };
        let batch = |batch: &RecordBatch| {
            RecordBatch::try_new(Arc::clone(&schema), batch.columns().iter().map(column).collect())
        };
        Ok(self.batches.iter().map(batch).collect::<Result<_, ArrowError>>()?)
    }
}

/// Amounts as the rest of the suite writes them.
fn amounts(column: &ArrayRef, scale: i8) -> ArrayRef {
    let column = column.as_primitive::<Decimal128Type>();
    if scale == SCALE {
        let texts = column.iter().map(|units| units.map(|units| Amount::from_units(units).to_string()));
        return Arc::new(texts.collect::<StringArray>());
    }
    let texts = (0..column.len()).map(|row| column.is_valid(row).then(|| column.value_as_string(row)));
    Arc::new(texts.collect::<StringArray>())
}

fn quoted(name: &str) -> Cow<'_, str> {
    if name.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", name.replace('"', "\"\"")).into()
    } else {
        name.into()
    }
}

/// What people call a type.
fn kind(kind: &DataType) -> Cow<'static, str> {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Int32 => "int".into(),
        DataType::Int64 => "long".into(),
        DataType::Float64 => "double".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(..) => "timestamp".into(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})").into(),
        other => other.to_string().into(),
    }
}
