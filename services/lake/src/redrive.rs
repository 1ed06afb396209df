//! Takes events out of the quarantine that the rules let pass by now.
//!
//! Which ones is settled by one commit of the quarantine's table, and each table of silver has the
//! number of the redrive in the commit that adds them. So whoever goes on after a crash, or beside
//! another one that believes to be the one, adds each event once.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidemill_domain::Timestamp;
use tidemill_lake_tables::{
    AppId, HeldEvent, LakeError, LakeErrorKind, QuarantineKeeper, RedriveScope, TableDefinition, TablePart,
    tables::{QuarantinedEvent, SilverEvent, SilverOrder, SilverOrderLine},
};
use tidemill_service::{Conditions, Context};
use tidemill_stage::Failure;
use tidemill_store::answered;

use crate::{
    error::Error,
    shared::Shared,
    silver::{EventPlace, ReadEvent, SilverRows, SilverRules},
    store::StoredRedrive,
};

/// From one look for orders to the next.
const EVERY: Duration = Duration::from_secs(2);

/// Does what is ordered, one after the other, while that is this replica's work.
pub(crate) async fn keep(context: Context, shared: Arc<Shared>, is_ours: impl Fn() -> bool) -> Result<(), Infallible> {
    let conditions = Conditions::new(&context.health, "redrive");
    let stop = context.shutdown.clone();
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        if !is_ours() {
            conditions.clear(&"redrive");
            continue;
        }
        let Some(done) = stop.run_until_cancelled(do_next(&context, &shared)).await else { break };
        match done {
            Ok(()) => conditions.clear(&"redrive"),
            Err(error) => {
                tracing::warn!(code = error.code().as_str(), %error, "a redrive cannot be done now");
                conditions.set("redrive", error.to_string());
            }
        }
    }
    Ok(())
}

async fn do_next(context: &Context, shared: &Arc<Shared>) -> Result<(), Error> {
    let next = shared.store_breaker.call(answered(shared.store.next_redrive())).await?;
    let Some(StoredRedrive { scope, .. }) = next else { return Ok(()) };
    let (number, of) = (scope.number, Arc::clone(shared));
    // Thousands of events, and each asks all rules.
    let taken = shared.threads.run(async move { take(&of, scope).await }).await;
    let (events, rows) = taken?;
    add(shared, rows, number).await?;
    let done = shared.store.redrive_done(number, events, context.clock.now());
    shared.store_breaker.call(answered(done)).await?;
    tracing::info!(number, events, "events have left the quarantine");
    Ok(())
}

/// Takes events out of the quarantine's table; answers how many, and their rows.
async fn take(shared: &Shared, scope: RedriveScope) -> Result<(u64, SilverRows), Error> {
    let rules = &*shared.silver_rules;
    let table = shared.lake.table(&QuarantinedEvent::TABLE, &shared.properties).await?;
    let mut keeper = QuarantineKeeper::new(table);
    keeper.take(&scope, |held| passes(held, rules)).await?;
    // Whatever it has taken is what it adds, also where the rules have changed since.
    let held = keeper.taken(scope.number).await?;
    let mut rows = SilverRows::new(rules)?;
    for event in &held {
        let unreadable = || LakeError::new(LakeErrorKind::Internal, "a row cannot be read by this release");
        let read = ReadEvent::read(0, event.event.as_bytes());
        let read = read.ok_or_else(|| unreadable().of(QuarantinedEvent::TABLE))?;
        read.release(&mut rows, place(event, Some(scope.number)), rules);
    }
    Ok((held.len() as u64, rows))
}

fn passes(held: &HeldEvent, rules: &SilverRules) -> bool {
    let read = ReadEvent::read(0, held.event.as_bytes());
    read.is_some_and(|read| read.passes(place(held, None), rules))
}

fn place(held: &HeldEvent, redrive: Option<i64>) -> EventPlace {
    let HeldEvent { partition, raw_seq, index, received, late, event: _ } = *held;
    EventPlace { partition, raw_seq, index, received, late, redrive }
}

/// Adds rows to the tables of silver that have not got them.
async fn add(shared: &Shared, mut rows: SilverRows, number: i64) -> Result<(), Error> {
    let part = |table: &TableDefinition, rows| TablePart { app: AppId::of_redrives(table), reaches: number, rows };
    let events = part(&SilverEvent::TABLE, rows.events.take()?);
    let lines = part(&SilverOrderLine::TABLE, rows.lines.take()?);
    let orders = part(&SilverOrder::TABLE, rows.orders.take()?);
    let to = &shared.committers;
    // They came in long ago: none of them makes a table newer.
    let newest = Timestamp::EPOCH;
    let (events, lines, orders) = tokio::join!(
        to.silver_events.commit(events, newest),
        to.order_lines.commit(lines, newest),
        to.orders.commit(orders, newest),
    );
    Ok(events.and(lines).and(orders)?)
}
