//! 90 days of a shop, as silver has them.

use std::path::Path;

use tidemill_domain::{Amount, Currency, Partition, Timestamp};
use tidemill_events::{Enrichment, ItemFacts, LineFacts, OrderFacts};
use tidemill_lake_tables::{
    AppId, Appender, CompactionGoal, Date, Lake, S3Config, StorageConfig, TablePart, TableProperties, TableRows,
    tables::{SilverEvent, SilverOrderLine},
};

const DAYS: u64 = 90;
const BEGIN: i64 = 1_764_547_200_000;
const PARTITIONS: u64 = 8;
/// Events in a commit.
const COMMIT: u64 = 100_000;
const CATEGORIES: [&str; 10] =
    ["Books", "Games", "Garden", "Kitchen", "Lighting", "Music", "Office", "Paper", "Toys", "Travel"];
const COUNTRIES: [(&str, &str); 5] =
    [("DE", "Europe"), ("FR", "Europe"), ("US", "North America"), ("JP", "Asia"), ("GB", "Europe")];

/// Bits that differ for each number, the same in each run.
fn mixed(n: u64, of: u64) -> u64 {
    let mut bits = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ of.wrapping_mul(0xD1B5_4A32_D192_ED03);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits ^ (bits >> 31)
}

/// An event, and what is known of it.
struct ShopEvent {
    kind: &'static str,
    data: String,
    enrichment: Enrichment,
    partition: u64,
}

fn line(bits: u64, place: u64, is_back: bool) -> (LineFacts, ItemFacts, String) {
    let product = mixed(bits, place) % 3_000;
    let quantity = Amount::from_int(1 + i64::try_from((bits >> 8) % 3).expect("small"));
    let cents = 500 + product * 7 % 9_500;
    let price: Amount = format!("{}.{:02}", cents / 100, cents % 100).parse().expect("an amount");
    let item = ItemFacts {
        category: CATEGORIES[usize::try_from(product % 10).expect("small")].into(),
        product: Default::default(),
    };
    let mut line = LineFacts { product: Some(format!("P-{product}")), ..LineFacts::default() };
    match is_back {
        true => (line.cancelled, line.facts) = (price, Some(item.clone())),
        false => (line.quantity, line.gross) = (quantity, price),
    }
    (line, item, format!(r#"{{"product_id":"P-{product}","quantity":{quantity},"unit_price":"{price}"}}"#))
}

fn event(n: u64) -> ShopEvent {
    let bits = mixed(n, 3);
    let (country, region) = COUNTRIES[usize::try_from(bits % 5).expect("small")];
    let known = Enrichment {
        refdata: 1,
        region: region.into(),
        country: Some(country.into()),
        currency: Some(Currency::EUR),
        ..Enrichment::default()
    };
    let (first, item, text) = line(bits, 0, false);
    let partition = bits >> 50;
    match n % 100 {
        0..85 => {
            let kind = if n % 100 < 60 { "product.viewed" } else { "cart.item_added" };
            ShopEvent { kind, data: text, enrichment: Enrichment { items: vec![item], ..known }, partition }
        }
        place => {
            let is_back = place >= 98;
            let lines: Vec<_> = match is_back {
                true => vec![line(bits, 0, true)],
                false => (1..1 + (bits >> 20) % 3)
                    .map(|place| line(bits, place, false))
                    .chain([(first, item, text)])
                    .collect(),
            };
            let texts: Vec<_> = lines.iter().map(|(_, _, text)| text.as_str()).collect();
            let data = format!(r#"{{"order_id":"o-{n}","items":[{}],"currency":"EUR"}}"#, texts.join(","));
            let enrichment = Enrichment {
                items: lines.iter().filter(|_| !is_back).map(|(_, item, _)| item.clone()).collect(),
                order: Some(OrderFacts { id: format!("o-{n}"), ..OrderFacts::default() }),
                lines: lines.into_iter().map(|(line, _, _)| line).collect(),
                ..known
            };
            let kind = if is_back { "order.cancelled" } else { "order.placed" };
            ShopEvent { kind, data, enrichment, partition: n }
        }
    }
}

struct Commit {
    events: TableRows<SilverEvent<'static>>,
    lines: TableRows<SilverOrderLine<'static>>,
}

impl Commit {
    fn add(&mut self, n: u64, of: u64, raw_seq: i64) {
        let ShopEvent { kind, data, enrichment, partition } = event(n);
        let partition = i32::try_from(partition % PARTITIONS).expect("small");
        let millis = u128::from(n) * u128::from(DAYS * 86_400_000) / u128::from(of);
        let time = Timestamp::saturating_from_millis(BEGIN + i64::try_from(millis).expect("soon"));
        let Date { year, month, .. } = time.into();
        let index = i32::try_from(n % COMMIT).expect("small");
        let (id, customer) = (format!("17c-{n}"), format!("c-{}", mixed(n, 7) % 200_000));
        let enriched = serde_json::to_string(&enrichment).expect("is written");
        let (country, region) = (enrichment.country.as_deref(), Some(&*enrichment.region));
        let currency = Some("EUR");
        self.events.push(&SilverEvent {
            partition,
            raw_seq,
            index,
            id: &id,
            source: "shop",
            r#type: kind,
            subject: Some(&customer),
            time,
            received: time,
            late: false,
            backfill: false,
            customer: Some(&customer),
            country,
            region,
            ip_country: None,
            currency,
            base_currency: None,
            rate: None,
            data: Some(&data),
            enriched: Some(&enriched),
            quality_score: None,
            year,
            month,
            email: None,
            phone: None,
            has_address: None,
            profile: None,
            quality_failed: None,
            warnings: None,
            redrive: None,
        });
        for (place, line) in enrichment.lines.iter().enumerate() {
            let facts = line.facts.as_ref().or_else(|| enrichment.items.get(place));
            self.lines.push(&SilverOrderLine {
                partition,
                raw_seq,
                index,
                line: i32::try_from(place).expect("few"),
                event_id: &id,
                source: "shop",
                r#type: kind,
                subject: Some(&customer),
                time,
                late: false,
                backfill: false,
                order_id: enrichment.order.as_ref().map(|order| &*order.id),
                product: line.product.as_deref(),
                category: facts.map(|facts| &*facts.category),
                country,
                region,
                currency,
                quantity: Some(line.quantity.into()),
                gross: Some(line.gross.into()),
                discount: Some(line.discount.into()),
                revenue: Some(line.revenue().into()),
                refund: Some(line.refund.into()),
                cancelled: Some(line.cancelled.into()),
                net: Some(line.net().into()),
                rounded: false,
                base_currency: None,
                base_gross: None,
                base_discount: None,
                base_revenue: None,
                base_refund: None,
                base_cancelled: None,
                base_net: None,
                year,
                month,
            });
        }
    }
}

/// Writes silver, and puts its files together.
pub(crate) async fn write(folder: &Path, events: u64) -> Lake {
    let lake =
        Lake::open(&StorageConfig { url: folder.display().to_string(), s3: S3Config::default() }).expect("opens");
    let properties = TableProperties {
        owner: "bench".into(),
        checkpoint_interval: 100,
        log_retention_hours: 168,
        deleted_files_hours: 168,
    };
    let table = |definition| lake.table(definition, &properties);
    let mut silver = Appender::new(table(&SilverEvent::TABLE).await.expect("a table"), "raw_seq");
    let mut order_lines = Appender::new(table(&SilverOrderLine::TABLE).await.expect("a table"), "raw_seq");
    let mut commit = Commit { events: TableRows::new().expect("rows"), lines: TableRows::new().expect("rows") };
    for (raw_seq, first) in (1..).zip((0..events).step_by(COMMIT as usize)) {
        (first..(first + COMMIT).min(events)).for_each(|n| commit.add(n, events, raw_seq));
        let part = |table, rows| [TablePart { app: AppId::of(table, Partition::new(0)), reaches: raw_seq, rows }];
        silver.append(&part(&SilverEvent::TABLE, commit.events.take().expect("rows"))).await.expect("appends");
        order_lines.append(&part(&SilverOrderLine::TABLE, commit.lines.take().expect("rows"))).await.expect("appends");
    }
    let goal = CompactionGoal { file_bytes: std::num::NonZeroU64::new(128 << 20).expect("some"), least_files: 2 };
    for definition in [&SilverEvent::TABLE, &SilverOrderLine::TABLE] {
        let mut kept = table(definition).await.expect("a table").kept();
        while kept.compact(goal).await.expect("compacts").rows > 0 {}
    }
    lake
}
