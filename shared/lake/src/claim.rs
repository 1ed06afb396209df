//! What a store is asked before anything is written into it: whether it keeps two
//! writers apart, and whether the place is this lake's.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use object_store::{Error as StoreError, ObjectStoreExt as _, PutMode, path::Path};

use crate::{
    error::{LakeError, LakeErrorKind},
    lake::Lake,
    tables::ALL,
};

/// The object that names the lake that a place belongs to.
const CLAIM: &str = "_tidemill/lake";
const UNFIT: &str = "the store takes a conditional put (If-None-Match) for a plain one, so that two writers \
    would overwrite each other's versions";

impl Lake {
    /// Takes the place for this lake, unless another has it, and makes sure that the
    /// store keeps two writers apart. To ask again is always right.
    ///
    /// # Errors
    /// The store is away, or does not know conditional puts, or the place is another
    /// lake's.
    pub async fn claim(&self) -> Result<(), LakeError> {
        let Some(owner) = self.owner() else { return Ok(()) };
        match self.claimed_by().await? {
            Some(other) => self.check_owner(&other)?,
            None => {
                // Made by a release that left no claim.
                for table in &ALL {
                    self.existing(&table.path()).await?;
                }
                if !self.put_claim(owner).await? {
                    let other = self.claimed_by().await?;
                    other.map_or(Ok(()), |other| self.check_owner(&other))?;
                }
            }
        }
        // It is there by now, and says the same.
        if self.put_claim(owner).await? { Err(LakeError::new(LakeErrorKind::Unfit, UNFIT)) } else { Ok(()) }
    }

    /// Whom the place belongs to.
    async fn claimed_by(&self) -> Result<Option<String>, LakeError> {
        match self.store().get(&self.claim_path()?).await {
            Ok(found) => Ok(Some(String::from_utf8_lossy(&found.bytes().await?).trim().to_owned())),
            Err(error @ StoreError::NotFound { .. }) => match LakeError::from(error) {
                missing if missing.kind() == LakeErrorKind::Damaged => Ok(None),
                // There is no bucket either.
                other => Err(other),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the claim where there is none; whether it did.
    async fn put_claim(&self, owner: &str) -> Result<bool, LakeError> {
        let claim = Bytes::from(format!("{owner}\n")).into();
        match self.store().put_opts(&self.claim_path()?, claim, PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(false),
            Err(StoreError::NotImplemented { .. }) => Err(LakeError::new(LakeErrorKind::Unfit, UNFIT)),
            Err(error) => Err(error.into()),
        }
    }

    fn claim_path(&self) -> Result<Path, LakeError> {
        let wrong = |error: String| LakeError::new(LakeErrorKind::Internal, error);
        let url = self.root().join(CLAIM).map_err(|error| wrong(error.to_string()))?;
        Path::from_url_path(url.path()).map_err(|error| wrong(error.to_string()))
    }
}
