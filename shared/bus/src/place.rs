//! Where in a stream a reader goes on.

use tidemill_events::{Message, StreamName};

use crate::{Bus, Error};

impl Bus {
    /// Checks that a stream has had a message with this sequence; also if it forgot it since.
    /// Fails with [`Error::ForeignLog`] where it never had one: then it was emptied, or an
    /// older one was put back.
    pub async fn has_reached(&self, name: StreamName, sequence: u64) -> Result<(), Error> {
        // Nothing is asked for where nothing is done.
        let end = if sequence == 0 { 0 } else { self.end(name).await? };
        if end < sequence {
            let reason = format!("ends at {end}, before {sequence} that was done");
            return Err(Error::ForeignLog { stream: name.as_str(), reason });
        }
        Ok(())
    }

    /// The sequence of a message of `subject` that is done, and behind which the
    /// next one is not: there a reader goes on that knows what it has done by
    /// what messages say, and not by their sequences. Before the first message
    /// that is left, if that is not done.
    ///
    /// The messages are those of a log that may repeat a stretch of itself. They
    /// may so change more than once from done to not done. Behind each such place
    /// stands what comes next, so each is as good. A message that cannot be read
    /// is not done.
    pub async fn place_behind<M: Message>(&self, subject: &str, is_done: impl Fn(&M) -> bool) -> Result<u64, Error> {
        let state = self.state(M::STREAM).await?;
        let (mut done, mut open) = (state.first_sequence.saturating_sub(1), state.last_sequence + 1);
        // Most readers are close to the end, so that is where to look first: one
        // message back, two, four, until one is done. From then on by halves.
        let mut back = Some(1);
        while done + 1 < open {
            let middle = back.map_or(u64::midpoint(done, open), |back| open.saturating_sub(back).max(done + 1));
            match self.next_at::<M>(subject, middle).await? {
                Some((sequence, Ok(message))) if sequence < open && is_done(&message) => {
                    (done, back) = (sequence, None)
                }
                _ => (open, back) = (middle, back.map(|back| back.saturating_mul(2))),
            }
        }
        Ok(done)
    }
}
