//! What a recipe says about its stream.

use std::time::Duration;

use bytes::Bytes;
use tidemill_events::{Durable, Message, TraceParent};
use tidemill_service::trace;
use tracing::Span;

use crate::{
    error::Error,
    state::Reporting,
    store::Folded,
    unit::{SequenceRange, StreamUnit},
};

/// What is done with a stream's messages.
pub(super) trait Recipe: Send + Sync + 'static {
    /// The unit of work that follows the stream.
    const UNIT: StreamUnit;
    /// From one fold to the next, at least and at most, unless more has come than a fold
    /// takes. Each costs a transaction, however few messages it has.
    const PACE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
    /// What the messages are.
    type Message: Message + Send + Sync;

    /// Takes messages, with their stream sequences, into the read model. They
    /// are those of the range that can be read.
    fn fold(
        reporting: &Reporting,
        range: SequenceRange,
        messages: Vec<(u64, Self::Message)>,
    ) -> impl Future<Output = Result<Folded<()>, Error>> + Send;

    /// Takes a message apart that the database refuses. Answers what is left of
    /// it, and what has to be set aside. Without parts, all of it is set aside.
    fn without_refused(
        _: &Reporting,
        _: Self::Message,
        payload: Bytes,
    ) -> impl Future<Output = Result<(Option<Self::Message>, Vec<Bytes>), Error>> + Send {
        std::future::ready(Ok((None, vec![payload])))
    }
}

/// The span of a message in the trace of the event behind it; `None` where
/// that is not recorded.
pub(super) fn report_span(parent: Option<TraceParent>, durable: Durable, cells: usize) -> Option<Span> {
    let parent = parent.filter(|parent| parent.is_sampled())?;
    let span = tracing::info_span!(
        "report",
        otel.name = "report",
        otel.kind = "consumer",
        trace_id = tracing::field::Empty,
        messaging.system = "nats",
        messaging.operation.type = "process",
        messaging.destination.name = durable.stream().as_str(),
        messaging.consumer.group.name = durable.name(),
        tidemill.cells = cells,
    );
    trace::continue_trace(&span, parent);
    Some(span)
}
