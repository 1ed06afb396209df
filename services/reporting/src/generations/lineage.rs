//! From a cell that differs to its events, where there is a lake.

use std::collections::BTreeMap;

use serde::Serialize;
use tidemill_domain::Timestamp;
use url::form_urlencoded;
use utoipa::ToSchema;

/// Where the events of a cell are found. A lake counts by the live definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct LineageLink {
    /// At the lake's API.
    path: String,
    /// The same as a command for a shell.
    command: String,
}

impl LineageLink {
    /// Of a cell of a metric.
    pub(crate) fn of(metric: &str, start: Timestamp, dimensions: &BTreeMap<String, String>) -> Self {
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        pairs.append_pair("window", &start.to_string());
        let mut command = format!("tidemill lineage {} --window {start}", quoted(metric));
        for (name, value) in dimensions {
            pairs.append_pair(&format!("dimension.{name}"), value);
            command.extend([" --dimension ", &quoted(&format!("{name}={value}"))]);
        }
        let name: String = form_urlencoded::byte_serialize(metric.as_bytes()).collect();
        Self { path: format!("/v1/lineage/{name}?{}", pairs.finish()), command }
    }
}

/// A word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '=' | '.' | ':');
    if !text.is_empty() && text.chars().all(is_plain) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_an_address_and_a_command() {
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().expect("a time");
        let dimensions = [("country", "Cote d'Or"), ("limit", "a&b")];
        let dimensions = dimensions.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let link = LineageLink::of("daily_sales", start, &dimensions);
        let path = "/v1/lineage/daily_sales?window=2026-03-01T00%3A00%3A00Z&dimension.country=Cote+d%27Or&dimension.limit=a%26b";
        let command = r"tidemill lineage daily_sales --window 2026-03-01T00:00:00Z --dimension 'country=Cote d'\''Or' --dimension 'limit=a&b'";
        assert_eq!(link, LineageLink { path: path.into(), command: command.into() });
    }
}
