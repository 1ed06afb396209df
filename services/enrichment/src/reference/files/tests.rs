use super::*;

fn read_files(paths: &[PathBuf]) -> Result<Vec<ReferenceFile>, Error> {
    super::read_files(paths, Currency::EUR)
}

#[test]
fn the_sample_file_is_valid() {
    let path = tidemill_testkit::crate_folder().join("reference/products.yaml");
    let files = read_files(&[path]).expect("reads");
    assert_eq!(files[0].records.iter().filter(|r| r.kind == RecordKind::Product).count(), 8);
    assert_eq!(files[0].records[0].attributes["category"], "Books");
}

#[test]
fn files_are_refused_with_file_and_place() {
    let folder = tidemill_testkit::tempdir();
    let read = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("writes");
        read_files(&[path]).map(|mut files| files.remove(0).records).map_err(|e| e.to_string())
    };
    let csv = read("customers-2026.csv", "id,country,segment\n1,Germany,\n2,IE,\"a,b\"\n").expect("reads");
    assert_eq!(
        (csv[0].kind, csv[0].attributes.len(), &*csv[1].attributes["segment"]),
        (RecordKind::Customer, 1, "a,b")
    );
    for (name, text, reason) in [
        ("products.csv", "id,category\n1,Toys\n,Books\n", ":3: /id"),
        ("other.csv", "id\n1\n", "must begin with"),
        ("products.json", "{}", ".yaml or .csv"),
        (
            "a.yaml",
            "customers:\n  - {id: 1}\nproducts:\n  - id: 1\n    tags: x\n  - {category: Books}\n",
            ":6: products 2: /id",
        ),
        ("rates.csv", "id,rate\nUSD,0.92\nEUR,1\n", ":3: /id: is EUR, the shop's base currency"),
        ("g.yaml", "rates:\n  - {id: USD, rate: 1}\n  - {id: EUR, rate: 1}\n", ":3: rates 2: /id: is EUR"),
        ("b.yaml", "product: []\n", ":1: unknown field"),
        ("f.yaml", "products:\n  - id: 1\n  - id: [\n", ":"),
        ("c.yaml", "products: [{id: 1}, {id: 1}]\n", ":1: the product \"1\" is there more than once"),
        ("d.yaml", "products: [{id: 1}, {id: 1, valid_from: '2026-01-01T00:00:00Z'}]\n", "more than once"),
    ] {
        let error = read(name, text).expect_err(name);
        assert!(error.contains(name) && error.contains(reason), "{error}");
    }
    let rates = "id,rate,valid_from\nUSD,0.91,2025-01-01T00:00:00Z\nUSD,0.92,2025-01-02T00:00:00Z\nJPY,0.0062,\n";
    let rates = read("rates.csv", rates).expect("reads");
    assert_eq!((rates.len(), rates[1].kind, &*rates[1].attributes["rate"]), (3, RecordKind::Rate, "0.92"));
    assert_eq!(read("f.yaml", "rates: [{id: USD, rate: 0.92}]\n").expect("reads")[0].kind, RecordKind::Rate);
    let history =
        "products:\n  - {id: 1, valid_from: '2025-01-01T00:00:00Z'}\n  - {id: 1, valid_from: '2026-01-01T00:00:00Z'}\n";
    assert_eq!(read("e.yaml", history).expect("reads").len(), 2);
}

#[test]
fn a_record_has_its_line_and_its_name() {
    let folder = tidemill_testkit::tempdir();
    let read = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("writes");
        read_files(&[path]).expect("reads").remove(0)
    };
    let yaml = read("a.yaml", "countries:\n- {id: DE, region: x}\nproducts:\n  - id: 1\n    a: b\n  - {id: 2}\n");
    assert_eq!(yaml.lines, [Some(4), Some(6), Some(2)], "products come first");
    let csv = read("products.csv", "id,a\n2,x\n1,y\n");
    assert_eq!(csv.lines, [Some(2), Some(3)]);
    assert_eq!(yaml.names().iter().filter(|name| csv.names().contains(name)).count(), 2);
    let dated = read("rates.csv", "id,rate,valid_from\nUSD,1,2025-01-01T00:00:00Z\nUSD,1,2025-01-02T00:00:00Z\n");
    assert_eq!(dated.names().iter().collect::<HashSet<_>>().len(), 2, "each day is one of its own");
}
