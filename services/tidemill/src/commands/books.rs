//! `tidemill books`

use super::ended::{Ended, balanced};
use crate::{
    arguments::BooksArguments,
    client::{Books, Client, Outcomes},
    table::{self, plain},
};

/// Characters of a source that are shown.
const SOURCE: usize = 60;

pub(crate) async fn books(arguments: BooksArguments) -> Ended {
    let client = Client::of_reporting(arguments.reporting_url, arguments.key);
    if arguments.json {
        let books: serde_json::Value = client.get("/v1/books?hours=true").await?;
        say!("{books}");
        return Ok(balanced(books["balanced"] == true));
    }
    let books: Books = client.get(if arguments.hours { "/v1/books?hours=true" } else { "/v1/books" }).await?;
    let mut rows = Vec::new();
    for source in &books.sources {
        let name = plain(&source.source, SOURCE);
        for hour in &source.hours {
            rows.push(row(&name, &hour.hour, &hour.outcomes));
        }
        let mark = if arguments.hours { "all hours" } else { "" };
        rows.push(row(&name, mark, &source.outcomes));
    }
    rows.push(row("(all)", "", &books.totals));
    let header = [
        "source",
        if arguments.hours { "hour" } else { "" },
        "received",
        "accepted",
        "rejected",
        "counted",
        "late",
        "duplicate",
        "repeated",
        "dead-lettered",
        "in flight",
    ];
    let numbers = std::array::from_fn(|column| column > 1);
    table::print(header, numbers, &rows);
    say!("{}", if books.balanced { "The books balance." } else { "The books do not balance (yet)." });
    Ok(balanced(books.balanced))
}

fn row(source: &str, hour: &str, o: &Outcomes) -> [String; 11] {
    let counts = [o.received, o.accepted, o.rejected, o.counted, o.late, o.duplicate, o.repeated, o.dead_lettered];
    let [received, accepted, rejected, counted, late, duplicate, repeated, dead] =
        counts.map(|count| count.to_string());
    let flight = o.in_flight.to_string();
    [source.into(), hour.into(), received, accepted, rejected, counted, late, duplicate, repeated, dead, flight]
}
