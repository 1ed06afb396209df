//! Whose a table of gold is.

use tidemill_lake_tables::{Lake, LakeError, LakeErrorKind, TableProperties};

use crate::SqlError;

/// Writes down whose a table is, where it does not say so: one that is new, or of an
/// earlier release.
pub(super) async fn claim(lake: &Lake, path: &str, properties: &TableProperties) -> Result<(), SqlError> {
    let Some(table) = lake.existing(path).await? else { return Ok(()) };
    match TableProperties::owner_of(&table)? {
        Some(owner) if owner == properties.owner => Ok(()),
        Some(owner) => {
            let reason = format!("it belongs to the lake {owner}, and this one is {}", properties.owner);
            Err(LakeError::new(LakeErrorKind::Schema, reason).of(path.replace('/', ".")).into())
        }
        None => {
            let configuration = properties.configuration().into_iter().map(|(name, value)| (name.to_owned(), value));
            let set =
                table.set_tbl_properties().with_properties(configuration.collect()).with_raise_if_not_exists(false);
            set.await?;
            Ok(())
        }
    }
}
