//! The schemas in use, which may be exchanged while requests are taken in.

use std::sync::{Arc, PoisonError, RwLock};

use tidemill_service::StartError;

use super::Schemas;
use crate::config::Config;

/// The schemas in use; clones share them.
#[derive(Clone)]
pub struct SchemaRegistry(Arc<RwLock<Arc<Schemas>>>);

impl SchemaRegistry {
    /// Reads the schemas that the settings name.
    pub fn load(config: &Config) -> Result<Self, StartError> {
        Schemas::load(&config.schemas).map(Self::from)
    }

    /// Reads them anew. Events that are validated from then on meet the new ones; while
    /// one of them is wrong, all stay as they are.
    pub fn reload(&self, config: &Config) -> Result<(), StartError> {
        let schemas = Arc::new(Schemas::load(&config.schemas)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = schemas;
        Ok(())
    }

    /// Those that are in use now.
    pub(crate) fn current(&self) -> Arc<Schemas> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl From<Schemas> for SchemaRegistry {
    fn from(schemas: Schemas) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(schemas))))
    }
}
