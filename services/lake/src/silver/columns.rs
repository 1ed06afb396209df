//! Members of events that are columns of `silver.events`, as a file of settings has them.

use std::{borrow::Cow, collections::BTreeSet, path::Path};

use serde::Deserialize;
use tidemill_definitions::{Data, from_yaml};
use tidemill_domain::Timestamp;
use tidemill_lake_tables::{ColumnKind, MoreColumn, MoreColumns, MoreValue, decimal_units, tables::SilverEvent};
use tidemill_service::StartError;

/// Columns at most.
const MOST: usize = 64;

/// The columns, and where their values are.
#[derive(Debug, Clone, Default)]
pub(crate) struct SilverColumns {
    members: Vec<MemberColumn>,
    more: MoreColumns,
}

/// A member of events.
#[derive(Debug, Clone)]
struct MemberColumn {
    /// Names from the event's data on.
    path: Vec<String>,
    kind: ColumnKind,
    /// The types of events that have it; none for all.
    types: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedColumns {
    columns: Vec<AskedColumn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedColumn {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    field: String,
    #[serde(default)]
    types: BTreeSet<String>,
    #[serde(default)]
    about: String,
}

impl SilverColumns {
    /// Those of a file; none without one.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, StartError> {
        let Some(path) = file else { return Ok(Self::default()) };
        let name = path.display().to_string();
        let text =
            tidemill_definitions::read_text(path).map_err(|error| StartError::new(format!("{name}: {error}")))?;
        Self::parse(&name, &text)
    }

    fn parse(file: &str, text: &str) -> Result<Self, StartError> {
        let AskedColumns { columns } = from_yaml(file, text).map_err(StartError::new)?;
        let wrong = |reason: String| StartError::new(format!("{file}: {reason}"));
        if columns.len() > MOST {
            return Err(wrong(format!("there may be {MOST} columns at most")));
        }
        let (mut members, mut more, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
        for written in columns {
            let name = written.name.clone();
            let (member, column) = written.read().map_err(|reason| wrong(format!("column `{name}`: {reason}")))?;
            if !names.insert(name.clone()) {
                return Err(wrong(format!("column `{name}` is there twice")));
            }
            members.push(member);
            more.push(column);
        }
        Ok(Self { members, more: MoreColumns::of(SilverEvent::TABLE.path(), more) })
    }

    /// As tables have them.
    pub(crate) const fn more(&self) -> &MoreColumns {
        &self.more
    }

    /// Whether data of events of this type are looked into.
    pub(super) fn need_data(&self, kind: &str) -> bool {
        self.members.iter().any(|member| member.is_of(kind))
    }

    /// The values of an event. What is of another type is null, and stays in `data`.
    pub(super) fn values<'v>(
        &'v self,
        kind: &'v str,
        data: &'v Data<'v>,
    ) -> impl Iterator<Item = Option<MoreValue<'v>>> + 'v {
        self.members.iter().map(move |member| member.is_of(kind).then(|| member.value(data)).flatten())
    }
}

impl AskedColumn {
    fn read(self) -> Result<(MemberColumn, MoreColumn), String> {
        let Self { name, kind, field, types, about } = self;
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !name.starts_with(|first: char| first.is_ascii_lowercase()) || !name.bytes().all(is_plain) {
            return Err("a name has small letters, digits and `_`, and begins with a letter".into());
        }
        if SilverEvent::TABLE.columns.iter().any(|column| column.name == name) {
            return Err("silver.events has a column of this name".into());
        }
        let known = "string, long, double, boolean, timestamp, or decimal(DIGITS,DIGITS BEHIND THE POINT)";
        let kind = ColumnKind::read(&kind).filter(|kind| *kind != ColumnKind::Int);
        let kind = kind.ok_or_else(|| format!("its type has to be {known}"))?;
        let path: Vec<String> = field.split('.').map(str::to_owned).collect();
        match path.split_first() {
            Some((first, path)) if first == "data" && !path.is_empty() && path.iter().all(|name| !name.is_empty()) => {
                let member = MemberColumn { path: path.to_vec(), kind, types };
                Ok((member, MoreColumn { name, kind, about }))
            }
            _ => Err(format!("`{field}` is no member of an event's data: it has to be written as data.x or data.x.y")),
        }
    }
}

impl MemberColumn {
    fn is_of(&self, kind: &str) -> bool {
        self.types.is_empty() || self.types.contains(kind)
    }

    fn value<'v>(&self, data: &Data<'v>) -> Option<MoreValue<'v>> {
        let written = data.at(&self.path)?;
        let is_text = written.starts_with('"');
        let text = || data.text_at(&self.path);
        match self.kind {
            ColumnKind::Text if is_text || is_number(written) => text().map(MoreValue::Text),
            ColumnKind::Long => written.parse().ok().map(MoreValue::Long),
            ColumnKind::Double => serde_json::from_str(written).ok().map(MoreValue::Double),
            ColumnKind::Boolean => serde_json::from_str(written).ok().map(MoreValue::Boolean),
            ColumnKind::Timestamp if is_text => text()?.parse::<Timestamp>().ok().map(MoreValue::Timestamp),
            ColumnKind::Decimal(precision, scale) => {
                text().and_then(|text: Cow<'_, str>| decimal_units(&text, precision, scale)).map(MoreValue::Decimal)
            }
            ColumnKind::Text | ColumnKind::Timestamp | ColumnKind::Int => None,
        }
    }
}

/// Whether a JSON value is a number.
fn is_number(written: &str) -> bool {
    written.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "columns:\n  - {name: coupon, type: string, field: data.coupon.code, types: [order.placed]}\n  \
                        - {name: weight, type: 'decimal(6,2)', field: data.weight, about: In kilograms.}\n  \
                        - {name: floor, type: long, field: data.floor}\n  - {name: gift, type: boolean, field: data.gift}\n  \
                        - {name: due, type: timestamp, field: data.due}\n  - {name: share, type: double, field: data.share}\n";

    fn values(kind: &str, data: &str) -> Vec<Option<MoreValue<'static>>> {
        let columns = SilverColumns::parse("columns.yaml", FILE).expect("columns");
        let data = Data::of_member(Some(data));
        let own = |value| match value {
            MoreValue::Text(text) => MoreValue::Text(Cow::Owned(Cow::into_owned(text))),
            MoreValue::Long(number) => MoreValue::Long(number),
            MoreValue::Double(number) => MoreValue::Double(number),
            MoreValue::Boolean(flag) => MoreValue::Boolean(flag),
            MoreValue::Timestamp(time) => MoreValue::Timestamp(time),
            MoreValue::Decimal(units) => MoreValue::Decimal(units),
        };
        columns.values(kind, &data).map(|value| value.map(own)).collect()
    }

    #[test]
    fn members_are_values_of_their_types() {
        let data = r#"{"coupon":{"code":"A\u00e4"},"weight":"12.50","floor":-3,"gift":true,
            "due":"2026-01-01T00:00:00Z","share":0.5}"#;
        let due = "2026-01-01T00:00:00Z".parse().expect("a time");
        let all = [
            Some(MoreValue::Text("Aä".into())),
            Some(MoreValue::Decimal(1250)),
            Some(MoreValue::Long(-3)),
            Some(MoreValue::Boolean(true)),
            Some(MoreValue::Timestamp(due)),
            Some(MoreValue::Double(0.5)),
        ];
        assert_eq!(values("order.placed", data), all);
        assert_eq!(values("page.viewed", data)[0], None, "another type of event");
        assert_eq!(values("order.placed", r#"{"weight":12.5}"#)[1], Some(MoreValue::Decimal(1250)));
    }

    #[test]
    fn what_is_of_another_type_or_would_be_rounded_is_null() {
        let data = r#"{"coupon":{"code":{"a":1}},"weight":"12.505","floor":1.5,"gift":"yes","due":17,"share":"0.5"}"#;
        assert_eq!(values("order.placed", data), [None, None, None, None, None, None]);
        assert_eq!(
            values("order.placed", r#"{"weight":"1e3","floor":"7","coupon":7}"#),
            [None; 6].map(|_: Option<()>| None)
        );
        assert_eq!(values("order.placed", r#"{"coupon":{"code":true}}"#)[0], None);
        assert_eq!(values("order.placed", r#"{"coupon":{"code":-7.50}}"#)[0], Some(MoreValue::Text("-7.50".into())));
        assert_eq!(values("order.placed", "[]"), [None, None, None, None, None, None]);
    }

    #[test]
    fn a_wrong_file_is_told() {
        for (wrong, told) in [
            ("{name: Coupon, type: string, field: data.x}", "small letters"),
            ("{name: country, type: string, field: data.x}", "has a column of this name"),
            ("{name: a, type: decimal, field: data.x}", "its type has to be"),
            ("{name: a, type: 'decimal(39,2)', field: data.x}", "its type has to be"),
            ("{name: a, type: string, field: subject}", "no member"),
            ("{name: a, type: string, field: data.x}\n  - {name: a, type: long, field: data.y}", "twice"),
            ("{name: a, kind: string, field: data.x}", "columns.yaml"),
        ] {
            let error = SilverColumns::parse("columns.yaml", &format!("columns:\n  - {wrong}\n"));
            let error = error.map(drop).expect_err(wrong).to_string();
            assert!(error.contains(told), "{error}");
        }
        assert!(SilverColumns::load(None).expect("none").more().columns().is_empty());
    }
}
