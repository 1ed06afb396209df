//! What a stage gives up.

use std::sync::{Mutex, PoisonError};

use tidemill_bus::{Bus, Delivery, Error as BusError};
use tidemill_domain::Code;
use tidemill_events::{DeadLetter, StreamName};
use tidemill_service::{Breaker, Ceiling, CeilingConfig, CeilingReached, Context};

/// Where one unit's dead letters go, and how many there may be. It outlives a
/// fresh opening of the unit. Otherwise a halted unit would go on bit by bit.
#[derive(Debug)]
pub struct DeadLetters {
    bus: Bus,
    nats: Breaker,
    service: &'static str,
    stream: StreamName,
    ceiling: Mutex<Ceiling>,
}

impl DeadLetters {
    /// The dead letters of a reader of `stream`.
    pub fn new(context: &Context, bus: &Bus, stream: StreamName, ceiling: CeilingConfig) -> Self {
        let ceiling = Mutex::new(Ceiling::new(ceiling));
        Self { bus: bus.clone(), nats: context.breaker("nats"), service: context.service, stream, ceiling }
    }

    /// Counts `all` events or messages that are about to be settled, `dead` of
    /// them as dead letters.
    ///
    /// # Errors
    /// Too large a share of the latest would be dead: nothing is to be given up.
    pub fn admit(&self, all: u64, dead: u64) -> Result<(), CeilingReached> {
        self.ceiling.lock().unwrap_or_else(PoisonError::into_inner).admit(all, dead)
    }

    /// A letter about a message of the stream, or about a part of it. `name`
    /// tells the letter from this service's others, and stays the same if the
    /// message is given up again.
    pub fn letter(&self, name: &str, code: Code, reason: String, sequence: u64) -> DeadLetter {
        DeadLetter {
            stream: Some(self.stream.to_string()),
            sequence: Some(sequence),
            ..DeadLetter::new(self.service, format!("{}-{name}", self.service), code.as_str(), reason)
        }
    }

    /// A letter about a whole message.
    pub fn letter_of(&self, name: &str, delivery: &Delivery, code: Code, reason: String) -> DeadLetter {
        DeadLetter {
            deliveries: delivery.deliveries,
            first_failed_at: delivery.stored_at,
            ..self.letter(name, code, reason, delivery.sequence).about(delivery.payload())
        }
    }

    /// Stores a letter.
    ///
    /// # Errors
    /// The server is away, or `DLQ` is full: the message that the letter is
    /// about must not be settled.
    pub async fn store(&self, letter: &DeadLetter) -> Result<(), BusError> {
        tracing::warn!(id = letter.id, code = letter.code, reason = letter.reason, "dead letter");
        self.nats.call(self.bus.publish(letter)).await.map(|_| ())
    }
}
