//! `tidemill import`

use std::{error::Error, process::ExitCode};

use super::ended::Ended;
use crate::{
    arguments::{OnlineRetailArguments, reporting_url},
    client::{Client, Keys},
    import::online_retail::{self, ImportSummary, Invoices, Sending},
    shop_file::ShopFile,
    suite::{Extras, Whereabouts, with_suite},
};

pub(crate) async fn import(arguments: OnlineRetailArguments) -> Ended {
    let sending = Sending { batch: arguments.batch as usize, senders: arguments.senders.into(), shuffle: None };
    let Some(ingestion) = arguments.ingestion_url.clone() else {
        // What is wrong with them is told before anything is started.
        let invoices = Invoices::read(&arguments.file)?;
        online_retail::make_folder(&arguments.out)?;
        let work = async |suite: Whereabouts| -> Result<ImportSummary, Box<dyn Error>> {
            Ok(invoices.import(&arguments.out, &suite.client(Keys::default()), sending).await?)
        };
        return match with_suite(&ShopFile::private(), Extras::default(), work).await? {
            Some(summary) => report(summary),
            None => Err("ended before everything was imported".into()),
        };
    };
    let keys = Keys { write: arguments.write_key.clone(), read: arguments.read_key.clone() };
    let client = Client::of_suite(ingestion, reporting_url(arguments.reporting_url.as_ref())?, &keys)?;
    client.confirm_ingestion().await?;
    client.confirm_reporting(true).await?;
    report(online_retail::import(&arguments.file, &arguments.out, &client, sending).await?)
}

fn report(summary: ImportSummary) -> Ended {
    say!("{}", serde_json::to_string(&summary)?);
    Ok(ExitCode::SUCCESS)
}
