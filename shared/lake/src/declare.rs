//! One declaration of a table: a row type, from which the schema follows.

/// Declares a table as the type of its rows. A row without one of the columns does
/// not compile, and the first line of each comment is the column's description.
macro_rules! table {
    (
        #[doc = $about:literal]
        $row:ident<$life:lifetime> is $layer:ident / $name:literal
        partitioned by [$($folder:literal),*] clustered by [$($cluster:literal),*] $(looked up by [$($key:literal),*])?
        {
            $(#[doc = $column_about:literal] $column:ident: $kind:ty,)+
        }
    ) => {
        #[doc = $about]
        #[derive(Debug, Clone)]
        pub struct $row<$life> {
            $(#[doc = $column_about] pub $column: $kind,)+
        }

        impl<$life> $row<$life> {
            /// The table.
            pub const TABLE: $crate::TableDefinition = $crate::TableDefinition {
                layer: $crate::Layer::$layer,
                name: $name,
                about: $about.trim_ascii(),
                columns: &[$($crate::ColumnDefinition {
                    name: $crate::definition::plain(stringify!($column)),
                    kind: <$kind as $crate::ColumnCell>::KIND,
                    nullable: <$kind as $crate::ColumnCell>::NULLABLE,
                    about: $column_about.trim_ascii(),
                }),+],
                partitioned_by: &[$($folder),*],
                clustered_by: &[$($cluster),*],
                looked_up_by: &[$($($key),*)?],
            };
        }

        impl<$life> $crate::Row for $row<$life> {
            type Kind = $row<'static>;

            fn table() -> &'static $crate::TableDefinition {
                const { &$row::TABLE }
            }

            fn append(&self, columns: &mut [$crate::columns::ColumnValues]) {
                let mut columns = columns.iter_mut();
                $(if let Some(column) = columns.next() { $crate::ColumnCell::append(&self.$column, column); })+
            }
        }
    };
}

pub(crate) use table;
