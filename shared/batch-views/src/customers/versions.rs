//! What is told of a customer, as versions.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use tidemill_contracts::{ToldContacts, standard_email, standard_phone};
use tidemill_domain::Timestamp;

/// What an event tells of its customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ToldCustomer {
    pub(super) customer: String,
    pub(super) time: Timestamp,
    /// Partition, sequence and index.
    pub(super) place: (i32, i64, i32),
    /// The country that counts for the event.
    pub(super) country: Option<String>,
    pub(super) email: Option<String>,
    pub(super) phone: Option<String>,
    pub(super) has_address: Option<bool>,
    /// The customer's record, as JSON.
    pub(super) profile: Option<String>,
}

/// What is known of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct KnownCustomer {
    pub(super) country: Option<String>,
    pub(super) contacts: ToldContacts,
    pub(super) profile: Option<String>,
}

/// What was known for some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CustomerVersion {
    pub(super) customer: String,
    pub(super) valid_from: Timestamp,
    pub(super) valid_to: Option<Timestamp>,
    pub(super) known: KnownCustomer,
    /// Of the event that told it.
    pub(super) place: (i32, i64, i32),
}

/// Takes what is told, in the order of customer, time and log, and gives versions when they are
/// complete.
#[derive(Debug)]
pub(super) struct CustomerVersions<'q> {
    /// The attribute of a record that is the country.
    country: &'q str,
    /// What holds before the instant.
    open: Option<CustomerVersion>,
    /// What the events of one time have told so far: of one time, what is later in the log holds.
    instant: Option<CustomerVersion>,
}

impl<'q> CustomerVersions<'q> {
    pub(super) const fn new(country: &'q str) -> Self {
        Self { country, open: None, instant: None }
    }

    /// Takes what an event tells; answers the versions that are complete by that.
    pub(super) fn add(&mut self, told: &ToldCustomer) -> Vec<CustomerVersion> {
        let mut complete = Vec::new();
        let is_same = |at: &CustomerVersion| at.customer == told.customer && at.valid_from == told.time;
        let mut instant = match self.instant.take_if(|at| is_same(at)) {
            Some(instant) => instant,
            None => {
                complete.extend(self.settle());
                complete.extend(self.open.take_if(|open| open.customer != told.customer));
                let known = self.open.as_ref().map(|open| open.known.clone()).unwrap_or_default();
                let (customer, valid_from) = (told.customer.clone(), told.time);
                CustomerVersion { customer, valid_from, valid_to: None, known, place: told.place }
            }
        };
        if instant.known.learn(told, self.country) {
            instant.place = told.place;
        }
        self.instant = Some(instant);
        complete
    }

    /// The versions that are left.
    pub(super) fn end(mut self) -> Vec<CustomerVersion> {
        let complete = self.settle();
        complete.into_iter().chain(self.open).collect()
    }

    /// Puts an instant behind what holds; answers what holds no more.
    fn settle(&mut self) -> Option<CustomerVersion> {
        let instant = self.instant.take()?;
        match self.open.take() {
            Some(open) if open.known == instant.known && open.customer == instant.customer => {
                self.open = Some(open);
                None
            }
            Some(open) => {
                let valid_to = Some(instant.valid_from);
                self.open = Some(instant);
                Some(CustomerVersion { valid_to, ..open })
            }
            None => {
                self.open = Some(instant);
                None
            }
        }
    }
}

impl KnownCustomer {
    /// Learns what an event tells; answers whether that is news. What it does not tell stays.
    fn learn(&mut self, told: &ToldCustomer, country: &str) -> bool {
        let before = self.clone();
        if told.profile.is_some() && told.profile != self.profile {
            self.profile.clone_from(&told.profile);
            self.learn_profile(told, country);
        }
        let contacts = &mut self.contacts;
        contacts.email = told.email.clone().or(contacts.email.take());
        contacts.phone = told.phone.clone().or(contacts.phone.take());
        contacts.has_address = told.has_address.or(contacts.has_address);
        *self != before
    }

    fn learn_profile(&mut self, told: &ToldCustomer, country: &str) {
        let profile = told.profile.as_deref().unwrap_or_default();
        let attributes: BTreeMap<String, String> = serde_json::from_str(profile).unwrap_or_default();
        // A record's country goes first, so that of the event is this one in its standard form.
        let has_country = attributes.get(country).is_some_and(|country| !country.trim().is_empty());
        self.country = told.country.clone().filter(|_| has_country);
        let contacts = &mut self.contacts;
        let email = attributes.get("email").and_then(|email| standard_email(email));
        let phone = attributes.get("phone").and_then(|phone| standard_phone(phone, self.country.as_deref()));
        contacts.email = email.or(contacts.email.take());
        contacts.phone = phone.or(contacts.phone.take());
        let has_address = attributes.get("address").is_some_and(|address| !address.trim().is_empty());
        contacts.has_address = has_address.then_some(true).or(contacts.has_address);
    }
}
