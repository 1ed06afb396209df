use super::*;
use crate::shop::ShopDefinition;

fn line(data: &str) -> String {
    format!(r#"{{"id":"1","source":"s","type":"t","time":"2026-01-02T03:04:05Z","subject":"C-7","data":{data}}}"#)
}

fn look_ups<'a>(members: &EventMembers, line: &'a str) -> LookUps<'a> {
    members.look_ups(&serde_json::from_str(line).expect("an event"), &mut ReadMembers::default())
}

fn built_in() -> EventMembers {
    ShopDefinition::load(None).expect("parses").events
}

#[test]
fn products_are_found_in_every_form_of_event() {
    let members = built_in();
    for (data, products) in [
        (
            r#"{"items":[{"product_id":"a"},{"quantity":1},{"product_id":7},"x",null]}"#,
            vec![Some("a"), None, Some("7"), None, None],
        ),
        (r#"{"items":[{"stock_code":"a","product_id":null},["a"]]}"#, vec![Some("a"), None]),
        (r#"{"items":[]}"#, vec![]),
        (r#"{"items":[],"product_id":"a"}"#, vec![]),
        (r#"{"items":{"product_id":"a"},"product_id":"b"}"#, vec![Some("b")]),
        (r#"{"product_id":"caf\u00e9","stock_code":"c"}"#, vec![Some("café")]),
        (r#"{"stock_code":"85123A"}"#, vec![Some("85123A")]),
        (r#"{"sku":"s-1"}"#, vec![Some("s-1")]),
        (r#"{"items":[{"sku":"s-1"},{"sku":"s-1","product_id":"p"}]}"#, vec![Some("s-1"), Some("p")]),
        (r#"{"product_id":["a"]}"#, vec![]),
        (r#"{"product_id":"a","product_id":"a"}"#, vec![]),
        (r#"{"other":1,"other":2,"product_id":"a"}"#, vec![Some("a")]),
        (r#"["a",{"product_id":"b"}]"#, vec![]),
        (r#""text""#, vec![]),
        ("null", vec![]),
        ("{}", vec![]),
    ] {
        let line = line(data);
        let found = look_ups(&members, &line);
        assert_eq!(found.products().collect::<Vec<_>>(), products, "{data}");
        assert_eq!(found.customer.as_deref(), Some("C-7"), "{data}");
    }
    let many = line(&format!(r#"{{"items":[{}1]}}"#, "0,".repeat(9999)));
    assert_eq!(look_ups(&members, &many).products().count(), MAX_ITEMS);
}

#[test]
fn the_country_is_of_the_event_or_its_bill() {
    for (data, country) in [
        (r#"{"country":"EIRE","billing_country":"DE"}"#, Some("EIRE")),
        (r#"{"country":null,"billing_country":"DE"}"#, Some("DE")),
        (r#"{"country":{"code":"DE"}}"#, None),
    ] {
        assert_eq!(look_ups(&built_in(), &line(data)).country.as_deref(), country, "{data}");
    }
}

#[test]
fn an_event_is_about_what_its_key_says() {
    let data = |path: &str| MemberPath::Data(path.split('.').map(String::from).collect());
    let members = built_in().with_business_keys(BTreeMap::from([
        ("t".into(), vec![data("order_id")]),
        ("u".into(), vec![MemberPath::Source, MemberPath::Subject, data("a.b")]),
    ]));
    let key = |kind: &str, data: &str| {
        let line = line(data).replacen("\"t\"", &format!("{kind:?}"), 1);
        look_ups(&members, &line).business.map(|texts| texts.join("|"))
    };
    for (kind, data, expected) in [
        ("t", r#"{"order_id":"1001"}"#, Some("1001")),
        ("t", r#"{"order_id":1001}"#, Some("1001")),
        ("t", r#"{"order_id":""}"#, None),
        ("t", r#"{"order_id":null}"#, None),
        ("t", r#"{"order_id":["1001"]}"#, None),
        ("t", r#"{"other":"1001"}"#, None),
        ("u", r#"{"a":{"b":7}}"#, Some("s|C-7|7")),
        ("u", r#"{"a":{}}"#, None),
        ("v", r#"{"order_id":"1001"}"#, None),
    ] {
        assert_eq!(key(kind, data).as_deref(), expected, "{kind} {data}");
    }
}

#[test]
fn another_shop_calls_things_otherwise() {
    let names = |path: &str| path.split('.').map(String::from).collect::<Vec<_>>();
    let members = EventMembers::new(
        vec![MemberPath::Data(names("basket.lines"))],
        vec![MemberPath::Item(names("article.no")), MemberPath::Data(names("article.no"))],
        vec![MemberPath::Data(names("buyer.id")), MemberPath::Subject],
        vec![],
        vec![],
    );
    for (data, products, customer) in [
        (
            r#"{"basket":{"lines":[{"article":{"no":1}},{"product_id":"a"}]},"country":"DE"}"#,
            vec![Some("1"), None],
            "C-7",
        ),
        (r#"{"article":{"no":"x"},"buyer":{"id":8}}"#, vec![Some("x")], "8"),
        (r#"{"article":"x","buyer":[8]}"#, vec![], "C-7"),
    ] {
        let line = line(data);
        let found = look_ups(&members, &line);
        assert_eq!(found.products().collect::<Vec<_>>(), products, "{data}");
        assert_eq!((found.customer.as_deref(), found.country.as_deref()), (Some(customer), None), "{data}");
    }
}

#[test]
fn the_currency_is_three_letters_in_any_case() {
    let eur = NamedCurrency::Code(Currency::EUR);
    let jpy = NamedCurrency::Code("JPY".parse().expect("a currency"));
    let built_in = built_in();
    for (data, currency) in [
        (r#"{"currency":"EUR"}"#, eur),
        (r#"{"currency":" jpy "}"#, jpy),
        (r#"{"currency":"yen"}"#, NamedCurrency::Code("YEN".parse().expect("three letters"))),
        (r#"{"currency":"euro"}"#, NamedCurrency::Unknown),
        (r#"{"currency":"\u20ac"}"#, NamedCurrency::Unknown),
        (r#"{"currency":978}"#, NamedCurrency::Unknown),
        (r#"{"currency":["EUR"]}"#, NamedCurrency::Unknown),
        (r#"{"currency":null}"#, NamedCurrency::Absent),
        (r#"{"currency":" "}"#, NamedCurrency::Absent),
        ("{}", NamedCurrency::Absent),
        ("null", NamedCurrency::Absent),
    ] {
        assert_eq!(look_ups(&built_in, &line(data)).currency, currency, "{data}");
    }
    let of = |name: &str| MemberPath::Data(vec![name.into()]);
    let two = EventMembers::new(vec![], vec![], vec![], vec![], vec![of("a"), of("b")]);
    for (data, currency) in [
        (r#"{"a":"JPY","b":"EUR"}"#, jpy),
        (r#"{"a":"??","b":"EUR"}"#, eur),
        (r#"{"a":"??","b":null}"#, NamedCurrency::Unknown),
    ] {
        assert_eq!(look_ups(&two, &line(data)).currency, currency, "{data}");
    }
}
