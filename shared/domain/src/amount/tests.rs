use bigdecimal::{BigDecimal, RoundingMode};
use proptest::prelude::*;

use super::*;

fn read(text: &str) -> (String, bool) {
    let read = Amount::read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    (read.amount.to_string(), read.rounded)
}

#[test]
fn reads_every_spelling_exactly() {
    for (text, told) in [
        ("0", "0.00"),
        ("-0.0", "0.00"),
        ("0e999999999999", "0.00"),
        ("2.55", "2.55"),
        ("0.001", "0.001"),
        ("-80995", "-80995.00"),
        ("1e3", "1000.00"),
        ("1.5E-3", "0.0015"),
        ("12.500000000000000", "12.50"),
        ("0.000000000001", "0.000000000001"),
        ("99999999999999.99", "99999999999999.99"),
        ("123456789012345.654321", "123456789012345.654321"),
        (" 12.50\t", "12.50"),
        ("+5", "5.00"),
        (".5", "0.50"),
        ("5.", "5.00"),
    ] {
        assert_eq!(read(text), (told.to_owned(), false), "{text}");
    }
}

#[test]
fn the_noise_of_a_binary_float_is_the_decimal_that_was_meant() {
    for (text, told) in [
        ("0.30000000000000004", "0.30"),
        ("29.949999999999999", "29.95"),
        ("0.7999999999999999", "0.80"),
        ("123456.78000000001", "123456.78"),
        ("-434.99999999999994", "-435.00"),
        ("1.0000000000000001e-5", "0.00001"),
        ("1.1102230246251565e-16", "0.00"),
        ("999999.99999999999", "1000000.00"),
        // The difference of 100 and 99.9.
        ("0.09999999999999432", "0.10"),
        // All digits of the float.
        ("0.1000000000000000055511151231257827021181583404541015625", "0.10"),
        ("-19.989999999999998436805981327779591083526611328125", "-19.99"),
        // A float of 32 bits that was widened.
        ("29.950000762939453", "29.95"),
        ("-0.100000001490116119384765625", "-0.10"),
    ] {
        assert_eq!(read(text), (told.into(), false), "{text}");
    }
}

#[test]
fn what_may_be_meant_is_no_noise() {
    for (text, told) in [
        ("123.456789012345", ("123.456789012345", false)),
        ("1234567890.123456", ("1234567890.123456", false)),
        ("0.000000150001", ("0.000000150001", false)),
        ("33.333333333333336", ("33.333333333333", true)),
        ("1.234567890123456e-7", ("0.000000123457", true)),
    ] {
        assert_eq!(read(text), (told.0.into(), told.1), "{text}");
    }
}

#[test]
fn what_has_more_decimals_than_twelve_is_rounded_once_and_says_so() {
    assert_eq!(read("0.0000000000005"), ("0.00".into(), true), "half to even, down");
    assert_eq!(read("0.0000000000015"), ("0.000000000002".into(), true), "half to even, up");
    assert_eq!(read("-0.0000000000015"), ("-0.000000000002".into(), true));
    assert_eq!(read("1e-400"), ("0.00".into(), true));
    // 0.0000004 and 0.0000004 rounded one by one to seven decimals would stay.
    let product = Amount::product(["0.00000004", "0.00004"]).expect("fits");
    assert_eq!((product.amount.to_string(), product.rounded), ("0.000000000002".into(), true));
}

#[test]
fn refuses_what_is_no_number_or_too_large() {
    for text in ["", " ", ".", "-", "e5", "1e", "NaN", "Infinity", "1,5", "--1", "+-1", "0x10", "1.2.3", "1_000", "٣"]
    {
        assert_eq!(Amount::read(text), Err(AmountError::Malformed), "{text}");
    }
    for text in ["1e15", "-1000000000000000", "1e400", "1e99999999999999999999", "9999999999999999999999999"] {
        assert_eq!(Amount::read(text), Err(AmountError::TooLarge), "{text}");
    }
    assert_eq!(Amount::read(&"9".repeat(100)), Err(AmountError::Malformed));
    assert_eq!(Amount::product(["999999999999999", "999999999999999"]), Err(AmountError::TooLarge));
    assert_eq!(Amount::product(["2", "none"]), Err(AmountError::Malformed));
}

#[test]
fn factors_may_be_large_where_the_product_is_not() {
    let product = Amount::product(["123456789012345.654321", "0.000000000001", "123456789012345.654321", "1e-9"]);
    // 123456789012345.654321^2 is 15241578753238897...; the truth is in the property below.
    assert!(product.is_ok_and(|product| product.rounded));
}

fn decimal() -> impl Strategy<Value = String> {
    // At most six decimals, or at most fifteen digits: nobody takes that for noise.
    let plain = (-999_999_999_999_999_i64..=999_999_999_999_999, 0_u32..=6);
    let short = (-99_999_999_i64..=99_999_999, 0_u32..=20);
    prop_oneof![plain, short].prop_map(|(digits, scale)| BigDecimal::new(digits.into(), scale.into()).to_plain_string())
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(units in any::<i64>(), factor in 1_i128..1_000_000_000_000) {
        let amount = Amount(i128::from(units) * factor);
        let json = serde_json::to_string(&amount).expect("amounts serialise");
        prop_assert_eq!(serde_json::from_str::<Amount>(&json).expect("and read back"), amount);
    }

    #[test]
    fn a_plain_number_is_read_as_any_is(text in "-?[0-9]{0,9}(\\.[0-9]{0,14})?|[-+0-9.e ]{0,6}") {
        prop_assert_eq!(Amount::read(&text), Amount::product([text.as_str()]));
    }

    #[test]
    fn a_product_is_that_of_big_decimals_rounded_once(factors in prop::collection::vec(decimal(), 1..=4)) {
        let exact: BigDecimal = factors.iter().fold(BigDecimal::from(1), |product, text| product * text.parse::<BigDecimal>().expect("a decimal"));
        let rounded = exact.with_scale_round(12, RoundingMode::HalfEven);
        match Amount::product(factors.iter().map(String::as_str)) {
            Ok(read) => {
                let told: BigDecimal = read.amount.to_string().parse().expect("a decimal");
                prop_assert_eq!(&told, &rounded);
                prop_assert_eq!(read.rounded, rounded != exact);
            }
            Err(error) => {
                prop_assert_eq!(error, AmountError::TooLarge);
                prop_assert!(rounded.abs() >= 1_000_000_000_000_000_i64, "{} is not too large", rounded);
            }
        }
    }

    #[test]
    fn a_price_that_was_computed_with_is_still_a_price(cents in -1_000_000_000_i64..1_000_000_000, n in 1_i32..1000) {
        let price = cents as f64 / 100.0;
        let computed = price * f64::from(n) / f64::from(n) + 0.1 - 0.1;
        let exact = Amount::from_micros(i128::from(cents) * 10_000);
        for text in [computed.to_string(), format!("{computed:.16e}"), serde_json::json!(computed).to_string()] {
            prop_assert_eq!(Amount::read(&text), Ok(ReadAmount { amount: exact, rounded: false }), "{}", text);
        }
    }
}
