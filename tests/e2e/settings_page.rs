//! A service's settings as a page for people, from their JSON Schema.

use serde_json::{Map, Value};

/// Beyond it a default is told in words by its description.
const LONGEST_DEFAULT: usize = 60;

/// The page in Markdown: one table a section.
pub(crate) fn of(service: &str, schema: &Value) -> String {
    let mut page = format!(
        "# Settings of {service}\n\n\
         Generated from the code by `make reference`. How settings are given is told in\n\
         [configuration](../configuration.md).\n"
    );
    let (mut sections, mut keys) = (Vec::new(), Vec::new());
    let required = required(schema);
    for (name, property) in properties(schema) {
        let target = resolve(schema, property);
        let kinds = kinds(target);
        if target["properties"].is_object() {
            sections.push(section(schema, name, &paragraph(property), target));
        } else if !kinds.is_empty() {
            let intro = paragraph(property);
            sections.push(format!("\n## `{name}`\n\n{intro} Its `kind` says which keys it has.\n"));
            sections.extend(kinds.iter().map(|kind| section_of_kind(schema, name, kind)));
        } else {
            keys.push(row(schema, "", name, property, required.contains(&name.as_str())));
        }
    }
    if !keys.is_empty() {
        page.push_str(&table("## Without a section\n\n", &keys));
    }
    sections.iter().for_each(|section| page.push_str(section));
    page
}

/// Whether a service has this setting.
pub(crate) fn has(schema: &Value, section: &str, key: &str) -> bool {
    properties(schema)
        .filter(|(name, _)| *name == section)
        .any(|(_, property)| properties(resolve(schema, property)).any(|(name, _)| name == key))
}

fn section(schema: &Value, name: &str, intro: &str, target: &Value) -> String {
    table(&format!("## `{name}`\n\n{intro}\n\n"), &rows(schema, name, target))
}

fn section_of_kind(schema: &Value, name: &str, target: &Value) -> String {
    let kind = target["properties"]["kind"]["const"].as_str().unwrap_or_default();
    let intro = paragraph(target);
    table(&format!("### `kind = \"{kind}\"`\n\n{intro}\n\n"), &rows(schema, name, target))
}

fn rows(schema: &Value, section: &str, target: &Value) -> Vec<String> {
    let required = required(target);
    properties(target).map(|(key, of)| row(schema, section, key, of, required.contains(&key.as_str()))).collect()
}

/// The forms of a section that has several.
fn kinds(target: &Value) -> Vec<&Value> {
    let forms = target["oneOf"].as_array().into_iter().flatten();
    forms.filter(|form| form["properties"]["kind"]["const"].is_string()).collect()
}

fn table(head: &str, rows: &[String]) -> String {
    format!("\n{head}| key | variable | default | meaning |\n| --- | --- | --- | --- |\n{}", rows.concat())
}

fn row(schema: &Value, section: &str, key: &str, property: &Value, required: bool) -> String {
    let variable = match section {
        "" => format!("TIDEMILL_{}", key.to_uppercase()),
        section => format!("TIDEMILL_{}__{}", section.to_uppercase(), key.to_uppercase()),
    };
    let target = resolve(schema, property);
    let mut meaning = paragraph(property);
    if meaning.is_empty() {
        meaning = paragraph(target);
    }
    if let Some(only) = property["const"].as_str() {
        meaning = format!("`{only}`.");
    }
    for choice in target["oneOf"].as_array().into_iter().flatten() {
        let name = choice["const"].as_str().unwrap_or_default();
        meaning.push_str(&format!(" `{name}`: {}", paragraph(choice)));
    }
    if is_secret(schema, property) {
        meaning.push_str(" **Secret.**");
    }
    format!("| `{key}` | `{variable}` | {} | {} |\n", default(property, required), meaning.replace('|', "\\|"))
}

fn is_secret(schema: &Value, property: &Value) -> bool {
    let forms = property["anyOf"].as_array().into_iter().flatten();
    property["writeOnly"] == true
        || resolve(schema, property)["writeOnly"] == true
        || forms.into_iter().any(|form| resolve(schema, form)["writeOnly"] == true)
}

fn default(property: &Value, required: bool) -> String {
    match property.get("default") {
        _ if required => "has to be given".into(),
        None | Some(Value::Null) => "none".into(),
        Some(Value::String(text)) if text.is_empty() => "empty".into(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(other) => {
            let text = other.to_string();
            if text.chars().count() > LONGEST_DEFAULT { "see there".into() } else { format!("`{text}`") }
        }
    }
}

/// A description on one line.
fn paragraph(value: &Value) -> String {
    value["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flat_map(Map::iter)
}

fn required(schema: &Value) -> Vec<&str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What a `$ref` of this document points to; anything else is itself.
fn resolve<'s>(schema: &'s Value, property: &'s Value) -> &'s Value {
    property["$ref"].as_str().and_then(|pointer| schema.pointer(pointer.strip_prefix('#')?)).unwrap_or(property)
}
