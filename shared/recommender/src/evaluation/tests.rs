//! Files of sessions, and a run over a small one.

use proptest::prelude::*;

use super::{
    ItemNumbers, ModelFigures, SessionColumns, SessionFile, SessionFileError, evaluate, plot, plot::COLOURS,
    split_last_days,
};
use crate::settings::RecommenderSettings;

/// A file of these rows.
fn file(rows: &[String], items: &mut ItemNumbers) -> SessionFile {
    let text = format!("session,item,time\n{}", rows.concat());
    SessionFile::read(text.as_bytes(), &SessionColumns::default(), items).expect("reads")
}

fn read(text: &str) -> Result<(SessionFile, ItemNumbers), SessionFileError> {
    let mut items = ItemNumbers::default();
    let file = SessionFile::read(text.as_bytes(), &SessionColumns::default(), &mut items)?;
    Ok((file, items))
}

/// The sessions as items and milliseconds.
fn rows(text: &str) -> Vec<Vec<(String, i64)>> {
    let (file, items) = read(text).expect(text);
    let of_visit = |visit: &super::Visit| {
        visit.events.iter().map(|event| (items.name(event.item).to_owned(), event.at.millis())).collect()
    };
    file.visits.iter().map(of_visit).collect()
}

#[test]
fn files_are_read_whatever_separates_and_however_columns_are_called() {
    let expected = vec![vec![("a".to_owned(), 1_500), ("b".to_owned(), 2_000)], vec![("a".to_owned(), 3_000)]];
    for text in [
        "SessionId\tItemId\tTime\n1\tb\t2.0\n1\ta\t1.5\n2\ta\t3\n",
        "session_id,item_id,timestamp\n1,b,2\n1,a,1.5\n2,a,3.0\n",
        "\u{feff}Time;Session;More;Item\r\n2;1;;b\r\n1.5;1;;a\r\n3;2;x;a\r\n",
        "sessionid,itemid,ts\n1,b,1970-01-01 00:00:02\n1,a,1970-01-01T00:00:01.5\n2,a,1970-01-01 00:00:03\n",
        "sessionid,itemid,ts\n1,\"b\",1970-01-01T00:00:02Z\n1,a,1970-01-01T00:00:01.5Z\n2,a,1970-01-01T01:00:03+01:00\n",
    ] {
        assert_eq!(rows(text), expected, "{text}");
    }
    // Milliseconds, and quotes that are no quotes between tabs.
    assert_eq!(rows("session\titem\ttime\nx\t\"a\t1700000000123\n"), [[("\"a".to_owned(), 1_700_000_000_123)]]);
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_the_line() {
    for (text, expected) in [
        ("", "there are no rows"),
        (
            "session,time\n",
            "line 1: no column for the item: the header has session, time; expected itemid or item, or another by \
             --item-column",
        ),
        ("session,item,time\n", "there are no rows"),
        ("session,item,time\n1,a,1\n1,a\n", "line 3: it has 2 columns, and the header 3"),
        ("session,item,time\n1,a,1\n1,,2\n", "line 3: item \"\" is missing"),
        (
            "session,item,Item_id,time\n",
            "line 1: 2 columns may be the item: rename all but one, or name it by --item-column",
        ),
    ] {
        assert_eq!(read(text).expect_err(text).to_string(), expected);
    }
    for time in ["noon", "NaN", "-5", "12/1/2010 8:26", "2010-12-01", "2010-12-01 8"] {
        let error = read(&format!("session,item,time\n1,a,{time}\n")).expect_err(time).to_string();
        assert!(error.starts_with(&format!("line 2: time \"{time}\" is neither seconds since 1970")), "{error}");
    }
    assert_eq!(rows("session,item,time\n1,a,2010-12-01 08:26\n"), [[("a".to_owned(), 1_291_191_960_000)]]);
    let latin = SessionFile::read(
        &b"session,item,time\n1,a,1\n1,caf\xe9,1\n"[..],
        &SessionColumns::default(),
        &mut ItemNumbers::default(),
    );
    assert_eq!(latin.expect_err("not UTF-8").to_string(), "line 3: it is not UTF-8");
}

#[test]
fn columns_can_be_named() {
    let columns = SessionColumns {
        session: Some("InvoiceNo".to_owned()),
        item: Some("StockCode".to_owned()),
        time: Some("When".to_owned()),
    };
    let text = "InvoiceNo,StockCode,When,session\n536365,85123A,1,x\n";
    let mut items = ItemNumbers::default();
    let file = SessionFile::read(text.as_bytes(), &columns, &mut items).expect("reads");
    assert_eq!((file.visits.len(), items.name(0)), (1, "85123A"));
}

/// Sessions that go from one item to the next, in two families: strings lead to
/// guitars, and pens to paper.
fn families(days: u32) -> SessionFile {
    let mut text = "session,item,time\n".to_owned();
    for day in 0..days {
        for (number, family) in [["strings", "guitar", "capo"], ["pen", "paper", "ink"]].iter().enumerate() {
            for (place, item) in family.iter().enumerate() {
                text += &format!("{day}-{number},{item},{}\n", day * 86_400 + number as u32 * 600 + place as u32);
            }
        }
    }
    read(&text).expect("reads").0
}

#[test]
fn a_run_tells_how_good_each_model_is() {
    let (train, test) = split_last_days(families(30), 2);
    assert_eq!((train.visits.len(), test.visits.len()), (56, 4));
    let mut items = ItemNumbers::default();
    for item in ["strings", "guitar", "capo", "pen", "paper", "ink"] {
        items.number(item);
    }
    let mut told = 0;
    let report =
        evaluate(&train.visits, &test.visits, &items, &RecommenderSettings::default(), || told += 1).expect("valid");
    assert_eq!((report.cases, report.sessions, report.train_sessions, report.train_events, told), (8, 4, 56, 168, 32));
    let names: Vec<&str> = report.models.iter().map(|model| model.name).collect();
    assert_eq!(names, ["nearest sessions", "popularity", "item-knn", "association rules"]);
    let [nearest, popularity, ..] = report.models[..] else { panic!("{report:?}") };
    // Of its own family two items are left, or one. Nobody goes back to the first.
    assert_eq!((nearest.figures.hit_rate, nearest.figures.coverage), (1.0, 4.0 / 6.0));
    assert!(nearest.figures.reciprocal_rank > 0.7, "{nearest:?}");
    assert!(nearest.figures.reciprocal_rank > popularity.figures.reciprocal_rank, "{popularity:?}");
    let object = serde_json::to_value(report.object(1.5)).expect("serialises");
    for name in ["hr@20", "mrr@20", "ndcg@20", "coverage@20", "popularity@20", "seconds"] {
        assert!(object[name].is_f64(), "{name} in {object}");
    }
    assert_eq!((&object["cases"], &object["protocol"]), (&8.into(), &"session-rec".into()));
    assert_eq!(object["baselines"][0]["name"], "popularity");
    let picture = plot(&report, "<a&b>.csv");
    assert!(picture.contains(">8 cases of &lt;a&amp;b&gt;.csv</text>"), "{picture}");
    assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"), "{picture}");
    assert_eq!(picture.matches("text-anchor").count(), 5 * 4 + 5);
    assert_eq!(COLOURS.iter().filter(|colour| picture.matches(*colour).count() == 1 + 5).count(), 4);
}

/// Many items are as good as each other, and several sessions have rows at the same time.
fn tied_rows() -> Vec<String> {
    (0..120).map(|n| format!("s{},i{},{}\n", n % 31, n * n % 41, n / 4)).collect()
}

/// What each model finds, of rows in this order.
fn figures(rows: &[String]) -> Vec<(&'static str, ModelFigures)> {
    let (mut items, test): (_, Vec<String>) =
        (ItemNumbers::default(), (0..9).map(|n| format!("t{},i{},{n}\n", n % 3, n * 5 % 11)).collect());
    let (train, test) = (file(rows, &mut items), file(&test, &mut items));
    let settings = RecommenderSettings::default();
    let report = evaluate(&train.visits, &test.visits, &items, &settings, || ()).expect("valid");
    report.models.iter().map(|model| (model.name, model.figures)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_of_rows_changes_no_figure(
        rows in Just(tied_rows()).prop_shuffle(),
    ) {
        prop_assert_eq!(figures(&rows), figures(&tied_rows()));
    }
}
