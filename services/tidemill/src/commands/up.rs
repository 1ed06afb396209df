//! `tidemill up`

use std::{error::Error, future::pending, path::Path, process::ExitCode};

use super::ended::Ended;
use crate::{
    arguments::UpArguments,
    shop_file::ShopFile,
    suite::{Extras, KeyVariables, Whereabouts, with_suite},
};

pub(crate) async fn up(UpArguments { config, profile, local }: UpArguments) -> Ended {
    let file = ShopFile::find(config.as_deref());
    let mut settings = local.over(file.as_deref().map(ShopFile::read).transpose()?.unwrap_or_default());
    settings.profile = profile.or(settings.profile);
    let webhook = settings.slack.webhook_file.as_deref().map(first_line).transpose()?;
    let extras =
        Extras { slack: local.slack_webhook.or(webhook), keys: KeyVariables::of_process(), ..Extras::default() };
    let until_told = async |suite: Whereabouts| -> Result<(), Box<dyn Error>> {
        if let Some(file) = &file {
            say!("Settings    {}", file.display());
        }
        suite.print();
        say!("Ctrl-C ends it.");
        pending().await
    };
    with_suite(&settings, extras, until_told).await?;
    Ok(ExitCode::SUCCESS)
}

/// What a file of one line says; an error does not show it.
fn first_line(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(format!("{}:1: is empty", file.display())),
    }
}
