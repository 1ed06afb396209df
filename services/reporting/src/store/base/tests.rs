use tidemill_domain::{Amount, BaseAmount, ReadAmount};
use tidemill_events::{CellGroup, MetricsUpdate};
use tidemill_totals::Measure;

use super::*;
use crate::{
    store::testing::{checks, fold},
    testing::{at, sales, update},
};

checks![the_newest_data_has_the_base_currency];

/// A cell of a minute, whose revenue is in this base currency.
fn converted(raw_seq: u64, minute: i64, base: Option<&str>) -> MetricsUpdate {
    let mut update = update(0, raw_seq);
    update.cells.truncate(1);
    let cell = &mut update.cells[0];
    (cell.start, cell.end) = (at(minute * 60_000), at((minute + 1) * 60_000));
    cell.group = CellGroup::new("sales_metrics", &sales().version, [("category", format!("of {raw_seq}"))]);
    let mut revenue = MeasureTotal::from(Measure::Sum(Amount::ZERO));
    let amount = ReadAmount { amount: Amount::from_int(1), rounded: false };
    let base = base.map(|base| BaseAmount { base: base.parse().expect("a currency"), converted: None });
    revenue.add_money(amount, base);
    let at = sales().measures.iter().position(|measure| measure.money).expect("money");
    cell.totals.0[at] = revenue;
    update
}

async fn the_newest_data_has_the_base_currency(store: &Store) {
    let newest = async || store.newest_base(&sales()).await.expect("answers").map(|base| base.to_string());
    assert_eq!(newest().await, None);
    fold(store, &[converted(1, 5, Some("EUR"))]).await;
    assert_eq!(newest().await.as_deref(), Some("EUR"));
    fold(store, &[converted(2, 6, Some("USD")), converted(3, 7, None)]).await;
    assert_eq!(newest().await.as_deref(), Some("USD"), "the last window has none");
    fold(store, &[converted(4, 6, Some("EUR"))]).await;
    assert_eq!(newest().await.as_deref(), Some("EUR"), "it was counted last");
    let none = Metric { measures: sales().measures.into_iter().filter(|measure| !measure.money).collect(), ..sales() };
    assert_eq!(store.newest_base(&none).await.expect("answers"), None, "without money");
}
