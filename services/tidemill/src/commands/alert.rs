//! `tidemill alert`

mod backtest;

use std::process::ExitCode;

use crate::arguments::{AlertArguments, AlertCommand};

pub(crate) async fn alert(AlertArguments { command }: AlertArguments) -> ExitCode {
    match command {
        AlertCommand::Backtest(arguments) => backtest::backtest(arguments).await,
    }
}
