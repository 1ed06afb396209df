//! `tidemill init`: writes the settings of a shop, and on request the built-in
//! definitions, to be changed.

use std::{
    fs::OpenOptions,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use tidemill_alert::{BUILT_IN_AMOUNTS, Rules};
use tidemill_definitions::Metrics;

use super::ended::Ended;
use crate::{
    arguments::InitArguments,
    shop_file::{self, DefinitionsSection, ShopFile},
};

/// The folder of definitions, within that of the settings.
const DEFINITIONS: &str = "definitions";

/// Why nothing was written, or not everything.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("{} is there already, and is left as it is; nothing was written", .0.display())]
    There(PathBuf),
    #[error("{}: {error}", file.display())]
    File { file: PathBuf, error: io::Error },
}

pub(crate) fn init(InitArguments { folder, definitions }: &InitArguments) -> Ended {
    let files = files(*definitions);
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| folder.join(name)).collect();
    if let Some(there) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(InitError::There(there.clone()).into());
    }
    for (path, (_, text)) in paths.iter().zip(&files) {
        write(path, text)?;
        say!("{}", path.display());
    }
    tell!("Change what you like, and start the suite: tidemill up --config {}", paths[0].display());
    Ok(ExitCode::SUCCESS)
}

/// What is to be written: names within the folder, and texts; the settings first.
fn files(with_definitions: bool) -> Vec<(PathBuf, String)> {
    let mut settings = ShopFile::default();
    let mut files = Vec::new();
    if with_definitions {
        let within = |name: &str| Some(Path::new(DEFINITIONS).join(name));
        settings.definitions = DefinitionsSection {
            schemas: within("schemas"),
            metrics: within("metrics"),
            rules: within("rules"),
            shop: within("shop.yaml"),
            amounts: within("amounts.yaml"),
            recommendation: within("recommendation.yaml"),
            learning: within("learning.yaml"),
            // It has what differs from the defaults, and so far nothing does.
            index: None,
        };
        type Texts = Vec<(String, &'static str)>;
        let yaml = |texts: &'static [(&str, &str)]| -> Texts {
            texts.iter().map(|(name, text)| ((*name).to_owned(), *text)).collect()
        };
        let built_in: [(&str, Texts); 3] = [
            ("schemas", tidemill_ingestion::built_in_schemas().collect()),
            ("metrics", yaml(Metrics::built_in())),
            ("rules", yaml(Rules::built_in())),
        ];
        for (folder, texts) in built_in {
            let folder = Path::new(DEFINITIONS).join(folder);
            files.extend(texts.into_iter().map(|(name, text)| (folder.join(name), text.to_owned())));
        }
        files.extend(within("shop.yaml").zip(Some(tidemill_enrichment::BUILT_IN_SHOP.to_owned())));
        files.extend(within("amounts.yaml").zip(Some(BUILT_IN_AMOUNTS.to_owned())));
        files.extend(within("recommendation.yaml").zip(Some(tidemill_recommendation::BUILT_IN_RULES.to_owned())));
        files.extend(within("learning.yaml").zip(Some(tidemill_recommendation::BUILT_IN_LEARNING.to_owned())));
    }
    files.insert(0, (shop_file::NAME.into(), shop_file::sample(&settings)));
    files
}

/// Writes a new file, and the folders that lead to it.
fn write(path: &Path, text: &str) -> Result<(), InitError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), std::fs::create_dir_all);
    let new = made.and_then(|()| OpenOptions::new().write(true).create_new(true).open(path));
    new.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => InitError::There(path.to_owned()),
        _ => InitError::File { file: path.to_owned(), error },
    })
}
