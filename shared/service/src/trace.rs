//! Trace context between messages and spans.

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tidemill_events::TraceParent;
use tracing::Span;
use tracing_opentelemetry::{OpenTelemetrySpanExt, SetParentError};

fn span_context(parent: TraceParent) -> SpanContext {
    SpanContext::new(
        TraceId::from(parent.trace_id()),
        SpanId::from(parent.span_id()),
        if parent.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() },
        true,
        TraceState::NONE,
    )
}

/// Makes `span` a child of `parent`, wherever that was made. Call it before the
/// span is entered. If the span declares an empty field `trace_id`, the field
/// gets the trace's id, for the logs.
pub fn continue_trace(span: &Span, parent: TraceParent) {
    let parent_context = Context::new().with_remote_span_context(span_context(parent));
    // Where no traces are exported there is no parent to set; that is all right.
    if let Err(SetParentError::AlreadyStarted) = span.set_parent(parent_context) {
        tracing::warn!(span = span.metadata().map(|m| m.name()), "a span was entered before its parent was known");
    }
    span.record("trace_id", parent.trace_id_hex());
}

/// Links `span` to another trace's span: a batch to the events in it.
pub fn link(span: &Span, to: TraceParent) {
    span.add_link(span_context(to));
}

/// The context that makes others children of `span`; `None` where no traces
/// are exported.
pub fn traceparent_of(span: &Span) -> Option<TraceParent> {
    let context = span.context();
    let span = context.span();
    let context = span.span_context();
    TraceParent::new(
        u128::from_be_bytes(context.trace_id().to_bytes()),
        u64::from_be_bytes(context.span_id().to_bytes()),
        context.is_sampled(),
    )
}
