//! The lake beside a running suite: nothing is lost and nothing is there twice,
//! whatever happens to it.

#[path = "lake/away.rs"]
mod away;
#[path = "lake/batch_views.rs"]
mod batch_views;
#[path = "lake/columns.rs"]
mod columns;
#[path = "lake/common.rs"]
mod common;
#[path = "lake/contracts.rs"]
mod contracts;
#[path = "../../../tests/e2e/generated.rs"]
mod generated;
#[path = "lake/lineage.rs"]
mod lineage;
#[path = "lake/once.rs"]
mod once;
#[path = "lake/openlineage.rs"]
mod openlineage;
#[path = "lake/others.rs"]
mod others;
#[path = "lake/profiles.rs"]
mod profiles;
#[path = "lake/quality.rs"]
mod quality;
#[path = "lake/rebuild.rs"]
mod rebuild;
#[path = "lake/reference.rs"]
mod reference;
#[path = "lake/replayed.rs"]
mod replayed;
#[path = "lake/retail.rs"]
mod retail;
#[path = "lake/s3.rs"]
mod s3;
#[path = "../../../tests/e2e/settings_page.rs"]
mod settings_page;
#[path = "lake/slow_rules.rs"]
mod slow_rules;
#[path = "lake/sql.rs"]
mod sql;
#[path = "lake/tables_page.rs"]
mod tables_page;
