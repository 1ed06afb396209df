//! The file with comments, made from the settings themselves.

use schemars::schema_for;
use serde_json::{Map, Value};

use super::ShopFile;

/// Characters of a line of comment.
const WIDTH: usize = 100;
const HEAD: &str = "\
# The settings of `tidemill up`, which finds this file in the working folder, or by --config.
# Options of the command line go before the file; what the file leaves out has its default.
# Paths are relative to the folder of this file. Lines that begin with #NAME = are examples.
";

/// A file that says what `settings` say, with a comment on each.
pub fn sample(settings: &ShopFile) -> String {
    let schema = schema_for!(ShopFile).to_value();
    // Settings are plain data, which JSON can hold.
    let values = serde_json::to_value(settings).unwrap_or_default();
    let mut text = HEAD.to_owned();
    let is_section = |value: &Value| value.is_object();
    for (name, value) in members(&values).filter(|(_, value)| !is_section(value)) {
        text.push_str(&key(&schema, &schema["properties"][name], name, value));
    }
    for (name, value) in members(&values).filter(|(_, value)| is_section(value)) {
        let property = &schema["properties"][name];
        text.push_str(&format!("\n{}[{name}]\n", comment(described(&schema, property))));
        let section = resolved(&schema, property);
        for (name, value) in members(value) {
            text.push_str(&key(&schema, &section["properties"][name], name, value));
        }
    }
    text
}

/// One setting. One that says nothing is shown by its example.
fn key(schema: &Value, property: &Value, name: &str, value: &Value) -> String {
    let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let line = match property["examples"].get(0) {
        Some(example) if is_empty => format!("#{name} = {}", written(example)),
        _ => format!("{name} = {}", written(value)),
    };
    format!("\n{}{line}\n", comment(described(schema, property)))
}

/// A value as TOML writes it. JSON's texts, numbers and lists are TOML's too.
fn written(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        value => value.to_string(),
    }
}

/// A description as lines of comment.
fn comment(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::from("#"));
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            line = "#".into();
        }
        line.push(' ');
        line.push_str(word);
    }
    format!("{lines}{line}\n")
}

fn described<'s>(schema: &'s Value, property: &'s Value) -> &'s str {
    let own = property["description"].as_str();
    own.or_else(|| resolved(schema, property)["description"].as_str()).unwrap_or_default()
}

/// What a `$ref` points to; anything else is itself.
fn resolved<'s>(schema: &'s Value, property: &'s Value) -> &'s Value {
    property["$ref"].as_str().and_then(|pointer| schema.pointer(pointer.strip_prefix('#')?)).unwrap_or(property)
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}
