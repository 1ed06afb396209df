//! Conditions, written in CEL (<https://cel.dev>).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use crate::{
    Field, named, nesting,
    numeric::{self, NumericMembers},
    pattern,
    plan::{ComparisonPlan, Scalar},
};
use cel::{Context, Env, ExecutionError, Program, Value};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest condition, in bytes.
const MAX_BYTES: usize = 4096;

/// CEL's own functions. Making the table takes longer than most conditions.
static FUNCTIONS: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // Its own are left out, so that no name of ours is taken.
    let declared = pattern::declare(&mut env);
    debug_assert!(declared.is_ok(), "{declared:?}");
    Arc::new(env)
});

/// What a condition may look into, of any event.
const ROOTS: [&str; 4] = ["data", "product", "customer", "order"];
/// Names that any event has, but `data`.
pub(crate) const OF_EVENT: &str = "order, product, customer, category, region, country, ip_country, currency, subject, \
    source, type and id";

/// Whether any event has a name, whatever it is split into.
pub(crate) fn is_of_event(name: &str) -> bool {
    ROOTS.contains(&name) || (Field::parse(name).is_ok() && !matches!(name, "item" | "line" | "lines"))
}

/// A compiled condition.
///
/// Whole numbers and fractions compare with each other, so that a condition
/// does not care whether JSON wrote `5` or `5.0`. A number that is written as a
/// text counts like one where the condition takes it for one. Fractions are
/// binary floats in here: a condition decides, it never adds up money.
#[derive(Debug, Clone)]
pub struct Condition {
    text: String,
    program: Arc<Program>,
    variables: BTreeSet<String>,
    /// Of a variable, the members that it names; without an entry it may look at any.
    members: BTreeMap<String, BTreeSet<String>>,
    numbers: NumericMembers,
    plan: Option<Arc<ComparisonPlan>>,
}

impl Condition {
    /// Compiles a condition; the error says what is wrong.
    pub fn compile(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("a condition is at most {MAX_BYTES} bytes long"));
        }
        nesting::check_text(text)?;
        let program = Program::compile(text).map_err(|e| format!("not a CEL expression: {e}"))?;
        nesting::check(program.expression())?;
        pattern::check(program.expression())?;
        if numeric::is_never_a_condition(program.expression()) {
            return Err("it is never true or false: it compares nothing".into());
        }
        if let Some(name) = program.references().functions().into_iter().find(|name| !is_function(name)) {
            return Err(format!("there is no function `{name}`"));
        }
        let free = named::free(program.expression());
        let references = program.references();
        let named = references.variables().into_iter().filter(|name| free.contains(*name));
        let variables: BTreeSet<String> = named.map(String::from).collect();
        let members = |name: &String| Some((name.clone(), named::members(name, program.expression())?));
        let members = variables.iter().filter_map(members).collect();
        let numbers = NumericMembers::of(program.expression());
        let plan = ComparisonPlan::of(program.expression(), &numbers).map(Arc::new);
        Ok(Self { text: text.into(), program: Arc::new(program), variables, members, numbers, plan })
    }

    /// The comparisons that it consists of, where it is nothing else.
    pub fn comparisons(&self) -> Option<&ComparisonPlan> {
        self.plan.as_deref()
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names that the condition needs.
    pub fn variables(&self) -> &BTreeSet<String> {
        &self.variables
    }

    /// Refuses a condition that names what no event has: that would be null in every event, and the condition wrong
    /// without a word.
    pub fn check_of_event(&self) -> Result<(), String> {
        match self.variables.iter().find(|name| !is_of_event(name)) {
            None => Ok(()),
            Some(name) => Err(format!("`{name}` is not known here; known are data, {OF_EVENT}")),
        }
    }

    /// Whether what the condition says may depend on a member of a variable.
    pub(crate) fn needs(&self, variable: &str, member: &str) -> bool {
        self.members.get(variable).is_none_or(|named| named.contains(member))
    }

    /// Whether the condition holds, if it only compares fields, and `read` finds all
    /// that it needs; else [`holds`](Self::holds) tells. `read` is told whether a text
    /// is meant as a number.
    pub(crate) fn decide<'v>(&self, read: &impl Fn(&Field, bool) -> Option<Scalar<'v>>) -> Option<bool> {
        self.plan.as_ref()?.decide(read)
    }

    /// Whether the condition holds. A variable that it names and that is not
    /// given is null.
    pub fn holds(&self, variables: &BTreeMap<String, serde_json::Value>) -> Result<bool, String> {
        let mut context = Context::with_env(FUNCTIONS.clone());
        for name in &self.variables {
            let value = variables.get(name).map_or(Value::Null, |value| to_cel(value, self.numbers.member(name)));
            context.add_variable_from_value(name.as_str(), value);
        }
        match self.program.execute(&context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("`{}` is {:?}, not true or false", self.text, other.type_of())),
            Err(error) => Err(format!("`{}`: {}", self.text, without_values(&error))),
        }
    }
}

/// Whether CEL knows a function or method of this name. Operators have names that
/// nobody can write.
fn is_function(name: &str) -> bool {
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !name.starts_with('_');
    let is_known = |call: String| {
        let context = Context::with_env(FUNCTIONS.clone());
        // One that is known takes no null, and says so in another way.
        let called = Program::compile(&call).map(|program| program.execute(&context));
        !matches!(called, Ok(Err(ExecutionError::UndeclaredReference(_))))
    };
    !is_plain || is_known(format!("{name}(null)")) || is_known(format!("null.{name}()"))
}

/// Describes an error without the values in it: they are a customer's, and the
/// text goes into logs.
fn without_values(error: &ExecutionError) -> String {
    use ExecutionError as E;
    match error {
        E::InvalidArgumentCount { .. }
        | E::NoSuchOverload(_)
        | E::UndeclaredReference(_)
        | E::MissingArgumentOrTarget => error.to_string(),
        E::NoSuchKey(_) => "a member is not there".into(),
        E::IndexOutOfBounds(_) => "an index is out of bounds".into(),
        E::DivisionByZero(_) | E::RemainderByZero(_) => "a division by zero".into(),
        E::Overflow(operator, ..) => format!("`{operator}` leaves the range of numbers"),
        E::FunctionError { function, .. } => format!("`{function}` does not take such a value"),
        _ => "a value is of another type than is needed".into(),
    }
}

/// `numbers` tells which texts in it are meant as numbers.
fn to_cel(json: &serde_json::Value, numbers: Option<&NumericMembers>) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(n) => match n.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => match numbers.filter(|place| place.is_number()).and_then(|_| number(text)) {
            Some(number) => number,
            None => Value::String(Arc::new(text.clone())),
        },
        serde_json::Value::Array(items) => {
            let numbers = numbers.and_then(NumericMembers::item);
            Value::List(Arc::new(items.iter().map(|item| to_cel(item, numbers)).collect()))
        }
        serde_json::Value::Object(members) => {
            let member = |(name, value): (&String, _)| {
                (name.clone(), to_cel(value, numbers.and_then(|numbers| numbers.member(name))))
            };
            let members: std::collections::HashMap<String, Value> = members.iter().map(member).collect();
            members.into()
        }
    }
}

/// The number in a text.
fn number(text: &str) -> Option<Value> {
    match Scalar::number(text)? {
        Scalar::Int(whole) => Some(Value::Int(whole)),
        Scalar::Float(fraction) => Some(Value::Float(fraction)),
        Scalar::Text(_) => None,
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::compile(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(text: &str, variables: serde_json::Value) -> Result<bool, String> {
        let condition = Condition::compile(text).expect("compiles");
        condition.holds(&serde_json::from_value(variables).expect("an object"))
    }

    #[test]
    fn numbers_compare_whatever_their_spelling() {
        for quantity in [json!(2), json!(2.0), json!(2.5)] {
            assert_eq!(holds("quantity > 1", json!({ "quantity": quantity })), Ok(true), "{quantity}");
            assert_eq!(holds("quantity > 1.5", json!({ "quantity": quantity })), Ok(true), "{quantity}");
            assert_eq!(holds("data.q >= 3", json!({ "data": { "q": quantity } })), Ok(false), "{quantity}");
        }
    }

    /// On a thread of tokio's, which has a stack of 2 MiB.
    #[test]
    fn what_would_fill_a_stack_is_refused_and_what_is_allowed_does_not() {
        let brackets = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
        let lists = |depth: usize| format!("size({}1{}) > 0", "[".repeat(depth), "]".repeat(depth));
        let sum = |terms: usize| format!("{}1 > 0", "1+".repeat(terms));
        let all = |depth: usize| format!("{}true{}", "[1].all(a, ".repeat(depth), ")".repeat(depth));
        for allowed in [brackets(16), lists(15), sum(20), all(2), "a == '((((((((((((((((((((('".into()] {
            let condition = Condition::compile(&allowed).unwrap_or_else(|told| panic!("{allowed}: {told}"));
            let holds =
                std::thread::Builder::new().stack_size(2 << 20).spawn(move || condition.holds(&BTreeMap::new()));
            assert!(holds.expect("a thread").join().expect("its stack suffices").is_ok(), "{allowed}");
        }
        for refused in [brackets(17), brackets(1000), lists(60), sum(60), sum(2000), all(3)] {
            let told = Condition::compile(&refused).expect_err(&refused);
            assert!(told.contains("within each other"), "{told}");
        }
    }

    #[test]
    fn products_mix_whole_numbers_and_fractions() {
        assert_eq!(holds("revenue > 2.0 * baseline", json!({"revenue": 300, "baseline": 100.5})), Ok(true));
        assert_eq!(holds("revenue > 2.0 * baseline", json!({"revenue": 300.0, "baseline": 100.0})), Ok(true));
    }

    #[test]
    fn a_number_that_is_a_text_counts_like_one() {
        let data = json!({"data": {
            "quantity": "2", "price": " 4.50", "total": 9, "sku": "007", "size": "10", "min": "9",
            "items": [{"quantity": "3"}, {"quantity": 1}],
        }});
        for text in [
            "data.quantity > 0",
            "0 < data.quantity && data['quantity'] == 2",
            "data.price >= 4.5",
            "data.quantity * data.total == 18 && data.price / 2.0 == 2.25",
            "data.quantity + 1 == 3",
            "-data.quantity < 0",
            "data.quantity in [1, 2]",
            "data.total > data.quantity",
            "data.size > data.min",
            "(true ? data.quantity : data.size) < 3",
            "data.items.all(i, i.quantity > 0)",
            "data.items.exists(i, i.quantity == 3) && data.items[0].quantity > 2",
        ] {
            assert_eq!(holds(text, data.clone()), Ok(true), "{text}");
        }
        // What is compared as a text stays one.
        for text in ["data.sku == '007'", "data.sku < '1'", "data.sku in ['007']", "data.sku + 'x' == '007x'"] {
            assert_eq!(holds(text, data.clone()), Ok(true), "{text}");
        }
        let told = holds("data.price > 4", json!({"data": {"price": "a lot"}}));
        assert!(told.is_err(), "a text that is no number is none: {told:?}");
    }

    #[test]
    fn names_its_variables_and_reads_absent_ones_as_null() {
        let condition = Condition::compile("amount > 10.0 && data.card == 'x'").expect("compiles");
        assert_eq!(condition.variables().iter().map(String::as_str).collect::<Vec<_>>(), ["amount", "data"]);
        assert_eq!(holds("threshold == null || revenue > threshold", json!({"revenue": 1})), Ok(true));
    }

    #[test]
    fn an_error_tells_nothing_of_the_values() {
        let data =
            json!({"data": {"card": "4111-1111", "n": 4111, "max": i64::MAX, "list": ["4111"], "map": {"4111": 1}}});
        for text in [
            "data.card - 1 > 0",
            "data.map - data.list > 0",
            "data.card.matches(data.card + '(')",
            "data[data.card] > 0",
            "data.list[data.n] == ''",
            "data.max * data.n > 0",
            "data.n / (data.n - data.n) > 0",
            "int(data.card) > 0",
            "timestamp(data.card) > timestamp(data.card)",
            "data.card < data.n",
            "-data.card > 0",
            "data.card.x > 0",
        ] {
            let told = holds(text, data.clone()).expect_err(text);
            assert!(!told.contains("4111"), "{told}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let error = Condition::compile("amount >").expect_err("is no expression");
        assert!(error.starts_with("not a CEL expression: "), "{error}");
        assert_eq!(holds("data", json!({"data": 1})), Err("`data` is Int, not true or false".into()));
        for (text, reason) in [
            ("1 + 1", "it is never true or false: it compares nothing"),
            ("'yes'", "it is never true or false: it compares nothing"),
            ("size(data.list)", "it is never true or false: it compares nothing"),
            ("foo(1) == 2", "there is no function `foo`"),
            ("data.text.beginsWith('x') || true", "there is no function `beginsWith`"),
        ] {
            assert_eq!(Condition::compile(text).map(drop), Err(reason.into()), "{text}");
        }
        for text in [
            "true",
            "data.text.startsWith('x') && data.text.endsWith('y') && data.text.contains('z')",
            "data.text.matches('x') && size(data.list) > 0 && data.list.size() > 0 && !(1 in data.list)",
            "has(data.x) && data.list.all(i, i > 0) && data.list.exists_one(i, i > 0) && data.list.map(i, i * 2) == [2]",
            "int(data.x) > 0 && double(data.x) > 0.5 && string(data.x) == '1'",
            "timestamp(data.at) > timestamp('2026-01-01T00:00:00Z') && duration('1h') > duration('1m')",
            "timestamp(data.at).getFullYear() == 2026 && (data.x > 0 ? data.y : data.z)",
        ] {
            assert_eq!(Condition::compile(text).map(drop), Ok(()), "{text}");
        }
        let error = Condition::compile(&"a".repeat(5000)).expect_err("is too long");
        assert_eq!(error, "a condition is at most 4096 bytes long");
    }
}
