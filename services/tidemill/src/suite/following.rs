//! Changed definitions, taken up while the suite runs: all of them together, or
//! none.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use tidemill_service::{Context, StartError};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    member::SuiteMember,
    services::{DRAIN_DEADLINE, Suite, start},
    watched::{Defines, changed},
};

/// How often changes are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// Under which `/readyz` says that changed definitions are wrong.
const NOTICE: &str = "definitions";
/// Under which it says that a reference file would change what was.
const REFUSED_FILE: &str = tidemill_enrichment::REFUSED_FILE;
/// Under which it says that a reference file lacks records that it had.
const KEPT_RECORDS: &str = tidemill_enrichment::KEPT_RECORDS;

impl Suite {
    /// Takes up changed definitions until a service or NATS ends by itself, and says
    /// which and why.
    pub async fn failed(&mut self) -> String {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                why = self.ended() => return why,
                _ = looks.tick() => {}
            }
            if let Err(error) = self.follow().await {
                return error.to_string();
            }
        }
    }

    /// Looks for changes. An error is one of a service that did not come back.
    async fn follow(&mut self) -> Result<(), StartError> {
        if !self.files.look() {
            return Ok(());
        }
        if let Err(error) = self.settings.check() {
            self.refuse(&error);
            return Ok(());
        }
        let digests = self.files.digests().clone();
        if self.files.read() != digests {
            // Somebody wrote while they were checked; the next look sees it.
            return Ok(());
        }
        let changes = changed(&self.in_use, &digests);
        if changes.contains(&Defines::Schemas)
            && let Err(error) = self.settings.ingestion().and_then(|config| self.exchanged.schemas.reload(&config))
        {
            self.refuse(&error);
            return Ok(());
        }
        if changes.contains(&Defines::Recommendation)
            && let Err(error) = self.settings.recommendation().and_then(|config| self.exchanged.rules.reload(&config))
        {
            self.refuse(&error);
            return Ok(());
        }
        let begun = Instant::now();
        let reading = changes.iter().flat_map(|defines| SuiteMember::reading(*defines)).copied();
        let members: BTreeSet<SuiteMember> = reading.filter(|member| self.members.contains(member)).collect();
        self.start_anew(&members).await?;
        self.in_use = digests;
        self.contexts.iter().for_each(|context| context.health.withdraw_notice(NOTICE));
        tell!("tidemill: {}", told(&changes, &members, begun.elapsed()));
        for notice in [REFUSED_FILE, KEPT_RECORDS] {
            for told in self.contexts.iter().filter_map(|context| context.health.notices().remove(notice)) {
                tell!("tidemill: but {told}");
            }
        }
        Ok(())
    }

    /// Says once what is wrong; the former definitions stay.
    fn refuse(&self, error: &StartError) {
        let told = format!("{error}; nothing of what was changed is taken up until this is mended");
        tell!("tidemill: {told}");
        self.contexts.iter().for_each(|context| context.health.notice(NOTICE, told.as_str()));
    }

    /// Drains services, and starts them again where they were.
    async fn start_anew(&mut self, members: &BTreeSet<SuiteMember>) -> Result<(), StartError> {
        for member in members {
            let context = &self.contexts[*member as usize];
            context.shutdown.cancel();
            if !context.drained(DRAIN_DEADLINE).await {
                return Err(StartError::new(format!("{} did not drain in time", member.name())));
            }
        }
        let mut starting = Vec::with_capacity(members.len());
        for member in members {
            let context = Context::new(member.name()).in_place_of(&self.contexts[*member as usize]);
            // Before it starts: whoever stops the suite meanwhile stops it too.
            self.contexts[*member as usize] = context.clone();
            starting.push(start(*member, &self.settings, &self.exchanged, context)?);
        }
        tokio::select! {
            started = try_join_all(starting) => started.map(drop),
            _ = self.nats.ended() => Err(StartError::new("nats-server ended")),
        }
    }
}

fn told(changes: &BTreeSet<Defines>, members: &BTreeSet<SuiteMember>, pause: Duration) -> String {
    let list = |names: Vec<&str>| names.join(", ");
    let changed = list(changes.iter().map(|defines| defines.name()).collect());
    match (changed.as_str(), members.is_empty()) {
        ("", _) => "the definitions are as they were again".into(),
        (changed, true) => format!("changed, and in force from now on: {changed}"),
        (changed, false) => {
            let members = list(members.iter().map(|member| member.name()).collect());
            format!("changed, and in force from now on: {changed}; {members} paused for {:.1} s", pause.as_secs_f64())
        }
    }
}
