//! A contract as the Open Data Contract Standard writes it
//! (<https://bitol-io.github.io/open-data-contract-standard>). What the standard knows
//! and we do not read is let pass; `datacontract lint` looks at all of it.

use serde::Deserialize;
use yaml_serde::Value;

/// A file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WrittenContract {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) status: String,
    pub(crate) schema: Vec<WrittenTable>,
}

/// A table.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WrittenTable {
    pub(crate) name: String,
    pub(crate) physical_name: Option<String>,
    #[serde(default)]
    pub(crate) properties: Vec<WrittenColumn>,
    #[serde(default)]
    pub(crate) quality: Vec<WrittenRule>,
}

/// A column.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WrittenColumn {
    pub(crate) name: String,
    pub(crate) physical_type: Option<String>,
    #[serde(default)]
    pub(crate) required: bool,
    #[serde(default)]
    pub(crate) quality: Vec<WrittenRule>,
}

/// A rule; of engines that are not ours nothing more is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WrittenRule {
    pub(crate) name: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) engine: Option<String>,
    pub(crate) severity: Option<String>,
    pub(crate) implementation: Option<Value>,
    pub(crate) query: Option<String>,
    pub(crate) must_be: Option<Value>,
    pub(crate) must_not_be: Option<Value>,
    pub(crate) must_be_greater_than: Option<Value>,
    pub(crate) must_be_greater_or_equal_to: Option<Value>,
    pub(crate) must_be_less_than: Option<Value>,
    pub(crate) must_be_less_or_equal_to: Option<Value>,
    pub(crate) must_be_between: Option<Value>,
    pub(crate) must_not_be_between: Option<Value>,
}
