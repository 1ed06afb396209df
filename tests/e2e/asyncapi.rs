//! `docs/asyncapi.yaml`: the streams for a service in another language, from
//! what messages and the topology say of themselves.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use tidemill_events::{
    CONTRACTS, Contract, StreamName,
    contract::BodyKind,
    topology::{DUPLICATE_WINDOW, Parameter},
};

use crate::{in_words, joined};

/// Beyond it a text is broken into lines.
const WIDTH: usize = 110;

/// The document in YAML.
pub(crate) fn document() -> Result<String, yaml_serde::Error> {
    // AsyncAPI's schemas are a superset of draft 07.
    let mut settings = SchemaSettings::draft07().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    let messages: Map<String, Value> =
        CONTRACTS.iter().map(|contract| (contract.name.into(), message(contract, &mut generator))).collect();
    let schemas = generator.take_definitions(true);
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tidemill streams",
            "version": "1.1.0",
            "description": introduction(),
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": {
            "nats": {
                "host": "localhost:4222",
                "protocol": "nats",
                "description": "NATS with JetStream, 2.14 or newer.",
            },
        },
        "channels": CONTRACTS.iter().map(|contract| (channel_name(contract), channel(contract))).collect::<Map<_, _>>(),
        "operations": CONTRACTS.iter().flat_map(operations).collect::<Map<_, _>>(),
        "components": { "parameters": parameters(), "messages": messages, "schemas": schemas },
    });
    wrap(&mut document);
    Ok(format!("# Generated from the code by `make reference`.\n{}", yaml_serde::to_string(&document)?))
}

fn introduction() -> String {
    format!(
        "The JetStream streams that the services of Tidemill speak over, for a service in another language that wants \
         to join. The types are in `shared/events/src`, the names in `shared/events/src/topology.rs`.\n\
         \n\
         - Read with a durable pull consumer of your own name, explicit acks, and at most 8 MiB a pull.\n\
         - A body may be compressed: `Content-Encoding: lz4` is one lz4 frame. It never inflates to more than 4 MiB.\n\
         - Messages may come more than once. `Nats-Msg-Id` names each; the server drops a copy within {} seconds only.\n\
         - Refuse a message whose `Tm-Version` you do not know.\n\
         - A header is a line of text. What came from outside is JSON in ASCII.\n\
         - Amounts are strings in plain decimal notation, exact to twelve decimals. Times in bodies are RFC 3339 in UTC.\n\
         - Partition of a key: CRC-32 (ISO-HDLC, as in zlib) of its UTF-8 bytes, modulo the number of partitions. The \
         key of an event is its `partitionkey`, else its `subject`, else its `source`. Ingestion gives an event a \
         `partitionkey` where its schema marks a member with `x-partition-key`, as the schemas of orders mark \
         `order_id`: an order and what refers to it are in one partition. With 8 partitions, `123456789` is in 6, \
         `17850` in 1, `Zo\u{eb}` in 2, and the empty text in 0.",
        DUPLICATE_WINDOW.as_secs()
    )
}

fn channel_name(contract: &Contract) -> String {
    contract.stream.as_str().to_lowercase()
}

fn channel(contract: &Contract) -> Value {
    let Contract { name, stream, about, .. } = contract;
    let full = if stream.is_derived() { "forgets the oldest" } else { "refuses" };
    let kept = in_words(stream.max_age());
    let mut channel = json!({
        "address": stream.address(),
        "title": stream.as_str(),
        "description": format!("Stream `{stream}`, kept {kept}; full, it {full}. {about}"),
    });
    let parameters: Map<String, Value> = stream
        .parameters()
        .iter()
        .map(|parameter| (parameter.name.into(), refer(&["components", "parameters", parameter.name])))
        .collect();
    if !parameters.is_empty() {
        channel["parameters"] = parameters.into();
    }
    let key = name[..1].to_lowercase() + &name[1..];
    channel["messages"] = json!({ key: refer(&["components", "messages", name]) });
    channel
}

fn operations(contract: &Contract) -> Vec<(String, Value)> {
    let Contract { stream, reading, writing, .. } = contract;
    let channel = channel_name(contract);
    let title = channel[..1].to_uppercase() + &channel[1..];
    let operation = |action: &str, summary: String| json!({ "action": action, "channel": refer(&["channels", &channel]), "summary": summary });
    let readers: Vec<&str> = stream.readers().into_iter().collect();
    let example = match readers.len() {
        0 => String::new(),
        1 => format!(", as {} does", readers[0]),
        _ => format!(", as {} do", joined(&readers)),
    };
    let mut operations = vec![(format!("read{title}"), operation("receive", format!("{reading}{example}.")))];
    if let Some(writing) = writing {
        operations.push((format!("write{title}"), operation("send", (*writing).into())));
    }
    operations
}

fn parameters() -> Map<String, Value> {
    let of_all = StreamName::ALL.into_iter().flat_map(StreamName::parameters);
    let document =
        |Parameter { about, examples, .. }: &Parameter| json!({ "description": about, "examples": examples });
    of_all.map(|parameter| (parameter.name.into(), document(parameter))).collect()
}

fn message(contract: &Contract, generator: &mut SchemaGenerator) -> Value {
    let Contract { name, title, body, .. } = contract;
    let types = body.content_types();
    let mut message = json!({ "name": name, "title": title, "contentType": types[0] });
    match body {
        BodyKind::Object(_) => {}
        BodyKind::Lines(_) => {
            message["description"] = "The payload is one event a line; the schema is that of a line.".into();
        }
        BodyKind::Bodies(_) => {
            message["description"] =
                format!("With the content type `{}` the payload is a JSON array, else the body itself.", types[1])
                    .into();
        }
    }
    message["headers"] = contract.headers_schema();
    message["payload"] = body.schema(generator).to_value();
    message
}

fn refer(path: &[&str]) -> Value {
    json!({ "$ref": format!("#/{}", path.join("/")) })
}

/// Descriptions in lines that a person can read. Those of the code come in the
/// lines of the code; a blank line and a list stay.
fn wrap(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => *text = wrapped(text),
                    other => wrap(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(wrap),
        _ => {}
    }
}

fn wrapped(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let (mut indent, mut is_paragraph) = ("", false);
    for line in text.lines() {
        let is_item = line.starts_with("- ");
        if line.is_empty() || is_item || !is_paragraph {
            indent = if is_item { "  " } else { "" };
            lines.push(String::new());
        }
        is_paragraph = !line.is_empty();
        for word in line.split_whitespace() {
            match lines.last_mut() {
                Some(last) if last.is_empty() => last.push_str(word),
                Some(last) if last.len() + 1 + word.len() <= WIDTH => *last += &format!(" {word}"),
                _ => lines.push(format!("{indent}{word}")),
            }
        }
    }
    lines.join("\n")
}
