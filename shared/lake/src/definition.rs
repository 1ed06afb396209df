//! What a table is: its place, its columns and how its files are cut.

use std::fmt;

/// A layer of the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// As it came in.
    Bronze,
    /// Typed, and without duplicates.
    Silver,
    /// Totals.
    Gold,
}

impl Layer {
    /// Its name, which is a folder too.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bronze => "bronze",
            Self::Silver => "silver",
            Self::Gold => "gold",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 64 bits.
    Long,
    /// A binary float.
    Double,
    /// True or false.
    Boolean,
    /// A text.
    Text,
    /// A moment in UTC, in microseconds.
    Timestamp,
    /// An exact decimal with this precision and scale.
    Decimal(u8, u8),
}

impl fmt::Display for ColumnKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int => f.write_str("int"),
            Self::Long => f.write_str("long"),
            Self::Double => f.write_str("double"),
            Self::Boolean => f.write_str("boolean"),
            Self::Text => f.write_str("string"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
        }
    }
}

impl ColumnKind {
    /// Reads it as it is displayed.
    pub fn read(text: &str) -> Option<Self> {
        let decimal = || {
            let (precision, scale) = text.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
            let (precision, scale): (u8, u8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
            ((1..=38).contains(&precision) && scale <= precision).then_some(Self::Decimal(precision, scale))
        };
        match text {
            "int" => Some(Self::Int),
            "long" => Some(Self::Long),
            "double" => Some(Self::Double),
            "boolean" => Some(Self::Boolean),
            "string" => Some(Self::Text),
            "timestamp" => Some(Self::Timestamp),
            _ => decimal(),
        }
    }
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnKind,
    /// Whether it may be null.
    pub nullable: bool,
    /// What it says, for the reference.
    pub about: &'static str,
}

/// A table.
#[derive(Debug, Clone, Copy)]
pub struct TableDefinition {
    /// The layer that it belongs to.
    pub layer: Layer,
    /// Its name in the layer.
    pub name: &'static str,
    /// What a row is, for the reference.
    pub about: &'static str,
    /// Its columns, in their order.
    pub columns: &'static [ColumnDefinition],
    /// The columns whose values are folders of its files.
    pub partitioned_by: &'static [&'static str],
    /// The columns that most questions ask for: files are clustered by them when
    /// they are compacted.
    pub clustered_by: &'static [&'static str],
    /// The columns that single rows are looked up by: files that stay have Bloom
    /// filters of them.
    pub looked_up_by: &'static [&'static str],
}

impl TableDefinition {
    /// Where it is below the lake's root, for instance `silver/orders`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.layer, self.name)
    }
}

impl fmt::Display for TableDefinition {
    /// The name that questions use, for instance `silver.orders`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.layer, self.name)
    }
}

/// A name without the mark that makes a keyword a name in Rust.
pub(crate) const fn plain(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}
