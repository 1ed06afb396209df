//! The files that come with the lake.

/// How good events and customers are.
pub(crate) const QUALITY: (&str, &str) = ("quality.yaml", include_str!("../../../services/lake/quality.yaml"));

/// A file that comes with the lake: its name and its text.
macro_rules! shipped {
    ($($name:literal,)+) => {
        /// A contract for each table.
        pub(crate) const SHIPPED: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../services/lake/contracts/", $name))),)+];
    };
}

shipped! {
    "bronze.events.yaml",
    "bronze.rejected.yaml",
    "gold.conversion.yaml",
    "gold.customer_lifetime_value.yaml",
    "gold.daily_country.yaml",
    "gold.daily_metrics.yaml",
    "gold.daily_sales.yaml",
    "gold.order_metrics.yaml",
    "gold.product_views.yaml",
    "gold.quality.yaml",
    "gold.recommendation_metrics.yaml",
    "gold.recommendation_quality.yaml",
    "gold.recommended_sales.yaml",
    "gold.sales_metrics.yaml",
    "gold.tidemill_check.yaml",
    "silver.customers.yaml",
    "silver.events.yaml",
    "silver.order_lines.yaml",
    "silver.orders.yaml",
    "silver.quarantine.yaml",
}
