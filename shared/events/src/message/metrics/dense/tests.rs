use proptest::{collection::vec, prelude::*};
use tidemill_domain::{Amount, Currency, Partition, Timestamp};
use tidemill_totals::{Converted, Measure, MeasureTotal, Totals};

use crate::{
    CellGroup, CellUpdate, Message, MetricsUpdate,
    codec::{DecodeError, Encoded, JSON, name},
};

fn update(cells: Vec<CellUpdate>) -> MetricsUpdate {
    MetricsUpdate {
        partition: Partition::new(1),
        raw_seq: 9,
        raw_prev: 4,
        part: 0,
        as_of: Timestamp::EPOCH,
        watermark: None,
        idle: false,
        cells,
        books: Vec::new(),
        redriven: Vec::new(),
        counting: Vec::new(),
        trace: None,
    }
}

/// A message with this body, as a writer of this version leaves it.
fn message(version: u32, body: &str) -> Encoded {
    let encoded = Encoded::new(crate::topology::metrics(Partition::new(1)), "m".into());
    encoded.header(name::VERSION, version).body(JSON, body.to_owned().into())
}

fn read(encoded: &Encoded) -> Result<Vec<CellUpdate>, DecodeError> {
    MetricsUpdate::decode(encoded, encoded.payload.clone()).map(|update| update.cells)
}

fn body(cells: &str) -> String {
    format!(
        r#"{{"partition":1,"raw_seq":9,"part":0,"as_of":"1970-01-01T00:00:00Z","watermark":null,"idle":false,"cells":{cells},"books":[],"trace":null}}"#
    )
}

/// Of a few metrics; now and then the totals of one have not the shape that they
/// have in its other cells.
fn cell() -> impl Strategy<Value = CellUpdate> {
    let amount = any::<i64>().prop_map(|n| Amount::from_micros(i128::from(n)));
    let measure = prop_oneof![
        3 => any::<u64>().prop_map(Measure::Count),
        3 => amount.clone().prop_map(Measure::Sum),
        1 => prop::option::of(amount).prop_map(Measure::Min),
    ];
    let total = (measure, any::<bool>(), 0_u64..3).prop_map(|(measure, is_converted, unread)| {
        let converted = is_converted.then_some(Converted { base: Currency::EUR, rows: 3, state: None });
        MeasureTotal { unread, converted, ..measure.into() }
    });
    let values = vec(prop_oneof!["[ab]{0,2}", ".{0,9}"], 0..4);
    let times = (any::<i64>(), any::<i64>());
    let remarks = (prop::option::weighted(0.2, any::<u64>()), prop::bool::weighted(0.2));
    (0..3_usize, values, times, vec(total, 0..4), remarks).prop_map(|(metric, values, times, totals, remarks)| {
        let names = ["a", "b", "c", "d"].map(str::to_owned);
        let (start, end) = times;
        CellUpdate {
            group: CellGroup::new(&format!("m{metric}"), "0123456789ab", names.into_iter().zip(values)),
            start: Timestamp::saturating_from_millis(start),
            end: Timestamp::saturating_from_millis(end),
            totals: Totals(totals),
            exemplar: remarks.0.and_then(|n| crate::TraceParent::new(u128::from(n) + 1, 7, true)),
            retracted: remarks.1,
        }
    })
}

proptest! {
    #[test]
    fn cells_come_back_in_both_versions(cells in vec(cell(), 0..20)) {
        let told = update(cells);
        let dense = told.encode().expect("is written");
        prop_assert_eq!(&MetricsUpdate::decode(&dense, dense.payload.clone()).expect("and is read"), &told);
        let first = message(1, &body(&serde_json::to_string(&told.cells).expect("are JSON")));
        prop_assert_eq!(&read(&first).expect("is read"), &told.cells);
    }
}

#[test]
fn cells_stand_in_tables() {
    let group = |region| CellGroup::new("sales", "0123456789ab", [("region", region), ("category", "Books")]);
    let cell = |region| CellUpdate {
        group: group(region),
        start: Timestamp::saturating_from_millis(60_000),
        end: Timestamp::saturating_from_millis(120_000),
        totals: Totals::of([Measure::Count(3), Measure::Sum(Amount::from_int(7))]),
        exemplar: None,
        retracted: false,
    };
    let told = update(vec![cell("Asia"), CellUpdate { retracted: true, ..cell("Europe") }]);
    let text = serde_json::to_string(&told).expect("is JSON");
    let cells = r#"{"metrics":[{"metric":"sales","version":"0123456789ab","dimensions":["category","region"],"states":["count","sum"]}],"texts":["Books","Asia","Europe"],"cells":[[0,60000,60000,[0,1],[3,"7.00"]],[0,60000,60000,[0,2],[3,"7.00"],{"retracted":true}]]}"#;
    assert_eq!(text, body(cells));
    // Version 1, as a release before this one has written it.
    let object = |region: &str, more: &str| {
        format!(
            r#"{{"metric":"sales","version":"0123456789ab","start":"1970-01-01T00:01:00Z","end":"1970-01-01T00:02:00Z","dimensions":{{"category":"Books","region":"{region}"}},"totals":[{{"kind":"count","state":3}},{{"kind":"sum","state":"7.00"}}]{more}}}"#
        )
    };
    let first = body(&format!("[{},{}]", object("Asia", ""), object("Europe", r#","retracted":true"#)));
    assert_eq!(read(&message(1, &first)).expect("is read"), told.cells);
}

#[test]
fn what_refers_to_nothing_is_refused() {
    let tables = |cells: &str| {
        let metric = r#"{"metric":"m","version":"0123456789ab","dimensions":["a"],"states":["count"]}"#;
        message(2, &body(&format!(r#"{{"metrics":[{metric}],"texts":["x"],"cells":[{cells}]}}"#)))
    };
    assert_eq!(read(&tables("[0,0,1,[0],[3]],[0,0,1,[0],[3],{}]")).expect("is right").len(), 2);
    for cell in ["[1,0,1,[0],[3]]", "[0,0,1,[1],[3]]", "[0,0,1,[],[3]]", "[0,0,1,[0,0],[3]]", "[0,0,1,[0]]", "[-1]"] {
        assert!(matches!(read(&tables(cell)), Err(DecodeError::Body(_))), "{cell}");
    }
    let unsorted =
        r#"{"metrics":[{"metric":"m","version":"v","dimensions":["b","a"],"states":[]}],"texts":[],"cells":[]}"#;
    for cells in [unsorted, r#"{"cells":[],"metrics":[],"texts":[]}"#, r#"{"metrics":[],"texts":[]}"#, "3"] {
        assert!(matches!(read(&message(2, &body(cells))), Err(DecodeError::Body(_))), "{cells}");
    }
    assert!(matches!(read(&message(3, &body("[]"))), Err(DecodeError::Version(_))));
}
