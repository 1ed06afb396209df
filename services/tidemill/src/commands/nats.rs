//! `tidemill nats`

use std::process::ExitCode;

use super::ended::{Ended, WrongArguments};
use crate::{arguments::NatsArguments, replay::ReplayError, shop_file::ShopFile, suite};

/// Prints where the log of a running suite is, for programs that read it.
pub(crate) fn nats(arguments: NatsArguments) -> Ended {
    let file = ShopFile::find(arguments.config.as_deref());
    let settings = file.as_deref().map(ShopFile::read).transpose()?.unwrap_or_default();
    let missing = || {
        WrongArguments(
            "say where the suite is: --data DIR, the folder that `tidemill up` was given, or printed at its start"
                .into(),
        )
    };
    let folder = arguments.data.or(settings.data).ok_or_else(missing)?;
    let no_suite = || ReplayError::NoSuite { folder: folder.display().to_string() };
    say!("{}", suite::nats_url(&folder).ok_or_else(no_suite)?);
    Ok(ExitCode::SUCCESS)
}
