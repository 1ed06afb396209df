//! `tidemill books`

use std::process::ExitCode;

use super::Outcome;
use crate::{
    cli::Books,
    client::{Client, Outcomes},
};

pub(crate) async fn books(arguments: Books) -> Outcome {
    let client = Client::new(arguments.reporting_url.clone(), arguments.reporting_url, None);
    if arguments.json {
        let books: serde_json::Value = client.get("/v1/books?hours=true").await?;
        println!("{books}");
        return Ok(code(books["balanced"] == true));
    }
    let books = client.books().await?;
    let width = books.sources.iter().map(|s| s.source.chars().count()).max().unwrap_or(0).max(8);
    println!(
        "{:width$} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>13} {:>10}",
        "source", "received", "accepted", "rejected", "counted", "late", "duplicate", "dead-lettered", "in flight"
    );
    let line = |name: &str, o: &Outcomes| {
        println!(
            "{name:width$} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>13} {:>10}",
            o.received, o.accepted, o.rejected, o.counted, o.late, o.duplicate, o.dead_lettered, o.in_flight
        );
    };
    for source in &books.sources {
        line(&source.source, &source.outcomes);
    }
    line("(all)", &books.totals);
    println!("{}", if books.balanced { "The books balance." } else { "The books do not balance (yet)." });
    Ok(code(books.balanced))
}

fn code(balanced: bool) -> ExitCode {
    if balanced { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
