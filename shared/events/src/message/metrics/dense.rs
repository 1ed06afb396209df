//! Cells in a message: what many have in common stands in tables.
//!
//! Version 1 of the message had an array of cells, each an object with all
//! names. It is still read.

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use tidemill_totals::TotalsShape;

use crate::trace::TraceParent;

pub(super) use read::deserialize;
pub(super) use write::serialize;

/// A version of a metric, whose cells are in the message.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CellMetric")]
struct MetricEntry<'m> {
    /// The metric's name.
    #[serde(borrow)]
    metric: Cow<'m, str>,
    /// The definition's version: its hash.
    #[schemars(regex(pattern = "^[0-9a-f]{12}$"))]
    version: Cow<'m, str>,
    /// The names of its dimensions, ascending.
    #[schemars(with = "Vec<String>")]
    dimensions: Cow<'m, [String]>,
    /// The kinds of its states, in the order of the measures' names.
    states: TotalsShape,
}

/// What few cells have to say.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CellRemarks")]
struct CellRemarks {
    /// A sampled event that is counted in it, for the trace behind the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TraceParent")]
    exemplar: Option<TraceParent>,
    /// The window is no more: a session that became part of another. From here
    /// on it counts as nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    retracted: bool,
}

/// The cells as they stand in the message.
pub(super) fn schema(generator: &mut SchemaGenerator) -> Schema {
    let metric = generator.subschema_for::<MetricEntry<'_>>();
    let remarks = generator.subschema_for::<CellRemarks>();
    let place = |of: &str| json_schema!({ "type": "integer", "minimum": 0, "description": of });
    let cell = json_schema!({
        "type": "array",
        "minItems": 5,
        "maxItems": 6,
        "prefixItems": [
            place("Place of its metric in `metrics`."),
            { "type": "integer", "description": "First instant of the window, in milliseconds since 1970." },
            { "type": "integer", "description": "Milliseconds from there to the first instant after it; a session's grow." },
            {
                "type": "array",
                "items": place("Place in `texts`."),
                "description": "Values of the dimensions, in their order.",
            },
            {
                "type": "array",
                "items": {
                    "description": "A state, as its kind says. An object, with the state as its member `state`, where \
                        there is more to say: values that could not be read or were rounded (`unread`, `rounded`); of \
                        money the base currency, the rows that are in it, and their state where it is another \
                        (`base`, `rows`, `in_base`), and the rows that nobody could convert (`unconverted`). A state \
                        of another kind is a `Measure`.",
                },
                "description": "Totals by measure, in the order of `states`.",
            },
            remarks,
        ],
    });
    json_schema!({
        "type": "object",
        "required": ["metrics", "texts", "cells"],
        "properties": {
            "metrics": { "type": "array", "items": metric },
            "texts": { "type": "array", "items": { "type": "string" }, "description": "Values of dimensions, each once." },
            "cells": { "type": "array", "items": cell, "description": "Stands behind the other members." },
        },
    })
}
