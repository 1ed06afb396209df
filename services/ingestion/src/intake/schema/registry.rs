//! The schemas in use, which may be exchanged while requests are taken in.

use std::sync::Arc;

use tidemill_service::{Exchanged, StartError};

use super::Schemas;
use crate::config::Config;

/// The schemas in use; clones share them.
#[derive(Clone)]
pub struct SchemaRegistry(Exchanged<Schemas>);

impl SchemaRegistry {
    /// Reads the schemas that the settings name.
    pub fn load(config: &Config) -> Result<Self, StartError> {
        Schemas::load(&config.schemas).map(Self::from)
    }

    /// Reads them anew. Events that are validated from then on meet the new ones; while
    /// one of them is wrong, all stay as they are.
    pub fn reload(&self, config: &Config) -> Result<(), StartError> {
        self.0.exchange(Schemas::load(&config.schemas)?);
        Ok(())
    }

    /// Those that are in use now.
    pub(crate) fn current(&self) -> Arc<Schemas> {
        self.0.current()
    }
}

impl From<Schemas> for SchemaRegistry {
    fn from(schemas: Schemas) -> Self {
        Self(Exchanged::new(schemas))
    }
}
