//! What an event's data must look like: JSON Schemas, by event type.

mod decimal;
mod known;
mod partition;
mod plan;
mod read_as;
mod registry;

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use jsonschema::{ValidationError, Validator};
use serde_json::Value;
use tidemill_events::personal::Members;
use tidemill_service::{FieldError, StartError};

pub(crate) use self::known::{EventData, MemberRemark};
pub use self::registry::SchemaRegistry;
use self::{decimal::Decimal, known::KnownMembers, partition::PartitionMember, plan::SchemaPlan};
use super::{envelope::is_json, normalise::NormalisedEvent, tree::JsonRef};
use crate::{
    config::{SchemasConfig, UnknownTypes},
    error::{Error, clip},
};

/// The largest file of a schema, in bytes.
const MAX_SCHEMA: u64 = 1 << 20;
/// Wrong places that are told of one event.
const MAX_ERRORS: usize = 10;
/// Marks a property that is about a person: it is masked where dead letters are
/// shown.
const PERSONAL: &str = "x-personal";
/// Bytes of names that every dead letter carries in a header.
const MAX_PERSONAL: usize = 4096;

/// The event types of a shop, and the calls of Segment's that are no events of a
/// shop.
const SHOP: [(&str, &str); 13] = [
    ("product.viewed", include_str!("../../schemas/product.viewed.json")),
    ("cart.item_added", include_str!("../../schemas/cart.item_added.json")),
    ("order.placed", include_str!("../../schemas/order.placed.json")),
    ("order.cancelled", include_str!("../../schemas/order.cancelled.json")),
    ("order.refunded", include_str!("../../schemas/order.refunded.json")),
    ("recommendation.shown", include_str!("../../schemas/recommendation.shown.json")),
    ("recommendation.clicked", include_str!("../../schemas/recommendation.clicked.json")),
    ("invoice.line", include_str!("../../schemas/invoice.line.json")),
    ("segment.page", include_str!("../../schemas/segment.page.json")),
    ("segment.screen", include_str!("../../schemas/segment.screen.json")),
    ("segment.identify", include_str!("../../schemas/segment.identify.json")),
    ("segment.group", include_str!("../../schemas/segment.group.json")),
    ("segment.alias", include_str!("../../schemas/segment.alias.json")),
];

/// What the suite sends itself, and its services tell.
const OWN: [(&str, &str); 3] = [
    ("tidemill.check", include_str!("../../schemas/tidemill.check.json")),
    ("lake.quality_measured", include_str!("../../schemas/lake.quality_measured.json")),
    ("recommendation.evaluated", include_str!("../../schemas/recommendation.evaluated.json")),
];

/// The built-in schemas of a shop: names of files, as a folder of its own has
/// them, and texts.
pub fn built_in_schemas() -> impl Iterator<Item = (String, &'static str)> {
    SHOP.into_iter().map(|(name, text)| (format!("{name}.json"), text))
}

/// The registered schemas.
pub(crate) struct Schemas {
    by_type: HashMap<String, TypeSchema>,
    personal: Members,
    unknown: UnknownTypes,
}

/// The schema of one event type.
struct TypeSchema {
    validator: Validator,
    /// The same checks without a value, where they are all simple.
    plan: Option<SchemaPlan>,
    /// By what its events are partitioned.
    partition: Option<PartitionMember>,
    known: KnownMembers,
}

/// What is found of data that is surely as its type's schema has it.
#[derive(Debug, Default)]
pub(crate) struct ValidData<'j> {
    /// The text that decides its event's partition, where the schema says so.
    pub(crate) partition: Option<Cow<'j, str>>,
}

/// An event whose data is as its type's schema has it. It says itself what
/// decides its partition, if its schema does.
#[derive(Debug)]
pub(crate) struct ValidEvent(NormalisedEvent);

impl Schemas {
    /// The shop's schemas, and those of the configured folder over them.
    pub(crate) fn load(config: &SchemasConfig) -> Result<Self, StartError> {
        let (mut by_type, mut personal) = (HashMap::new(), BTreeSet::new());
        for (name, text) in SHOP.into_iter().chain(OWN) {
            by_type.insert(name.to_owned(), compile(&format!("{name}.json"), name, text, &mut personal)?);
        }
        for (file, name, text) in config.folder.as_deref().map(files).transpose()?.unwrap_or_default() {
            let schema = compile(&file, &name, &text, &mut personal)?;
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
        let Some(TypeSchema { validator, partition, .. }) = self.by_type.get(event.kind.as_str()) else {
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

impl Schemas {
    /// What is found of data that a plan finds valid. `None` where
    /// [`validate`](Self::validate) is to decide: it alone says what is wrong.
    pub(crate) fn find_valid<'j>(&self, kind: &str, data: Option<JsonRef<'j>>) -> Option<ValidData<'j>> {
        let Some(TypeSchema { plan, partition, .. }) = self.by_type.get(kind) else {
            return (self.unknown == UnknownTypes::Accept).then(ValidData::default);
        };
        let data = data.filter(|data| plan.as_ref().is_some_and(|plan| plan.accepts(*data)))?;
        Some(ValidData { partition: partition.as_ref().and_then(|member| member.text_in(data)) })
    }

    /// Tells of each member of an event's data that its schema does not know, or of
    /// which nothing can be made, and where it is, until `tell` wants no more.
    pub(crate) fn remark<'d>(
        &self,
        kind: &str,
        data: Option<impl EventData<'d>>,
        tell: &mut impl FnMut(&str, &MemberRemark<'_>) -> bool,
    ) {
        let Some((schema, data)) = self.by_type.get(kind).zip(data) else { return };
        schema.known.remark(data, &mut String::new(), tell);
    }
}

impl ValidEvent {
    pub(crate) fn into_event(self) -> NormalisedEvent {
        self.0
    }
}

/// The schemas of a folder: files, event types and texts.
fn files(folder: &Path) -> Result<Vec<(String, String, String)>, StartError> {
    let failed = |path: &Path, e: std::io::Error| StartError::new(format!("schemas.folder: {}: {e}", path.display()));
    let mut schemas = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| failed(folder, e))? {
        let path = entry.map_err(|e| failed(folder, e))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = text_of(&path).map_err(|e| failed(&path, e))?;
            schemas.push((path.display().to_string(), name, text));
        }
    }
    Ok(schemas)
}

/// The text of a schema: no more of it than there may be, and nothing of what is no file.
fn text_of(path: &Path) -> io::Result<String> {
    // Not even opened: a pipe would have it wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("is not a file"));
    }
    let mut text = String::new();
    File::open(path)?.take(MAX_SCHEMA + 1).read_to_string(&mut text)?;
    match text.len() as u64 > MAX_SCHEMA {
        true => Err(io::Error::other(format!("a schema has at most {} KiB", MAX_SCHEMA >> 10))),
        false => Ok(text),
    }
}

/// Reads a schema; an error names its file, and the line where it is known.
fn compile(file: &str, name: &str, text: &str, personal: &mut BTreeSet<String>) -> Result<TypeSchema, StartError> {
    let failed = |line: usize, reason: String| StartError::new(format!("{file}:{line}: {reason}"));
    name.parse::<tidemill_domain::EventType>()
        .map_err(|e| failed(1, format!("the file's name as an event type {e}")))?;
    let schema: Value = serde_json::from_str(text).map_err(|e| failed(e.line(), e.to_string()))?;
    marked(&schema, personal);
    let known = KnownMembers::of(&schema);
    let partition = PartitionMember::of(&schema).map_err(|reason| failed(1, reason))?;
    let validator = validator(&schema).map_err(|e| {
        let at = e.instance_path().as_str();
        failed(line_of(text, at), format!("{e}, at {at:?}"))
    })?;
    Ok(TypeSchema { validator, plan: SchemaPlan::of(&schema), partition, known })
}

/// The validator of a schema, which makes the errors.
fn validator(schema: &Value) -> Result<Validator, ValidationError<'static>> {
    jsonschema::options()
        .offline()
        .with_keyword("decimal", |_, bounds, _| match Decimal::new(bounds) {
            Some(decimal) => Ok(Box::new(decimal)),
            None => Err(ValidationError::schema("decimal takes minimum or exclusiveMinimum, as texts")),
        })
        .build(schema)
}

/// The line of the member at a pointer, found name by name; the last that is found.
fn line_of(text: &str, pointer: &str) -> usize {
    let mut lines = text.lines().zip(1..);
    let mut found = 1;
    for name in pointer.split('/').skip(1) {
        let name = format!("\"{}\"", name.replace("~1", "/").replace("~0", "~"));
        found = lines.find(|(line, _)| line.contains(&name)).map_or(found, |(_, number)| number);
    }
    found
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
