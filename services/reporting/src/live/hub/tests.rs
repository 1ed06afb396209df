use futures::{FutureExt, StreamExt};

use super::*;

fn hub(clients: u16) -> Arc<Hub> {
    Hub::new(clients, NonZeroU32::MIN, "e-1".into(), CancellationToken::new())
}

/// What is ready now, as it goes over the wire.
async fn ready(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Vec<String> {
    let body = axum::response::IntoResponse::into_response(axum::response::Sse::new(events)).into_body();
    let mut parts = body.into_data_stream();
    let mut texts = Vec::new();
    while let Some(Some(Ok(part))) = parts.next().now_or_never() {
        texts.push(String::from_utf8(part.to_vec()).expect("text").trim().replace('\n', "|"));
    }
    texts
}

#[tokio::test]
async fn a_new_client_sees_what_comes_from_now_on() {
    let hub = hub(2);
    hub.send("books", &1);
    let mut events = Box::pin(hub.subscribe(None, None).expect("a place"));
    let _position = events.next().await.expect("its position").expect("an event");
    hub.send("books", &2);
    assert_eq!(ready(events).await, ["event: books|data: 2|id: e-1-2"]);
}

#[tokio::test]
async fn a_client_resumes_after_the_last_event_it_saw() {
    let hub = hub(2);
    (0..3).for_each(|n| hub.send("books", &n));
    let resumed = ready(hub.subscribe(None, Some("e-1-1")).expect("a place")).await;
    assert_eq!(resumed, ["event: books|data: 1|id: e-1-2", "event: books|data: 2|id: e-1-3"]);
    for id in ["e-2-1", "e-1-99", "nonsense", "", "e-1-x"] {
        let events = ready(hub.subscribe(None, Some(id)).expect("a place")).await;
        assert_eq!(events, ["event: reset|data: {}|id: e-1-3"], "{id}");
    }
}

#[tokio::test]
async fn who_is_slower_than_the_ring_is_reset() {
    let hub = hub(1);
    let events = hub.subscribe(None, Some("e-1-0")).expect("a place");
    (0..=FRAMES).for_each(|n| hub.send("books", &n));
    assert_eq!(ready(events).await, [format!("event: reset|data: {{}}|id: e-1-{}", FRAMES + 1)]);
    let large = "x".repeat(BYTES / 2);
    (0..4).for_each(|_| hub.send("books", &large));
    assert!(hub.ring().bytes <= BYTES);
}

#[tokio::test]
async fn a_reset_reaches_who_is_away() {
    let hub = hub(1);
    hub.send("books", &0);
    hub.reset();
    assert!(ready(hub.subscribe(None, Some("e-1-1")).expect("a place")).await[0].starts_with("event: reset"));
}

#[tokio::test]
async fn places_are_bounded_and_given_back() {
    let hub = hub(1);
    assert!(!hub.is_watched());
    let first = hub.subscribe(None, None).expect("a place");
    assert!(matches!(hub.subscribe(None, None).err(), Some(Error::TooManyClients(1))));
    assert_eq!((hub.clients(), hub.is_watched()), (1, true));
    drop(first);
    let _again = hub.subscribe(None, None).expect("the place was given back");
}

#[tokio::test]
async fn one_client_has_its_share_and_leaves_the_rest() {
    let hub = hub(2);
    let [one, two] = ["192.0.2.1", "192.0.2.2"].map(|a| ClientKey::of(a.parse().expect("an address"), &[]));
    let first = hub.subscribe(one, None).expect("a place");
    assert!(matches!(hub.subscribe(one, None).err(), Some(Error::TooManyOfOne(_))));
    let second = hub.subscribe(two, None).expect("a place for another");
    assert!(matches!(hub.subscribe(None, None).err(), Some(Error::TooManyClients(2))));
    drop((first, second));
    let _again = hub.subscribe(one, None).expect("the share was given back");
}

#[tokio::test]
async fn the_stream_ends_on_shutdown() {
    let hub = hub(1);
    let events = hub.subscribe(None, Some("e-1-0")).expect("a place");
    hub.shutdown.cancel();
    assert_eq!(events.count().await, 0);
}
