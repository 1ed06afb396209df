//! Takes traces in, and keeps the newest.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use otlp_embedded::{
    Config, State, StateRef, TraceService, TraceServiceImpl,
    proto::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
};
use tonic::{Request, Response, Status};

/// Traces that are kept; those that had no span for the longest time go first.
/// With its usual twenty spans a trace takes 60 KiB.
const MAX_TRACES: u32 = 5_000;
/// Spans of one trace that are kept, the first. Nobody reads more, and a sender
/// that gives all its requests one trace would fill the memory.
const MAX_SPANS: u32 = 200;

/// The collector behind OTLP.
///
/// The store is bounded by the number of traces and of their spans, and not by
/// its own measure of bytes: otlp-embedded 0.0.2 adds a trace to that whenever a
/// span comes, and takes nothing off when one goes (it measures the reference).
/// So, however little is kept, the store comes to its limit after some minutes,
/// and then throws away each trace that it takes in.
pub(super) struct Collector {
    store: TraceServiceImpl,
    spans: Mutex<SpanCounts>,
}

impl Collector {
    /// One, and what it keeps.
    pub(super) fn new() -> (Self, StateRef) {
        Self::keeping(MAX_TRACES)
    }

    fn keeping(traces: u32) -> (Self, StateRef) {
        let state = State::new(Config { max_length: traces, max_memory_usage: usize::MAX });
        let spans =
            Mutex::new(SpanCounts { traces: traces as usize, by_trace: HashMap::new(), order: VecDeque::new() });
        (Self { store: TraceServiceImpl::new(state.clone()), spans }, state)
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        mut request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        {
            let mut counts = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
            let resources = request.get_mut().resource_spans.iter_mut();
            for scope in resources.flat_map(|resource| &mut resource.scope_spans) {
                scope.spans.retain(|span| counts.admit(&span.trace_id));
            }
        }
        self.store.export(request).await
    }
}

/// How many spans the latest traces have.
struct SpanCounts {
    /// Traces that are remembered.
    traces: usize,
    by_trace: HashMap<Vec<u8>, u32>,
    /// The traces by when they came.
    order: VecDeque<Vec<u8>>,
}

impl SpanCounts {
    /// Whether there is room for one more span of the trace.
    fn admit(&mut self, trace: &[u8]) -> bool {
        if let Some(spans) = self.by_trace.get_mut(trace) {
            *spans = spans.saturating_add(1);
            return *spans <= MAX_SPANS;
        }
        if self.order.len() >= self.traces
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_trace.remove(&oldest);
        }
        self.order.push_back(trace.to_owned());
        self.by_trace.insert(trace.to_owned(), 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use otlp_embedded::proto::trace::v1::{ResourceSpans, ScopeSpans, Span};

    use super::*;

    fn trace(number: u32) -> Vec<u8> {
        u128::from(number + 1).to_be_bytes().to_vec()
    }

    /// Takes in spans of a trace, of 16 KiB each.
    async fn take_in(collector: &Collector, number: u32, spans: u32) {
        let span = |id: u32| Span {
            trace_id: trace(number),
            span_id: u64::from(id + 1).to_be_bytes().to_vec(),
            name: "x".repeat(16 << 10),
            ..Span::default()
        };
        let scope = ScopeSpans { spans: (0..spans).map(span).collect(), ..ScopeSpans::default() };
        let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
        let request = ExportTraceServiceRequest { resource_spans: vec![resource] };
        collector.export(Request::new(request)).await.expect("it takes them in");
    }

    /// Of 3 MiB in all; by the store's own measure, of more than 300.
    #[tokio::test]
    async fn traces_are_kept_however_many_spans_came_before() {
        let (collector, state) = Collector::new();
        take_in(&collector, 0, MAX_SPANS).await;
        take_in(&collector, 1, 1).await;
        let mut state = state.write().await;
        assert!([0, 1].into_iter().all(|number| state.get_by_id(&trace(number)).is_some()));
    }

    #[tokio::test]
    async fn the_newest_traces_are_kept_and_none_beyond_a_size() {
        let (collector, state) = Collector::keeping(10);
        for number in 0..15 {
            take_in(&collector, number, 1).await;
        }
        let kept = async |number| state.write().await.get_by_id(&trace(number)).is_some();
        assert_eq!(state.read().await.len(), 10);
        assert!(!kept(4).await && kept(5).await && kept(14).await);

        take_in(&collector, 15, 3 * MAX_SPANS).await;
        let whole = state.write().await.get_by_id(&trace(15)).expect("kept").to_jaeger_batch();
        assert_eq!(whole["data"][0]["spans"].as_array().map(Vec::len), Some(MAX_SPANS as usize));
        assert_eq!(collector.spans.lock().expect("a lock").by_trace.len(), 10);
    }
}
