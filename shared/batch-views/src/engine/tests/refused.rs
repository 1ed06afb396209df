//! What is refused before it takes memory or time, and how errors are told.

use super::*;

async fn error(engine: &Arc<SqlEngine>, sql: &str) -> SqlError {
    engine.query(sql, None).await.expect_err(sql)
}

#[tokio::test]
async fn an_error_is_no_longer_than_people_read() {
    let lake = TestLake::new().await;
    let engine = lake.engine(SqlLimits::default());
    let error = error(&engine, "select cast(repeat('a', 1000000) as int)").await;
    assert_eq!(error.code(), Code::SqlFailed, "{error:.200}");
    assert!(error.to_string().len() < 2100, "{}", error.to_string().len());
}

/// Relations that are joined one after another.
fn joined(relations: usize) -> String {
    let names: Vec<_> = (0..relations).map(|n| format!("silver.orders t{n}")).collect();
    format!("select count(*) as n from {}", names.join(" cross join "))
}

#[tokio::test]
async fn a_question_has_at_most_so_many_relations_and_grouping_sets() {
    let lake = TestLake::new().await;
    let engine = lake.engine(SqlLimits::default());
    let doubled: Vec<_> =
        (1..7).map(|n| format!("c{n} as (select a.* from c{0} a cross join c{0} b)", n - 1)).collect();
    let doubled = format!("with c0 as (select 1 as x), {} select count(*) from c6", doubled.join(", "));
    let nested: Vec<_> = (0..17).map(|n| format!("(select count(*) from silver.orders) as n{n}")).collect();
    let values: Vec<_> = (0..17).map(|n| format!("(values (1)) t{n}")).collect();
    for sql in [
        joined(30),
        joined(17),
        format!("explain {}", joined(17)),
        format!("select {}", nested.join(", ")),
        format!("select 1 from {}", values.join(", ")),
        doubled,
        vec!["select 1"; 17].join(" union all "),
    ] {
        let error = error(&engine, &sql).await;
        assert!(matches!(error, SqlError::TooManyRelations(_)), "{sql:.200}: {error}");
    }
    let columns: Vec<_> = (0..17).map(|n| format!("raw_seq + {n}")).collect();
    for (sets, ok) in [
        (format!("cube({})", columns[..7].join(", ")), false),
        (format!("cube({}), cube({})", columns[..4].join(", "), columns[4..8].join(", ")), false),
        (format!("rollup({})", columns.join(", ")), false),
        (format!("grouping sets ({})", vec!["(raw_seq)"; 65].join(", ")), false),
        (format!("cube({})", columns[..6].join(", ")), true),
        (format!("rollup({})", columns[..16].join(", ")), true),
    ] {
        let sql = format!("select count(*) as n from silver.orders group by {sets}");
        match engine.query(&sql, None).await {
            Ok(_) => assert!(ok, "{sql}"),
            Err(error) => assert!(!ok && matches!(error, SqlError::TooManyGroupingSets(_)), "{sql}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_chain_is_as_long_as_a_stack_is_deep() {
    let lake = TestLake::new().await;
    let engine = lake.engine(SqlLimits::default());
    let chain = |terms: usize, sign: &str| format!("select {}", vec!["1"; terms].join(sign));
    let most = bounds::MAX_OPERATORS - 10;
    for sql in [chain(most, "+"), chain(most, " + ").replace("select 1", "select raw_seq") + " from silver.orders"] {
        assert!(csv(&engine, &sql, None).await.is_ok(), "{sql:.60}");
    }
    let listed: Vec<_> = (0..5_000).map(|n| n.to_string()).collect();
    let sql = format!("select count(*) as n from silver.orders where raw_seq in ({})", listed.join(","));
    assert!(csv(&engine, &sql, None).await.is_ok());
    let casts = format!("select 1{}", "::int".repeat(10_000));
    let all = chain(30_000, "+");
    for sql in [all, chain(8_000, " or "), vec!["select 1"; 4_000].join(" union "), casts] {
        let error = error(&engine, &sql).await;
        assert!(matches!(error, SqlError::TooManyOperators(_)), "{sql:.60}: {error}");
    }
}

#[tokio::test]
async fn the_most_relations_are_planned() {
    let lake = TestLake::new().await;
    let engine = lake.engine(SqlLimits::default());
    let sql = joined(bounds::MAX_RELATIONS) + " where t0.raw_seq < 0";
    assert_eq!(csv(&engine, &sql, None).await.as_deref(), Ok("n\n0\n"));
}

#[tokio::test]
async fn who_only_waited_is_told_that_the_engine_is_busy() {
    let lake = TestLake::new().await;
    let engine = lake.engine(SqlLimits { seconds: 1, at_once: 1, ..SqlLimits::default() });
    let place = Arc::clone(&engine.places).acquire_owned().await.expect("a place");
    assert_eq!(error(&engine, "select 1").await.code(), Code::Busy);
    drop(place);
    assert!(csv(&engine, "select 1", None).await.is_ok());
}

#[tokio::test]
async fn a_damaged_table_is_named_with_what_is_wrong_and_without_its_place() {
    let lake = TestLake::new().await;
    let engine = lake.engine(SqlLimits::default());
    let orders = lake.folder.path().join("silver/orders");
    let files = std::fs::read_dir(&orders).expect("a folder").map(|file| file.expect("a file").path());
    let file = files.into_iter().find(|file| file.extension().is_some_and(|kind| kind == "parquet")).expect("a file");
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    let place = lake.folder.path().display().to_string();
    std::fs::remove_file(&file).expect("is removed");
    let error = error(&engine, "select sum(net) from silver.orders").await;
    let text = error.to_string();
    assert_eq!(error.code(), Code::LakeDamaged, "{text}");
    assert!(text.starts_with("silver.orders is damaged: ") && text.contains(&name), "{text}");
    assert!(!text.contains(&place) && !text.contains('/'), "{text}");
}

#[tokio::test]
async fn a_panic_is_told_without_its_text() {
    let lake = TestLake::new().await;
    let engine = lake.engine(SqlLimits::default());
    let error = engine.run::<()>(async { panic!("the secret") }).await;
    let error = error.expect_err("it panics");
    assert_eq!(error.code(), Code::SqlFailed);
    assert!(!error.to_string().contains("secret"), "{error}");
}
