use serde_json::json;

use super::*;

fn event(attributes: Value) -> Result<NormalisedEvent, Error> {
    let Value::Object(attributes) = attributes else { panic!("an object") };
    let clientip = Some([192, 0, 2, 1].into());
    let (now, new_id) = (Timestamp::EPOCH, || "new".into());
    let defaults = Defaults { now, new_id, clientip, backfill: None, redriven: None };
    normalise(Envelope { attributes, data: Some(json!({"n": 1.50})) }, &defaults)
}

fn line(attributes: Value) -> String {
    serde_json::to_string(&event(attributes).expect("valid")).expect("serialises")
}

#[test]
fn what_is_missing_is_filled_in() {
    assert_eq!(
        line(json!({"source": "shop", "type": "a.b", "time": null})),
        r#"{"specversion":"1.0","id":"new","source":"shop","type":"a.b","time":"1970-01-01T00:00:00Z","clientip":"192.0.2.1","data":{"n":1.5}}"#
    );
}

#[test]
fn what_came_is_kept() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let written = line(json!({
        "specversion": "1.0", "id": "1", "source": "shop", "type": "a.b", "time": "2100-02-03T04:05:06.789+01:00",
        "subject": "c-1", "partitionkey": "p", "traceparent": trace, "clientip": "2001:db8::1",
        "datacontenttype": "application/json", "tenant": "x", "priority": 3, "test": true,
    }));
    let expected = json!({
        "specversion": "1.0", "id": "1", "source": "shop", "type": "a.b", "time": "2100-02-03T03:05:06.789Z",
        "subject": "c-1", "partitionkey": "p", "traceparent": trace, "clientip": "2001:db8::1",
        "datacontenttype": "application/json", "tenant": "x", "priority": 3, "test": true, "data": {"n": 1.5},
    });
    assert_eq!(serde_json::from_str::<Value>(&written).expect("JSON"), expected);
}

#[test]
fn a_partition_key_is_the_nearest_that_is_given() {
    let key = |more: Value| {
        let mut attributes = json!({"source": "shop", "type": "a"});
        attributes.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        event(attributes).expect("valid").partition_key().to_owned()
    };
    assert_eq!(key(json!({})), "shop");
    assert_eq!(key(json!({"subject": "c"})), "c");
    assert_eq!(key(json!({"subject": "c", "partitionkey": "p"})), "p");
}

#[test]
fn what_identifies_something_may_be_a_number() {
    let numbers = json!({"specversion": 1.0, "id": 7, "source": 12, "type": "a", "subject": 42, "partitionkey": -1});
    let expected = json!({"specversion": "1.0", "id": "7", "source": "12", "type": "a", "time": "1970-01-01T00:00:00Z",
        "subject": "42", "partitionkey": "-1", "clientip": "192.0.2.1", "data": {"n": 1.5}});
    assert_eq!(serde_json::from_str::<Value>(&line(numbers)).expect("JSON"), expected);
    for (name, value) in [("id", json!(1.5)), ("type", json!(3)), ("time", json!(0)), ("specversion", json!(1))] {
        let mut attributes = json!({"source": "s", "type": "a"});
        attributes[name] = value;
        assert_eq!(event(attributes).expect_err(name).pointer(), Some(&*format!("/{name}")));
    }
}

#[test]
fn an_address_that_cannot_be_read_is_left_out_and_said() {
    let told = |clientip: Value| {
        let line: Value =
            serde_json::from_str(&line(json!({"source": "s", "type": "a", "clientip": clientip}))).expect("JSON");
        (line["clientip"].clone(), line["unread"].clone())
    };
    assert_eq!(told(json!("203.0.113.1:80, 10.0.0.1")), (json!("203.0.113.1"), Value::Null));
    for unread in [json!("here"), json!(3), json!(["203.0.113.1"])] {
        assert_eq!(told(unread), (json!("192.0.2.1"), json!("clientip")), "it is the connection's then");
    }
    for unsaid in [json!(""), Value::Null] {
        assert_eq!(told(unsaid), (json!("192.0.2.1"), Value::Null));
    }
}

#[test]
fn a_time_of_a_wrong_clock_is_put_right_and_kept() {
    // It is 1970 here.
    let times = |time: &str, sent_at: Value| {
        let attributes = json!({"source": "s", "type": "a", "time": time, "sentat": sent_at, "devicetime": "mine"});
        let line: Value = serde_json::from_str(&line(attributes)).expect("JSON");
        assert_eq!(line.get("sentat"), None);
        [line["time"].clone(), line["devicetime"].clone()]
    };
    let wrong = times("2000-01-01T00:00:00+01:00", json!("2000-01-01T00:00:04+01:00"));
    assert_eq!(wrong, ["1969-12-31T23:59:56Z", "1999-12-31T23:00:00Z"]);
    for right in [json!("1970-01-01T00:00:30Z"), json!("yesterday"), json!(3), Value::Null, json!({})] {
        assert_eq!(times("1969-12-31T23:59:59Z", right), ["1969-12-31T23:59:59Z", "mine"]);
    }
    let timeless = line(json!({"source": "s", "type": "a", "sentat": "2000-01-01T00:00:00Z"}));
    assert!(timeless.contains(r#""time":"1970-01-01T00:00:00Z""#) && !timeless.contains("devicetime"), "{timeless}");
}

#[test]
fn an_unreadable_trace_is_left_out() {
    for unreadable in [json!("00-0"), json!(3)] {
        let event = event(json!({"source": "shop", "type": "a", "traceparent": unreadable})).expect("valid");
        assert_eq!(event.traceparent, None);
    }
}

#[test]
fn everything_wrong_is_told_at_once() {
    let wrong = event(json!({
        "specversion": "0.3", "id": true, "type": "a b", "time": "yesterday", "subject": "",
        "clientip": "here", "userId": "x", "enriched": {}, "redriven": "x", "backfill": "", "nested": {}, "float": 1.5,
    }));
    let Err(Error::InvalidEvent(errors)) = wrong else { panic!("{wrong:?}") };
    let pointers: Vec<&str> = errors.iter().map(|e| e.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/specversion",
            "/id",
            "/source",
            "/type",
            "/time",
            "/subject",
            "/backfill",
            "/userId",
            "/enriched",
            "/redriven",
            "/nested",
            "/float"
        ]
    );
    assert_eq!(errors[1].detail, "must be a string");
    assert_eq!(errors[2].detail, "is required");
}
