//! `tidemill import`

use std::process::ExitCode;

use super::Outcome;
use crate::{
    cli::{Local, OnlineRetail},
    client::Client,
    import::online_retail,
    suite::{Extras, LocalSuite},
};

/// The dashboard's port, where nothing else is said.
const REPORTING_PORT: u16 = 7080;

pub(crate) async fn import(arguments: OnlineRetail) -> Outcome {
    let Some(ingestion) = arguments.url.clone() else {
        let local = LocalSuite::start(&Local::private(), Extras::default()).await?;
        let client = local.client();
        let result = online_retail::import(&arguments.file, &arguments.out, &client, arguments.batch as usize).await;
        local.stop().await;
        return report(result?);
    };
    let reporting = match arguments.reporting_url.clone() {
        Some(url) => url,
        None => {
            let mut url = ingestion.clone();
            url.set_port(Some(REPORTING_PORT)).map_err(|()| "--url needs a host")?;
            url
        }
    };
    let client = Client::new(ingestion, reporting, arguments.write_key.clone());
    report(online_retail::import(&arguments.file, &arguments.out, &client, arguments.batch as usize).await?)
}

fn report(summary: online_retail::Summary) -> Outcome {
    println!("{}", serde_json::to_string(&summary)?);
    Ok(ExitCode::SUCCESS)
}
