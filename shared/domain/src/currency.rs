//! Currencies, and amounts that were converted.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Amount, ReadAmount, text};

/// A currency's code as ISO 4217 writes it: three letters in upper case.
///
/// Which codes are in use is not checked: a shop may take what is no money of
/// any state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String", inline, extend("pattern" = "^[A-Z]{3}$", "examples" = ["EUR", "JPY"]))]
pub struct Currency([u8; 3]);

/// A text is no currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the three letters of a currency, such as EUR")]
pub struct CurrencyError;

/// Currencies of which nothing smaller than one is paid (ISO 4217, minor unit 0).
const WHOLE: [&str; 16] =
    ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"];
/// Currencies of a thousand parts (ISO 4217, minor unit 3).
const THOUSANDTHS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

impl Currency {
    /// The euro.
    pub const EUR: Self = Self(*b"EUR");

    /// The code.
    pub fn as_str(&self) -> &str {
        // Only letters of ASCII are ever in it.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// How many decimals its smallest unit has.
    pub fn decimals(self) -> usize {
        let code = self.as_str();
        match (WHOLE.contains(&code), THOUSANDTHS.contains(&code)) {
            (true, _) => 0,
            (false, true) => 3,
            (false, false) => 2,
        }
    }

    /// An amount as people read it, with its code: at least the decimals of the
    /// currency, and more where the amount has them (`1500 JPY`, `0.750 KWD`).
    pub fn show(self, amount: Amount) -> String {
        let text = amount.to_string();
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let digits = format!("{:0<1$}", fraction.trim_end_matches('0'), self.decimals());
        let point = if digits.is_empty() { "" } else { "." };
        format!("{whole}{point}{digits} {self}")
    }

    /// As [`show`](Self::show), rounded to the currency's smallest unit: for what was
    /// converted, whose further digits nobody pays.
    pub fn show_rounded(self, amount: Amount) -> String {
        self.show(amount.rounded_to(u32::try_from(self.decimals()).unwrap_or(u32::MAX)))
    }
}

impl FromStr for Currency {
    type Err = CurrencyError;

    /// In whichever case it is written.
    fn from_str(text: &str) -> Result<Self, CurrencyError> {
        let mut code = <[u8; 3]>::try_from(text.as_bytes()).map_err(|_| CurrencyError)?;
        if !code.iter().all(u8::is_ascii_alphabetic) {
            return Err(CurrencyError);
        }
        code.make_ascii_uppercase();
        Ok(Self(code))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::read(deserializer, |text| text.trim().parse())
    }
}

/// An amount in the shop's base currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseAmount {
    /// The base currency.
    pub base: Currency,
    /// What another currency's amount is converted to; `None` of an amount that
    /// is in the base currency as it is.
    pub converted: Option<ReadAmount>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_three_letters_in_any_case() {
        for text in ["EUR", "eur", "Eur"] {
            assert_eq!(text.parse(), Ok(Currency::EUR));
        }
        for wrong in ["", "EU", "EURO", "E R", "€", "978", "ÉU", "ẞx"] {
            assert_eq!(wrong.parse::<Currency>(), Err(CurrencyError), "{wrong}");
        }
        let json = serde_json::to_string(&Currency::EUR).expect("is JSON");
        assert_eq!((json.as_str(), serde_json::from_str(&json).ok()), ("\"EUR\"", Some(Currency::EUR)));
    }

    #[test]
    fn an_amount_has_the_decimals_of_its_currency_and_loses_none() {
        for (amount, code, shown) in [
            ("15000", "JPY", "15000 JPY"),
            ("-15000.5", "JPY", "-15000.5 JPY"),
            ("20", "EUR", "20.00 EUR"),
            ("92.0245", "EUR", "92.0245 EUR"),
            ("0.75", "KWD", "0.750 KWD"),
            ("1", "TND", "1.000 TND"),
        ] {
            let currency: Currency = code.parse().expect(code);
            assert_eq!(currency.show(amount.parse().expect(amount)), shown);
        }
    }

    #[test]
    fn what_was_converted_is_shown_in_whole_units_of_its_currency() {
        for (amount, code, shown) in [
            ("29981.9871", "EUR", "29981.99 EUR"),
            ("-0.005", "EUR", "0.00 EUR"),
            ("0.015", "EUR", "0.02 EUR"),
            ("20", "EUR", "20.00 EUR"),
            ("1499.5", "JPY", "1500 JPY"),
            ("0.7504", "KWD", "0.750 KWD"),
            ("999999999999999", "KWD", "999999999999999.000 KWD"),
        ] {
            let currency: Currency = code.parse().expect(code);
            assert_eq!(currency.show_rounded(amount.parse().expect(amount)), shown);
        }
    }
}
