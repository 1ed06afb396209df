//! From a schema to its plan.

use serde_json::{Map, Value};

use super::{
    check::{Check, JsonType, MemberPlans, Range, SchemaPlan},
    literal::{Bound, Literal},
};
use crate::intake::schema::decimal::Decimal;

/// Schemas within each other, references included: one that refers to itself has no
/// plan.
const MAX_DEPTH: usize = 24;
/// Schemas in one plan: a reference is planned wherever it stands.
const MAX_SCHEMAS: usize = 2000;
/// Versions of JSON Schema whose keywords mean what is said here. The first is that of a
/// schema that names none.
const DRAFTS: [&str; 2] =
    ["https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2020-12/schema#"];
/// Keywords that ask nothing of a value.
const REMARKS: [&str; 10] = [
    "title",
    "description",
    "$comment",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$defs",
    "definitions",
];
/// In this version of JSON Schema it is a remark too.
const FORMAT: &str = "format";
/// What begins so is ours, or somebody's, and asks nothing.
const OWN: &str = "x-";

impl SchemaPlan {
    /// The plan of a schema, where each of its keywords has one.
    pub(in crate::intake) fn of(schema: &Value) -> Option<Self> {
        let draft = schema.get("$schema");
        if draft.is_some_and(|draft| !DRAFTS.iter().any(|known| draft == known)) {
            return None;
        }
        Planner { root: schema, left: MAX_SCHEMAS }.plan(schema, MAX_DEPTH)
    }
}

struct Planner<'s> {
    root: &'s Value,
    /// Schemas that may still be planned.
    left: usize,
}

impl Planner<'_> {
    fn plan(&mut self, schema: &Value, depth: usize) -> Option<SchemaPlan> {
        self.left = self.left.checked_sub(1)?;
        let depth = depth.checked_sub(1)?;
        let keywords = match schema {
            Value::Bool(true) => return Some(SchemaPlan::default()),
            Value::Bool(false) => return Some(SchemaPlan(vec![Check::Never])),
            Value::Object(keywords) => keywords,
            _ => return None,
        };
        let mut checks = Vec::new();
        for (keyword, said) in keywords {
            match keyword.as_str() {
                // They name the schema as a whole, and change what a reference means within.
                "$schema" | "$id" if std::ptr::eq(schema, self.root) => {}
                FORMAT => {}
                name if REMARKS.contains(&name) || name.starts_with(OWN) => {}
                name => checks.extend(self.check(name, said, keywords, depth)?),
            }
        }
        Some(SchemaPlan(checks))
    }

    /// The check of one keyword; of some that go together, that of the first of them.
    /// The outer `None` is a keyword that is not known here.
    fn check(
        &mut self,
        keyword: &str,
        said: &Value,
        beside: &Map<String, Value>,
        depth: usize,
    ) -> Option<Option<Check>> {
        let is_first = |of: &[&str]| of.iter().find(|name| beside.contains_key(**name)) == Some(&keyword);
        let check = match keyword {
            "type" => Check::Types(types(said)?),
            "required" => Check::Required(texts(said)?),
            "enum" => Check::OneOf(said.as_array()?.iter().map(Literal::of).collect::<Option<_>>()?),
            "const" => Check::OneOf(vec![Literal::of(said)?]),
            "pattern" => Check::Pattern(Box::new(pattern(said)?)),
            "decimal" => Check::Decimal(Decimal::new(said)?),
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
                Check::Bound(Bound::of(keyword, said.as_number()?)?)
            }
            "properties" | "additionalProperties" if is_first(&["properties", "additionalProperties"]) => {
                Check::Members(self.members(beside, depth)?)
            }
            "minItems" | "maxItems" if is_first(&["minItems", "maxItems"]) => {
                Check::ItemCount(range(beside, "minItems", "maxItems")?)
            }
            "minLength" | "maxLength" if is_first(&["minLength", "maxLength"]) => {
                Check::Length(range(beside, "minLength", "maxLength")?)
            }
            "if" => Check::If {
                condition: self.plan(said, depth)?,
                then: self.part(beside, "then", depth)?,
                otherwise: self.part(beside, "else", depth)?,
            },
            "items" => Check::Items(self.plan(said, depth)?),
            "allOf" => Check::All(self.plans(said, depth)?),
            "anyOf" => Check::Any(self.plans(said, depth)?),
            "oneOf" => Check::ExactlyOne(self.plans(said, depth)?),
            "not" => Check::Not(self.plan(said, depth)?),
            "$ref" => Check::All(vec![self.target(said, depth)?]),
            // Without `if` the last two ask nothing.
            "additionalProperties" | "properties" | "maxItems" | "maxLength" | "then" | "else" => return Some(None),
            _ => return None,
        };
        Some(Some(check))
    }

    fn members(&mut self, beside: &Map<String, Value>, depth: usize) -> Option<MemberPlans> {
        let mut known = Vec::new();
        if let Some(properties) = beside.get("properties") {
            for (name, schema) in properties.as_object()? {
                known.push((name.clone(), self.plan(schema, depth)?));
            }
        }
        Some(MemberPlans::new(known, self.part(beside, "additionalProperties", depth)?))
    }

    fn part(&mut self, beside: &Map<String, Value>, name: &str, depth: usize) -> Option<SchemaPlan> {
        beside.get(name).map_or_else(|| Some(SchemaPlan::default()), |schema| self.plan(schema, depth))
    }

    fn plans(&mut self, said: &Value, depth: usize) -> Option<Vec<SchemaPlan>> {
        said.as_array()?.iter().map(|schema| self.plan(schema, depth)).collect()
    }

    /// What a reference into the schema itself refers to.
    fn target(&mut self, said: &Value, depth: usize) -> Option<SchemaPlan> {
        let pointer = said.as_str()?.strip_prefix('#')?;
        // It could be percent-encoded, or the name of an anchor.
        let is_plain = pointer.is_empty() || (pointer.starts_with('/') && !pointer.contains('%'));
        let target = self.root.pointer(pointer).filter(|_| is_plain)?;
        self.plan(target, depth)
    }
}

fn types(said: &Value) -> Option<Vec<JsonType>> {
    let of = |name: &Value| {
        Some(match name.as_str()? {
            "null" => JsonType::Null,
            "boolean" => JsonType::Boolean,
            "integer" => JsonType::Integer,
            "number" => JsonType::Number,
            "string" => JsonType::String,
            "array" => JsonType::Array,
            "object" => JsonType::Object,
            _ => return None,
        })
    };
    match said {
        Value::Array(names) => names.iter().map(of).collect(),
        name => of(name).map(|one| vec![one]),
    }
}

fn texts(said: &Value) -> Option<Vec<String>> {
    said.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

fn range(beside: &Map<String, Value>, least: &str, most: &str) -> Option<Range> {
    let limit = |name: &str, unsaid: usize| match beside.get(name) {
        Some(said) => said.as_u64().and_then(|limit| usize::try_from(limit).ok()),
        None => Some(unsaid),
    };
    Some(Range { least: limit(least, Range::ANY.least)?, most: limit(most, Range::ANY.most)? })
}

fn pattern(said: &Value) -> Option<jsonschema::Validator> {
    said.as_str()?;
    jsonschema::options().offline().build(&serde_json::json!({ "pattern": said })).ok()
}
