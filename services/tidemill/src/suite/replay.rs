//! What a replay has to know of an all-in-one.

use std::path::{Path, PathBuf};

use tidemill_embedded::NatsServer;
use tidemill_service::StartError;

use super::{folder, options::Options, services::Suite, settings::Settings};
use crate::{
    replay::{ReplaySettings, stores_at},
    shop_file::ShopFile,
};

/// Where the NATS of the suite is that another process runs in this folder.
pub(crate) fn nats_url(data: &Path) -> Option<String> {
    NatsServer::url_in(&data.join("nats"))
}

/// What a replay has to know of it.
pub(crate) fn replay_settings(settings: &ShopFile, data: &Path, nats_url: &str) -> Result<ReplaySettings, StartError> {
    // It listens nowhere.
    let options = Options { folder: PathBuf::from(data), address: None, ..Options::of(settings) };
    of(&Settings::new(&options, nats_url)?, data)
}

/// Where it keeps generations: beside its own stores.
pub(crate) fn generation_stores(data: &Path) -> Result<tidemill_store::Config, StartError> {
    let stores = folder::private(data, "generations")?;
    Ok(stores_at(&format!("sqlite://{}", stores.display())))
}

fn of(settings: &Settings, data: &Path) -> Result<ReplaySettings, StartError> {
    Ok(ReplaySettings {
        enrichment: settings.enrichment()?,
        aggregation: settings.aggregation()?,
        alert: Some(settings.alert()?),
        stores: generation_stores(data)?,
        lake: None,
    })
}

impl Suite {
    /// What a replay has to know of this suite, whose folder is `data`.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn replay_settings(&self, data: &Path) -> Result<ReplaySettings, StartError> {
        of(&self.settings, data)
    }
}
