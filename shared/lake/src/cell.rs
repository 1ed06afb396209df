//! What may stand in a column.

use tidemill_domain::Timestamp;

use crate::{columns::ColumnValues, decimal::LakeDecimal, definition::ColumnKind};

/// A value of a column.
pub trait ColumnCell {
    /// What the column holds.
    const KIND: ColumnKind;
    /// Whether it may be null.
    const NULLABLE: bool = false;

    /// Appends it to a column of its kind.
    fn append(&self, column: &mut ColumnValues);

    /// Appends nothing to a column of its kind.
    fn append_null(column: &mut ColumnValues);
}

/// A value of a simple kind, as its builder takes it.
macro_rules! cell {
    ($type:ty, $kind:ident, $values:ident, |$value:ident| $given:expr) => {
        impl ColumnCell for $type {
            const KIND: ColumnKind = ColumnKind::$kind;

            fn append(&self, column: &mut ColumnValues) {
                let $value = self;
                if let ColumnValues::$values(builder) = column {
                    builder.append_value($given);
                }
            }

            fn append_null(column: &mut ColumnValues) {
                if let ColumnValues::$values(builder) = column {
                    builder.append_null();
                }
            }
        }
    };
}

cell!(i32, Int, Int, |value| *value);
cell!(i64, Long, Long, |value| *value);
cell!(f64, Double, Double, |value| *value);
cell!(bool, Boolean, Boolean, |value| *value);
cell!(&str, Text, Text, |value| value);
cell!(Timestamp, Timestamp, Timestamp, |value| value.millis().saturating_mul(1000));

impl<const PRECISION: u8, const SCALE: u8> ColumnCell for LakeDecimal<PRECISION, SCALE> {
    const KIND: ColumnKind = ColumnKind::Decimal(PRECISION, SCALE);

    fn append(&self, column: &mut ColumnValues) {
        if let ColumnValues::Decimal(builder) = column {
            builder.append_value(self.units());
        }
    }

    fn append_null(column: &mut ColumnValues) {
        if let ColumnValues::Decimal(builder) = column {
            builder.append_null();
        }
    }
}

impl<C: ColumnCell> ColumnCell for Option<C> {
    const KIND: ColumnKind = C::KIND;
    const NULLABLE: bool = true;

    fn append(&self, column: &mut ColumnValues) {
        match self {
            Some(value) => value.append(column),
            None => C::append_null(column),
        }
    }

    fn append_null(column: &mut ColumnValues) {
        C::append_null(column);
    }
}
