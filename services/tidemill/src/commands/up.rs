//! `tidemill up`

use std::{error::Error, future::pending, process::ExitCode};

use super::ended::Ended;
use crate::{
    arguments::UpArguments,
    suite::{Extras, Whereabouts, with_suite},
};

pub(crate) async fn up(arguments: UpArguments) -> Ended {
    let until_told = async |suite: Whereabouts| -> Result<(), Box<dyn Error>> {
        suite.print();
        say!("Ctrl-C ends it.");
        pending().await
    };
    with_suite(&arguments.local, Extras::default(), until_told).await?;
    Ok(ExitCode::SUCCESS)
}
