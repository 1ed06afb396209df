//! The file of settings of recommendation's index: what is tried out by `tidemill recommend
//! evaluate` is what `tidemill up` answers by.

use std::path::Path;

use tidemill_definitions::read_text;
use tidemill_recommender::RecommenderSettings;

/// Reads a file, which says what differs from the defaults. The error is for a person.
pub(crate) fn read(path: &Path) -> Result<RecommenderSettings, String> {
    let text = read_text(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let settings: RecommenderSettings = toml::from_str(&text).map_err(|error| {
        // Its own text has several lines, and a picture of the place.
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        format!("{}:{line}: {}", path.display(), error.message().trim().replace('\n', ", "))
    })?;
    settings.validate().map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(settings)
}
