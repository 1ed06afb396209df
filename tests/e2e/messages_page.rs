//! Streams and headers as a page for people, from what messages and the
//! topology say of themselves.

use tidemill_events::{CONTRACTS, Contract, contract::Form, topology::DUPLICATE_WINDOW};

use crate::in_words;

/// The page in Markdown.
pub(crate) fn page() -> String {
    format!(
        "# Streams and messages\n\n\
         Generated from the code by `make reference`. Why they are as they are is told in\n\
         [ARCHITECTURE](../ARCHITECTURE.md#the-log); [asyncapi.yaml](../asyncapi.yaml) has bodies too.\n\
         \n\
         ## Streams\n\n\
         | stream | subject | a message is | its `Nats-Msg-Id` | kept | of `nats.log_bytes` | when full | synced |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n\
         {}\n\
         The server drops a copy with the same `Nats-Msg-Id` within {} seconds. In a subject's last tokens, what is not\n\
         a letter, a digit, `_` or `-` becomes `_`. With three replicas all streams are synced alike.\n\
         \n\
         ## Headers\n\n\
         Where a stream is in brackets, not every message has the header.\n\n\
         | header | on | form | what |\n\
         | --- | --- | --- | --- |\n\
         {}",
        CONTRACTS.iter().map(stream).collect::<String>(),
        DUPLICATE_WINDOW.as_secs(),
        headers(),
    )
}

fn stream(Contract { stream, title, ids, .. }: &Contract) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
    let address = stream.address().replace('{', "<").replace('}', ">");
    let kept = in_words(stream.max_age());
    let share = if stream.share() == 1 { "all".to_owned() } else { format!("1/{}", stream.share()) };
    let full = if stream.forgets_when_full() { "forgets the oldest" } else { "refuses" };
    let synced = if stream.is_derived() { "no" } else { "yes" };
    let kept = if stream.keeps_the_latest() { format!("the latest of each subject, {kept}") } else { kept };
    let title = title[..1].to_lowercase() + &title[1..];
    format!("| `{stream}` | `{address}` | {title} | {} | {kept} | {share} | {full} | {synced} |\n", ids.join(", "))
}

/// A row for each header that says the same wherever it is.
fn headers() -> String {
    let mut rows: Vec<Row> = Vec::new();
    for contract in &CONTRACTS {
        for header in contract.headers() {
            let (name, rest) = (header.name, [form(header.form), header.about.replace('|', "\\|")]);
            let stream = contract.stream;
            let stream = if header.is_always_there { format!("`{stream}`") } else { format!("[`{stream}`]") };
            match rows.iter_mut().find(|row| row.name == name && row.rest == rest) {
                Some(row) => row.streams.push(stream),
                None => {
                    // Beside the other rows of its name.
                    let at = rows.iter().rposition(|row| row.name == name).map_or(rows.len(), |at| at + 1);
                    rows.insert(at, Row { name, streams: vec![stream], rest });
                }
            }
        }
    }
    // Those that are not ours last.
    rows.sort_by_key(|row| !row.name.starts_with("Nats-") && !row.name.starts_with("Tm-"));
    rows.into_iter().map(Row::line).collect()
}

struct Row {
    name: &'static str,
    streams: Vec<String>,
    rest: [String; 2],
}

impl Row {
    fn line(self) -> String {
        let in_brackets = self.streams.iter().filter(|stream| stream.starts_with('[')).count();
        let streams = match in_brackets {
            0 if self.streams.len() == CONTRACTS.len() => "all".into(),
            all if all == CONTRACTS.len() => "[all]".into(),
            _ => self.streams.join(", "),
        };
        format!("| `{}` | {streams} | {} |\n", self.name, self.rest.join(" | "))
    }
}

fn form(form: Form) -> String {
    let one_of = |values: &[&str]| values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
    match form {
        Form::Number => "number".into(),
        Form::Numbers => "numbers, with commas".into(),
        Form::Millis => "milliseconds since 1970".into(),
        Form::Time => "RFC 3339".into(),
        Form::Uuid => "UUID".into(),
        Form::OneOf(values) => one_of(values),
        Form::Types => "event types, with commas".into(),
        Form::Word => "a word".into(),
        Form::Stream => "a stream".into(),
        Form::Text => "JSON string in ASCII".into(),
        Form::Array => "JSON array in ASCII".into(),
        Form::Object => "JSON object in ASCII".into(),
        Form::TraceParent => "`traceparent`".into(),
        Form::MessageId(_) => "see above".into(),
        Form::Version(version) => format!("`{version}`"),
    }
}
