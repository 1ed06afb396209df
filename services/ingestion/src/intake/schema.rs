//! What an event's data must look like: JSON Schemas, by event type.

mod decimal;
mod partition;

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use jsonschema::{ValidationError, Validator};
use serde_json::Value;
use tidemill_events::personal::Members;
use tidemill_service::{FieldError, StartError};

use self::{decimal::Decimal, partition::PartitionMember};
use super::{envelope::is_json, normalise::NormalisedEvent};
use crate::{
    config::{SchemasConfig, UnknownTypes},
    error::{Error, clip},
};

/// Wrong places that are told of one event.
const MAX_ERRORS: usize = 10;
/// Marks a property that is about a person: it is masked where dead letters are
/// shown.
const PERSONAL: &str = "x-personal";
/// Bytes of names that every dead letter carries in a header.
const MAX_PERSONAL: usize = 4096;

/// The event types of a shop, and the calls of Segment's that are no events of a
/// shop.
const SHOP: [(&str, &str); 11] = [
    ("product.viewed", include_str!("../../schemas/product.viewed.json")),
    ("cart.item_added", include_str!("../../schemas/cart.item_added.json")),
    ("order.placed", include_str!("../../schemas/order.placed.json")),
    ("order.cancelled", include_str!("../../schemas/order.cancelled.json")),
    ("order.refunded", include_str!("../../schemas/order.refunded.json")),
    ("invoice.line", include_str!("../../schemas/invoice.line.json")),
    ("segment.page", include_str!("../../schemas/segment.page.json")),
    ("segment.screen", include_str!("../../schemas/segment.screen.json")),
    ("segment.identify", include_str!("../../schemas/segment.identify.json")),
    ("segment.group", include_str!("../../schemas/segment.group.json")),
    ("segment.alias", include_str!("../../schemas/segment.alias.json")),
];

/// The registered schemas.
pub(crate) struct Schemas {
    by_type: HashMap<String, EventSchema>,
    personal: Members,
    unknown: UnknownTypes,
}

/// What a schema says of the events of its type.
struct EventSchema {
    validator: Validator,
    /// By what they are partitioned.
    partition: Option<PartitionMember>,
}

/// An event whose data is as its type's schema has it. It says itself what
/// decides its partition, if its schema does.
#[derive(Debug)]
pub(crate) struct ValidEvent(NormalisedEvent);

impl Schemas {
    /// The shop's schemas, and those of the configured folder over them.
    pub(crate) fn load(config: &SchemasConfig) -> Result<Self, StartError> {
        let (mut by_type, mut personal) = (HashMap::new(), BTreeSet::new());
        for (name, text) in SHOP {
            by_type.insert(name.to_owned(), compile(name, text, &mut personal)?);
        }
        for (name, text) in config.folder.as_deref().map(files).transpose()?.unwrap_or_default() {
            let schema = compile(&name, &text, &mut personal)?;
            by_type.insert(name, schema);
        }
        let personal = Members::new(personal);
        let bytes: usize = personal.more().iter().map(String::len).sum();
        if bytes > MAX_PERSONAL {
            return Err(StartError::new(format!(
                "the names that schemas mark with {PERSONAL} take {bytes} bytes; a dead letter has room for \
                 {MAX_PERSONAL}"
            )));
        }
        Ok(Self { by_type, personal, unknown: config.unknown })
    }

    /// Members that schemas mark as personal.
    pub(crate) fn personal(&self) -> &Members {
        &self.personal
    }

    /// The event, if its data is as its schema has it.
    pub(crate) fn validate(&self, mut event: NormalisedEvent) -> Result<ValidEvent, Error> {
        let Some(EventSchema { validator, partition }) = self.by_type.get(event.kind.as_str()) else {
            return match self.unknown {
                UnknownTypes::Accept => Ok(ValidEvent(event)),
                UnknownTypes::Reject => Err(Error::UnknownType(event.kind.to_string())),
            };
        };
        let Some(data) = event.data.as_ref().filter(|_| is_json(event.content_type())) else {
            let detail = if event.data.is_none() { "is required" } else { "must be JSON" };
            return Err(Error::SchemaViolation(vec![FieldError { pointer: "/data".into(), detail: detail.into() }]));
        };
        if validator.is_valid(data) {
            if let Some(text) = partition.as_ref().and_then(|member| member.text(data)) {
                event.partition_by(&text);
            }
            return Ok(ValidEvent(event));
        }
        // Without the values: they are the sender's, and of any length.
        let field_error = |error: ValidationError<'_>| FieldError {
            pointer: format!("/data{}", clip(error.instance_path().as_str())),
            detail: clip(&error.masked().to_string()),
        };
        Err(Error::SchemaViolation(validator.iter_errors(data).take(MAX_ERRORS).map(field_error).collect()))
    }
}

impl ValidEvent {
    pub(crate) fn into_event(self) -> NormalisedEvent {
        self.0
    }
}

/// The schemas of a folder: event types and texts.
fn files(folder: &Path) -> Result<Vec<(String, String)>, StartError> {
    let failed = |path: &Path, e: std::io::Error| StartError::new(format!("schemas.folder: {}: {e}", path.display()));
    let mut schemas = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| failed(folder, e))? {
        let path = entry.map_err(|e| failed(folder, e))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            schemas.push((name, std::fs::read_to_string(&path).map_err(|e| failed(&path, e))?));
        }
    }
    Ok(schemas)
}

fn compile(name: &str, text: &str, personal: &mut BTreeSet<String>) -> Result<EventSchema, StartError> {
    let failed = |reason: String| StartError::new(format!("schema {name}.json: {reason}"));
    name.parse::<tidemill_domain::EventType>().map_err(|e| failed(format!("the file's name as an event type {e}")))?;
    let schema: Value = serde_json::from_str(text).map_err(|e| failed(e.to_string()))?;
    marked(&schema, personal);
    let partition = PartitionMember::of(&schema).map_err(failed)?;
    let validator = jsonschema::options()
        .offline()
        .with_keyword("decimal", |_, bounds, _| match Decimal::new(bounds) {
            Some(decimal) => Ok(Box::new(decimal)),
            None => Err(ValidationError::schema("decimal takes minimum or exclusiveMinimum, as texts")),
        })
        .build(&schema)
        .map_err(|e| failed(format!("{e} at {}", e.schema_path())))?;
    Ok(EventSchema { validator, partition })
}

/// Names of the properties that a schema marks as personal, wherever in it.
fn marked(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                let is_marked = |property: &Value| property.get(PERSONAL) == Some(&Value::Bool(true));
                names.extend(
                    properties.iter().filter(|(_, property)| is_marked(property)).map(|(name, _)| name.clone()),
                );
            }
            members.values().for_each(|member| marked(member, names));
        }
        Value::Array(items) => items.iter().for_each(|item| marked(item, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
