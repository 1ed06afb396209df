//! What the shop of the demo took in, which the totals have to say.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;
use serde_json::Value;
use tidemill_domain::Amount;

use crate::client::{Client, ClientError};

/// The sums of one currency, in hundredths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CurrencyTakings {
    pub(super) orders: u64,
    pub(super) gross: u64,
    pub(super) discounts: u64,
    pub(super) refunds: u64,
    pub(super) cancelled: u64,
}

/// By currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Takings(BTreeMap<String, CurrencyTakings>);

#[derive(Deserialize)]
struct SalesTotals {
    rows: Vec<SalesRow>,
}

#[derive(Deserialize)]
struct SalesRow {
    dimensions: BTreeMap<String, String>,
    values: BTreeMap<String, Value>,
}

impl Takings {
    pub(super) fn of(&mut self, currency: &str) -> &mut CurrencyTakings {
        self.0.entry(currency.to_owned()).or_default()
    }

    /// What the suite's totals are.
    pub(super) async fn counted(client: &Client) -> Result<Self, ClientError> {
        let totals: SalesTotals = client.get("/v1/metrics/sales_metrics/totals").await?;
        let mut takings = Self::default();
        for SalesRow { dimensions, values } in totals.rows {
            let currency = dimensions.get("currency").map(String::as_str).unwrap_or_default();
            *takings.of(currency) = CurrencyTakings {
                orders: values.get("orders").and_then(Value::as_u64).unwrap_or_default(),
                gross: hundredths(&values, "gross"),
                discounts: hundredths(&values, "discounts"),
                refunds: hundredths(&values, "refunds"),
                cancelled: hundredths(&values, "cancelled"),
            };
        }
        Ok(takings)
    }
}

/// An amount that has two decimals; any other is none that was played.
fn hundredths(values: &BTreeMap<String, Value>, name: &str) -> u64 {
    let amount = values.get(name).and_then(Value::as_str).and_then(|text| text.parse::<Amount>().ok());
    let text = amount.map(|amount| amount.to_string()).unwrap_or_default();
    match text.split_once('.') {
        Some((whole, decimals)) if decimals.len() == 2 => format!("{whole}{decimals}").parse().unwrap_or(u64::MAX),
        Some(_) => u64::MAX,
        None => text.parse::<u64>().map_or(u64::MAX, |whole| whole.saturating_mul(100)),
    }
}

impl fmt::Display for Takings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (currency, takings)) in self.0.iter().enumerate() {
            let CurrencyTakings { orders, gross, discounts, refunds, cancelled } = *takings;
            let [gross, discounts, refunds, cancelled] = [gross, discounts, refunds, cancelled].map(decimal);
            let separator = if place == 0 { "" } else { "; " };
            write!(
                f,
                "{separator}{currency}: {orders} orders, gross {gross}, discounts {discounts}, refunds {refunds}, \
                 cancelled {cancelled}"
            )?;
        }
        Ok(())
    }
}

/// Hundredths as JSON writes an amount.
pub(super) fn decimal(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_they_are_written() {
        for (text, expected) in [("12.30", 1230), ("0.05", 5), ("7", 700), ("1.005", u64::MAX), ("-1.00", u64::MAX)] {
            let values = BTreeMap::from([("gross".to_owned(), Value::from(text))]);
            assert_eq!(hundredths(&values, "gross"), expected, "{text}");
        }
        assert_eq!(decimal(1205), "12.05");
    }
}
