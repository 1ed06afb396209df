//! What a stage gives up.

use std::sync::{Mutex, PoisonError};

use tidemill_bus::{Bus, Delivery, Error as BusError};
use tidemill_domain::Code;
use tidemill_events::{DeadLetter, StreamName};
use tidemill_service::{Breaker, Ceiling, CeilingConfig, CeilingReached, Context};

/// Where one unit's dead letters go, and how many there may be. It outlives a
/// fresh opening of the unit: a halted one would go on bit by bit otherwise.
#[derive(Debug)]
pub struct DeadLetters {
    bus: Bus,
    nats: Breaker,
    service: &'static str,
    stream: StreamName,
    ceiling: Mutex<Ceiling>,
}

impl DeadLetters {
    /// Those of a reader of `stream`.
    pub fn new(context: &Context, bus: &Bus, stream: StreamName, ceiling: CeilingConfig) -> Self {
        let ceiling = Mutex::new(Ceiling::new(ceiling));
        Self { bus: bus.clone(), nats: context.breaker("nats"), service: context.service, stream, ceiling }
    }

    /// Takes events or messages in that are about to be settled, `dead` of
    /// them as dead letters.
    ///
    /// # Errors
    /// Too large a share of the latest would be dead: nothing is to be given up.
    pub fn admit(&self, all: u64, dead: u64) -> Result<(), CeilingReached> {
        self.ceiling.lock().unwrap_or_else(PoisonError::into_inner).admit(all, dead)
    }

    /// A letter about a message of the stream, or a part of it. `name` tells it
    /// from this service's others, and is the same when it is given up again.
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
    /// The server is away, or `DLQ` is full: what the letter is about is not to
    /// be settled.
    pub async fn store(&self, letter: &DeadLetter) -> Result<(), BusError> {
        tracing::warn!(id = letter.id, code = letter.code, reason = letter.reason, "dead letter");
        self.nats.call(self.bus.publish(letter)).await.map(|_| ())
    }
}
