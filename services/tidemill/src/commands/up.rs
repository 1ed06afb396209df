//! `tidemill up`

use std::process::ExitCode;

use super::ended::Ended;
use crate::{
    arguments::UpArguments,
    suite::{Extras, LocalSuite, told_to_end},
};

pub(crate) async fn up(arguments: UpArguments) -> Ended {
    let mut local = LocalSuite::start(&arguments.local, Extras::default()).await?;
    local.print_addresses();
    println!("Ctrl-C ends it.");
    let outcome = tokio::select! {
        why = local.suite.failed() => Err(why.into()),
        signal = told_to_end() => signal.map(|()| ExitCode::SUCCESS).map_err(Into::into),
    };
    eprintln!("draining …");
    local.stop().await;
    outcome
}
