//! Silver: typed, enriched, and without duplicates.

use tidemill_domain::Timestamp;

use crate::{
    decimal::{Money, Rate},
    declare::table,
};

table! {
    /// An event, once.
    SilverEvent<'a> is Silver / "events"
    partitioned by ["year", "month"] clustered by ["type", "customer", "time"] looked up by ["id"]
    {
        /// Partition of the log.
        partition: i32,
        /// Sequence of its batch in `RAW`.
        raw_seq: i64,
        /// Its line in the batch, from 0.
        index: i32,
        /// Identifier, unique within the source.
        id: &'a str,
        /// Who produced it.
        source: &'a str,
        /// What happened.
        r#type: &'a str,
        /// What it is about.
        subject: Option<&'a str>,
        /// When it happened.
        time: Timestamp,
        /// When ingestion took it in.
        received: Timestamp,
        /// It came past the allowed lateness, so no total of the stream has it.
        late: bool,
        /// Its sender marked it as history.
        backfill: bool,
        /// The customer.
        customer: Option<&'a str>,
        /// Country of the customer, ISO 3166-1 alpha-2.
        country: Option<&'a str>,
        /// Sales region of the country.
        region: Option<&'a str>,
        /// Country of the sender's address.
        ip_country: Option<&'a str>,
        /// Currency of its amounts, ISO 4217.
        currency: Option<&'a str>,
        /// The shop's base currency, where the amounts can be converted.
        base_currency: Option<&'a str>,
        /// Units of the base currency for one of `currency`, where they differ.
        rate: Option<Rate>,
        /// Its data, as the JSON that was sent.
        data: Option<&'a str>,
        /// What enrichment knows of it, as JSON.
        enriched: Option<&'a str>,
        /// How good it is, 0 to 1, by the rules of quality.
        quality_score: Option<f64>,
        /// Year of `time`, UTC.
        year: i32,
        /// Month of `time`.
        month: i32,
        /// E-mail address that it tells, without blanks around it and in lower case.
        email: Option<&'a str>,
        /// Telephone number that it tells: E.164 where the country is known, else its digits.
        phone: Option<&'a str>,
        /// Whether it tells an address; null where it does not.
        has_address: Option<bool>,
        /// What reference data say of the customer at that time, as JSON.
        profile: Option<&'a str>,
        /// The parts of the score that do not hold, separated by commas.
        quality_failed: Option<&'a str>,
        /// The rules of its contract that do not hold, separated by commas.
        warnings: Option<&'a str>,
        /// The redrive that took it out of the quarantine.
        redrive: Option<i64>,
    }
}

table! {
    /// A line of an order, as an event places or changes it.
    SilverOrderLine<'a> is Silver / "order_lines"
    partitioned by ["year", "month"] clustered by ["category", "region", "time"] looked up by ["event_id", "order_id"]
    {
        /// Partition of the log.
        partition: i32,
        /// Sequence of the event's batch in `RAW`.
        raw_seq: i64,
        /// The event's line in the batch, from 0.
        index: i32,
        /// The line in the event, from 0.
        line: i32,
        /// The event's identifier.
        event_id: &'a str,
        /// Who produced the event.
        source: &'a str,
        /// What happened.
        r#type: &'a str,
        /// What the event is about.
        subject: Option<&'a str>,
        /// When it happened.
        time: Timestamp,
        /// The event came past the allowed lateness.
        late: bool,
        /// The event was marked as history.
        backfill: bool,
        /// The order.
        order_id: Option<&'a str>,
        /// The product.
        product: Option<&'a str>,
        /// Category of the product.
        category: Option<&'a str>,
        /// Country of the customer.
        country: Option<&'a str>,
        /// Sales region of the country.
        region: Option<&'a str>,
        /// Currency of the amounts.
        currency: Option<&'a str>,
        /// How many were ordered; null, as all amounts are, where one could not be read.
        quantity: Option<Money>,
        /// Their price, before all that is taken off.
        gross: Option<Money>,
        /// What is taken off.
        discount: Option<Money>,
        /// What was to be paid: gross less discount.
        revenue: Option<Money>,
        /// What is given back.
        refund: Option<Money>,
        /// What is not to be paid any more.
        cancelled: Option<Money>,
        /// What is left: revenue less refund and cancelled.
        net: Option<Money>,
        /// An amount had more than twelve decimals and was rounded.
        rounded: bool,
        /// The shop's base currency, where the amounts can be converted.
        base_currency: Option<&'a str>,
        /// `gross` in the base currency, rounded once, as all that follow.
        base_gross: Option<Money>,
        /// `discount` in the base currency.
        base_discount: Option<Money>,
        /// `revenue` in the base currency.
        base_revenue: Option<Money>,
        /// `refund` in the base currency.
        base_refund: Option<Money>,
        /// `cancelled` in the base currency.
        base_cancelled: Option<Money>,
        /// `net` in the base currency.
        base_net: Option<Money>,
        /// Year of `time`, UTC.
        year: i32,
        /// Month of `time`.
        month: i32,
    }
}

table! {
    /// An order, as it stands: a row for each currency of its amounts.
    SilverOrder<'a> is Silver / "orders"
    partitioned by [] clustered by ["first_event"] looked up by ["order_id"]
    {
        /// Partition of the log.
        partition: i32,
        /// The order.
        order_id: &'a str,
        /// When it was placed; null while only changes of it are known.
        placed_at: Option<Timestamp>,
        /// Time of its first event.
        first_event: Timestamp,
        /// Time of its last event.
        last_event: Timestamp,
        /// The customer.
        customer: Option<&'a str>,
        /// Country of the customer.
        country: Option<&'a str>,
        /// Sales region of the country.
        region: Option<&'a str>,
        /// Currency of the amounts.
        currency: Option<&'a str>,
        /// Price of its lines, before all that is taken off.
        gross: Money,
        /// What is taken off.
        discount: Money,
        /// What was to be paid for its lines.
        revenue: Money,
        /// What was given back.
        refund: Money,
        /// What is not to be paid any more.
        cancelled: Money,
        /// What is left.
        net: Money,
        /// Shipping that is paid.
        shipping: Money,
        /// Tax that is told.
        tax: Money,
        /// What refunds come to beyond all that was paid.
        excess: Money,
        /// `placed`, `partly_refunded`, `refunded`, `cancelled`, or `unknown` where its placing is not.
        status: &'a str,
        /// The last batch of `RAW` that is in it.
        raw_seq: i64,
    }
}

table! {
    /// A change of an order, on its way into the orders.
    OrderChange<'a> is Silver / "order_changes"
    partitioned by [] clustered by []
    {
        /// Partition of the log.
        partition: i32,
        /// Sequence of the event's batch in `RAW`.
        raw_seq: i64,
        /// The order.
        order_id: &'a str,
        /// When it happened.
        time: Timestamp,
        /// The same, where it places the order.
        placed_at: Option<Timestamp>,
        /// The customer.
        customer: Option<&'a str>,
        /// Country of the customer.
        country: Option<&'a str>,
        /// Sales region of the country.
        region: Option<&'a str>,
        /// Currency of the amounts.
        currency: Option<&'a str>,
        /// As of the lines that can be read, summed up.
        gross: Money,
        /// Likewise.
        discount: Money,
        /// Likewise.
        revenue: Money,
        /// Likewise.
        refund: Money,
        /// Likewise.
        cancelled: Money,
        /// Likewise.
        net: Money,
        /// Of the order as a whole.
        shipping: Money,
        /// Likewise.
        tax: Money,
        /// Likewise.
        excess: Money,
    }
}

table! {
    /// An event that breaks a rule of its contract, or a line that is no event.
    QuarantinedEvent<'a> is Silver / "quarantine"
    partitioned by [] clustered by ["rule", "type"]
    {
        /// Partition of the log.
        partition: i32,
        /// Sequence of its batch in `RAW`.
        raw_seq: i64,
        /// Its line in the batch, from 0.
        index: i32,
        /// The rule.
        rule: &'a str,
        /// The rule's contract.
        contract: &'a str,
        /// Version of the contract.
        contract_version: &'a str,
        /// JSON Pointer to what is wrong in the event, where that is known.
        pointer: Option<&'a str>,
        /// Identifier, where it can be read.
        id: Option<&'a str>,
        /// Who produced it.
        source: Option<&'a str>,
        /// What happened.
        r#type: Option<&'a str>,
        /// When it happened.
        time: Option<Timestamp>,
        /// When ingestion took it in.
        received: Timestamp,
        /// It came past the allowed lateness.
        late: bool,
        /// The event as enrichment has written it, a line of JSON.
        event: &'a str,
        /// The redrive by which it became a row of silver; null while it is held back.
        redrive: Option<i64>,
    }
}

table! {
    /// What was known of a customer for some time.
    SilverCustomer<'a> is Silver / "customers"
    partitioned by [] clustered by ["customer"]
    {
        /// The customer.
        customer: &'a str,
        /// Time of the first event that tells it.
        valid_from: Timestamp,
        /// Time of the first event that tells something else; null of what holds now.
        valid_to: Option<Timestamp>,
        /// Whether it holds now.
        current: bool,
        /// Country, ISO 3166-1 alpha-2.
        country: Option<&'a str>,
        /// E-mail address, without blanks around it and in lower case.
        email: Option<&'a str>,
        /// Telephone number: E.164 where the country is known, else its digits.
        phone: Option<&'a str>,
        /// Whether an address is known.
        has_address: bool,
        /// What reference data say, as JSON.
        profile: Option<&'a str>,
        /// How good it is, 0 to 1, by the rules of quality.
        quality_score: Option<f64>,
        /// The parts of the score that do not hold, separated by commas.
        quality_failed: Option<&'a str>,
        /// Partition of the log of the event that told it first.
        partition: i32,
        /// Sequence of that event's batch in `RAW`.
        raw_seq: i64,
        /// That event's line in the batch, from 0.
        index: i32,
    }
}
