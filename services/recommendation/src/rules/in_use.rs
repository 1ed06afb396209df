//! The rules in use, which may be exchanged while answers are made.

use std::sync::Arc;

use tidemill_service::{Exchanged, StartError};

use super::ShopRules;
use crate::config::Config;

/// The rules in use; clones share them.
#[derive(Debug, Clone, Default)]
pub struct RulesInUse(Exchanged<ShopRules>);

impl RulesInUse {
    /// Reads the rules that the settings name, or the built-in ones.
    pub fn load(config: &Config) -> Result<Self, StartError> {
        ShopRules::load(config.rules.file.as_deref()).map(Self::from).map_err(StartError::new)
    }

    /// Reads them anew: answers that are asked for from then on go by them. While they are
    /// wrong, the former ones stay.
    pub fn reload(&self, config: &Config) -> Result<(), StartError> {
        self.0.exchange(ShopRules::load(config.rules.file.as_deref()).map_err(StartError::new)?);
        Ok(())
    }

    /// Those that are in use now.
    pub(crate) fn current(&self) -> Arc<ShopRules> {
        self.0.current()
    }
}

impl From<ShopRules> for RulesInUse {
    fn from(rules: ShopRules) -> Self {
        Self(Exchanged::new(rules))
    }
}

#[cfg(test)]
impl RulesInUse {
    /// As if these were read.
    pub(crate) fn exchange(&self, rules: ShopRules) {
        self.0.exchange(rules);
    }
}
