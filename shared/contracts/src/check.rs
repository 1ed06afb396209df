//! What a rule asks of an event. The common questions are answered without CEL.

use tidemill_definitions::{Condition, Field};
use tidemill_domain::Amount;
use tidemill_events::QualityFlag;

use crate::{currencies, event::JudgedEvent, standard::is_email};

const DAY: i64 = 24 * 3_600_000;

/// A question to an event.
#[derive(Debug, Clone)]
pub enum RuleCheck {
    /// It can be read: what cannot is told apart before any rule is asked.
    Readable,
    /// There is more than blanks in a field.
    Present(Field),
    /// What is in a field is an e-mail address.
    Email(Field),
    /// What is in a field is one of these.
    OneOf(Field, Vec<String>),
    /// What is in a field is a number from the one to the other.
    Range(Field, Option<Amount>, Option<Amount>),
    /// Reference data have all its products.
    KnownProduct,
    /// Its country is known.
    KnownCountry,
    /// Reference data have its customer.
    KnownCustomer,
    /// Its currency is one of ISO 4217.
    KnownCurrency,
    /// Enrichment did not set this flag.
    Without(QualityFlag),
    /// It happened in the time that is plausible for when it came.
    PlausibleTime(PlausibleTime),
    /// A condition in CEL holds.
    Condition(Condition),
}

/// Which time of an event is plausible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlausibleTime {
    /// Days that it may be older than when it came, unless it is history.
    pub(crate) past_days: u32,
    /// Seconds that it may be ahead.
    pub(crate) ahead_seconds: u32,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckOutcome {
    /// It is so.
    Holds,
    /// It is not so.
    Fails,
    /// The event has nothing of the kind.
    DoesNotApply,
}

impl CheckOutcome {
    const fn of(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }

    fn of_told(holds: Option<bool>) -> Self {
        holds.map_or(Self::DoesNotApply, Self::of)
    }
}

impl RuleCheck {
    /// Asks.
    pub fn ask(&self, judged: &JudgedEvent<'_, '_>) -> CheckOutcome {
        let flags = judged.enrichment().quality;
        let known = |flag, is_told: bool| match flags.has(flag) {
            true => CheckOutcome::Fails,
            false if is_told => CheckOutcome::Holds,
            false => CheckOutcome::DoesNotApply,
        };
        match self {
            Self::Readable => CheckOutcome::Holds,
            Self::Present(field) => CheckOutcome::of(judged.has(field)),
            Self::Email(field) => CheckOutcome::of_told(judged.text(field).map(|text| is_email(text.trim()))),
            Self::OneOf(field, values) => {
                let is_one = |text: &str| values.iter().any(|value| value == text);
                CheckOutcome::of_told(judged.text(field).map(|text| is_one(&text)))
            }
            Self::Range(field, least, most) => {
                let fits =
                    |text: &str| text.trim().parse::<Amount>().is_ok_and(|amount| is_within(amount, *least, *most));
                CheckOutcome::of_told(judged.text(field).map(|text| fits(&text)))
            }
            Self::KnownProduct => known(QualityFlag::ProductUnknown, !judged.enrichment().items.is_empty()),
            Self::KnownCountry => known(QualityFlag::CountryUnknown, judged.enrichment().country.is_some()),
            Self::KnownCustomer => known(QualityFlag::CustomerUnknown, judged.event().subject.is_some()),
            Self::KnownCurrency => match (flags.has(QualityFlag::CurrencyUnknown), &judged.enrichment().currency) {
                (true, _) => CheckOutcome::Fails,
                (false, currency) => {
                    CheckOutcome::of_told(currency.as_ref().map(|currency| currencies::is_known(currency.as_str())))
                }
            },
            Self::Without(flag) => CheckOutcome::of(!flags.has(*flag)),
            Self::PlausibleTime(plausible) => CheckOutcome::of(plausible.is_of(judged)),
            Self::Condition(condition) => CheckOutcome::of(judged.meets(condition)),
        }
    }

    /// Whether it looks into the event's data.
    pub(crate) fn needs_data(&self) -> bool {
        match self {
            Self::Present(field) | Self::Email(field) | Self::OneOf(field, _) | Self::Range(field, ..) => {
                matches!(field, Field::Data(_))
            }
            Self::Condition(condition) => condition.variables().contains("data"),
            Self::Readable
            | Self::KnownProduct
            | Self::KnownCountry
            | Self::KnownCustomer
            | Self::KnownCurrency
            | Self::Without(_)
            | Self::PlausibleTime(_) => false,
        }
    }

    /// JSON Pointer to what it looks at, where that is one member of the event.
    pub(crate) fn pointer(&self) -> Option<String> {
        match self {
            Self::Present(field) | Self::Email(field) | Self::OneOf(field, _) | Self::Range(field, ..) => {
                pointer(field)
            }
            Self::KnownProduct => Some("/data".into()),
            Self::KnownCountry => Some("/enriched/country".into()),
            Self::KnownCustomer => Some("/subject".into()),
            Self::KnownCurrency => Some("/data/currency".into()),
            Self::Without(_) => Some("/enriched/quality".into()),
            Self::PlausibleTime(_) => Some("/time".into()),
            Self::Condition(condition) => condition.variables().contains("data").then(|| "/data".into()),
            Self::Readable => None,
        }
    }
}

impl PlausibleTime {
    fn is_of(self, judged: &JudgedEvent<'_, '_>) -> bool {
        let (time, received) = (judged.event().time, judged.received());
        let is_history = judged.event().backfill.is_some();
        let earliest = received.plus_millis(-i64::from(self.past_days) * DAY);
        let latest = received.plus_millis(i64::from(self.ahead_seconds) * 1000);
        (is_history || time >= earliest) && time <= latest
    }
}

fn is_within(amount: Amount, least: Option<Amount>, most: Option<Amount>) -> bool {
    least.is_none_or(|least| amount >= least) && most.is_none_or(|most| amount <= most)
}

fn pointer(field: &Field) -> Option<String> {
    match field {
        Field::Data(path) => {
            let escaped = path.iter().map(|name| name.replace('~', "~0").replace('/', "~1"));
            Some(format!("/data/{}", escaped.collect::<Vec<_>>().join("/")))
        }
        Field::Subject => Some("/subject".into()),
        Field::Source => Some("/source".into()),
        Field::Type => Some("/type".into()),
        Field::Id => Some("/id".into()),
        Field::Country => Some("/enriched/country".into()),
        Field::Region => Some("/enriched/region".into()),
        Field::IpCountry => Some("/enriched/ip_country".into()),
        Field::Currency => Some("/enriched/currency".into()),
        Field::Customer(name) => Some(format!("/enriched/customer/{name}")),
        Field::Order(_) => Some("/enriched/order".into()),
        Field::Item(_) | Field::Lines | Field::Line(_) | Field::Category | Field::Product(_) => None,
    }
}
