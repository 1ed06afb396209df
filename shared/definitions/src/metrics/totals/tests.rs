use crate::{Metrics, Window};

const THERE: &str = "name: orders\ntypes: [order.placed]\nwindow: {tumbling: 1m}\ndimensions: {region: region}\n\
                     measures:\n  placed: {count: rows}\n  spent: {sum: order.net}\n";
const HERE: &str = "name: lines\ntypes: [order.placed]\neach: lines\nwindow: {tumbling: 1h}\n\
                    dimensions: {category: category, region: region}\nmeasures:\n  \
                    orders: {distinct: order.id, within: partition, repeats_over: [category], total: orders.placed}\n";

/// A folder of two metrics.
fn load(here: &str, there: &str) -> Result<Metrics, String> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [("here.yaml", here), ("there.yaml", there)] {
        std::fs::write(folder.path().join(name), text).expect("writes");
    }
    let error = |error: crate::DefinitionError| error.to_string().replace(&format!("{}/", folder.path().display()), "");
    Metrics::load(Some(folder.path())).map_err(error)
}

#[test]
fn a_total_is_where_its_definition_says() {
    let metrics = load(HERE, THERE).expect("is right");
    let orders = &metrics.get("lines").expect("it").measures["orders"];
    assert_eq!(orders.total.as_ref().map(ToString::to_string).as_deref(), Some("orders.placed"));
    assert_eq!(metrics.get("orders").map(|there| there.window), Some(Window::Tumbling { size_millis: 60_000 }));
}

#[test]
fn a_total_that_is_not_there_is_refused() {
    let place = |place: &str| HERE.replace("orders.placed}", &format!("{place}}}"));
    for (here, there, why) in [
        (place("order.placed"), THERE.to_owned(), "there is no metric `order`"),
        (place("orders.cancelled"), THERE.to_owned(), "metric `orders` has no measure `cancelled`"),
        (place("orders.spent"), THERE.to_owned(), "`spent` is no count of rows"),
        (HERE.to_owned(), THERE.replace("1m", "1d"), "windows of `orders` do not make up those of `lines`"),
        (HERE.to_owned(), THERE.replace("1m", "7m"), "windows of `orders` do not make up"),
        (HERE.to_owned(), THERE.replace("tumbling: 1m", "sliding: {size: 2m, step: 1m}"), "both must be tumbling"),
        (HERE.to_owned(), THERE.replace("region: region", "region: country"), "dimension `region` is another field"),
    ] {
        let error = load(&here, &there).expect_err(why);
        assert!(error.starts_with("here.yaml:7: metric `lines`: `total: ") && error.contains(why), "{error}");
    }
}
