//! `tidemill import`

use std::process::ExitCode;

use super::ended::Ended;
use crate::{
    arguments::{Local, OnlineRetailArguments},
    client::{Client, Keys},
    import::online_retail,
    suite::{Extras, LocalSuite},
};

pub(crate) async fn import(arguments: OnlineRetailArguments) -> Ended {
    let Some(ingestion) = arguments.url.clone() else {
        let local = LocalSuite::start(&Local::private(), Extras::default()).await?;
        let client = local.client();
        let result = online_retail::import(&arguments.file, &arguments.out, &client, arguments.batch as usize).await;
        local.stop().await;
        return report(result?);
    };
    let keys = Keys { write: arguments.write_key.clone(), read: arguments.read_key.clone() };
    let client = Client::of_suite(ingestion, arguments.reporting_url.clone(), &keys)?;
    report(online_retail::import(&arguments.file, &arguments.out, &client, arguments.batch as usize).await?)
}

fn report(summary: online_retail::ImportSummary) -> Ended {
    println!("{}", serde_json::to_string(&summary)?);
    Ok(ExitCode::SUCCESS)
}
