//! Expressions: conditions and computed values. The only file that names the language, `rhai`
//! (`docs/decisions/0015-expressions.md`).
//!
//! # Rules
//! - An expression is one expression: no statements, loops, functions, arrays, objects, files, clocks or randomness. It
//!   ends after a number of steps that its own length bounds.
//! - Every number is floating-point: `1 / 2` is a half. Comparisons are exact.
//! - Names are checked when a pipeline is loaded; an expression that can work for no type of value is refused then.
//! - `exp`, `ln` and `**` may differ in the last digit between platforms; everything else is the same everywhere.

use protocol::limits::VALUE_BYTES_MAX;
use protocol::{Reading, Value};
use rhai::{AST, Dynamic, EvalAltResult, ImmutableString, OptimizationLevel, Scope};
use std::fmt;

/// Bytes of an expression. They bound how deep the tree of a long sum can be, and with that the stack.
pub(crate) const EXPRESSION_BYTES_MAX: usize = 512;
/// Steps of one evaluation; an expression of the greatest length has fewer.
const STEPS_MAX: u64 = 20_000;
/// How deep an expression may be nested.
const DEPTH_MAX: usize = 64;
/// Bytes of any text in an evaluation.
const TEXT_BYTES_MAX: usize = 4 * VALUE_BYTES_MAX;
/// Bytes of a complaint.
const COMPLAINT_BYTES_MAX: usize = 200;
/// What the language offers and pipelines do without.
const WITHOUT: [&str; 9] = ["eval", "print", "debug", "type_of", "Fn", "call", "curry", "is_def_var", "is_shared"];
/// What every expression may name, beside constants and inputs.
pub(crate) const FACTS: [&str; 6] = ["value", "unit", "site", "device", "data_type", "time_s"];

/// What evaluates expressions.
pub(crate) struct Engine(rhai::Engine);

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}

/// One expression, checked.
pub(crate) struct Expression {
    text: String,
    tree: Box<AST>,
    /// Which of [`FACTS`] its text mentions.
    facts: Vec<&'static str>,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What an expression may name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    /// What it is about; with inputs the reading that came last.
    pub(crate) reading: &'a Reading,
    /// The pipeline's constants.
    pub(crate) constants: &'a [(String, Value)],
    /// Inputs by name.
    pub(crate) inputs: &'a [(String, Value)],
}

/// Why an expression is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The character where it goes wrong, from 1, if that is known.
    pub(crate) column: Option<usize>,
    /// What is wrong.
    pub(crate) reason: String,
}

impl Engine {
    /// An engine that does what the rules above allow.
    pub(crate) fn new() -> Self {
        let mut engine = rhai::Engine::new_raw();
        engine.set_optimization_level(OptimizationLevel::None);
        engine.set_strict_variables(true);
        // else the language's own operators come first, which divide whole numbers and compare within a tolerance
        engine.set_fast_operators(false);
        engine.set_max_operations(STEPS_MAX);
        engine.set_max_expr_depths(DEPTH_MAX);
        engine.set_max_string_size(TEXT_BYTES_MAX);
        for symbol in WITHOUT {
            engine.disable_symbol(symbol);
        }
        operators(&mut engine);
        functions(&mut engine);
        Self(engine)
    }

    /// Whether `name` can be given to a constant or an input.
    pub(crate) fn allows_name(&self, name: &str) -> bool {
        let letters = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let begins = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        let mut scope = Scope::new();
        scope.push_dynamic(name, Dynamic::UNIT);
        letters && begins && !FACTS.contains(&name) && self.0.compile_expression_with_scope(&scope, name).is_ok()
    }

    /// Checks an expression that may name [`FACTS`], constants and inputs.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) fn compile(&self, text: &str, constants: &[(String, Value)], inputs: &[String]) -> Result<Expression, Refusal> {
        let whole = |reason: String| Refusal { column: None, reason };
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(whole(format!("the expression has {} bytes, the limit is {EXPRESSION_BYTES_MAX}", text.len())));
        }
        let mut scope = Scope::new();
        let names = constants.iter().map(|(name, _)| name.as_str()).chain(inputs.iter().map(String::as_str));
        for name in FACTS.into_iter().chain(names) {
            scope.push_dynamic(name, Dynamic::UNIT);
        }
        let tree = self
            .0
            .compile_expression_with_scope(&scope, text)
            .map_err(|why| Refusal { column: why.position().position(), reason: shortened(why.err_type()) })?;
        let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        let facts = FACTS.into_iter().filter(|fact| words.contains(fact)).collect();
        let expression = Expression { text: text.to_owned(), tree: Box::new(tree), facts };
        self.trial(&expression, constants, inputs).map_err(whole)?;
        Ok(expression)
    }

    /// Tries an expression with values of each type: it must not lack a function for all of them.
    fn trial(&self, expression: &Expression, constants: &[(String, Value)], inputs: &[String]) -> Result<(), String> {
        let mut lacking = String::new();
        for value in [Value::Number(1.0), Value::Boolean(true), Value::Text("a".to_owned())] {
            let mut scope = Scope::new();
            for fact in FACTS {
                let fact_value = match fact {
                    "value" => dynamic(&value),
                    "time_s" => Some(Dynamic::from_float(1.0)),
                    _ => Some("a".into()),
                };
                scope.push_dynamic(fact, fact_value.unwrap_or(Dynamic::UNIT));
            }
            for (name, constant) in constants {
                scope.push_dynamic(name.as_str(), dynamic(constant).unwrap_or(Dynamic::UNIT));
            }
            for name in inputs {
                scope.push_dynamic(name.as_str(), dynamic(&value).unwrap_or(Dynamic::UNIT));
            }
            match self.0.eval_ast_with_scope::<Dynamic>(&mut scope, &expression.tree) {
                Err(why) => match *why {
                    EvalAltResult::ErrorFunctionNotFound(ref function, _) => lacking.clone_from(function),
                    _ => return Ok(()),
                },
                Ok(_) => return Ok(()),
            }
        }
        Err(format!("it works for no type of value: there is no {}", shortened(&lacking)))
    }

    /// What an expression gives.
    ///
    /// # Errors
    /// Why it gives nothing.
    pub(crate) fn value(&self, expression: &Expression, known: &Known<'_>) -> Result<Value, String> {
        let mut scope = Scope::new();
        for fact in &expression.facts {
            scope.push_dynamic(*fact, fact_of(known.reading, fact)?);
        }
        for (name, value) in known.constants.iter().chain(known.inputs) {
            let value = dynamic(value).ok_or_else(|| format!("`{name}` is bytes, which expressions do not read"))?;
            scope.push_dynamic(name.as_str(), value);
        }
        let given = self.0.eval_ast_with_scope::<Dynamic>(&mut scope, &expression.tree).map_err(|why| shortened(&*why))?;
        plain(given)
    }

    /// Whether a condition holds.
    ///
    /// # Errors
    /// Why that cannot be said.
    pub(crate) fn holds(&self, expression: &Expression, known: &Known<'_>) -> Result<bool, String> {
        match self.value(expression, known)? {
            Value::Boolean(holds) => Ok(holds),
            other => Err(format!("it gives {}, which is neither true nor false", shortened(&other))),
        }
    }
}

impl Expression {
    /// As it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

fn fact_of(reading: &Reading, fact: &str) -> Result<Dynamic, String> {
    Ok(match fact {
        "value" => dynamic(&reading.value).ok_or("its value is bytes, which expressions do not read")?,
        "unit" => reading.unit.clone().unwrap_or_default().into(),
        "site" => reading.topic.site.as_str().into(),
        "device" => reading.topic.device.as_str().into(),
        "data_type" => reading.topic.data_type.as_str().into(),
        _ => Dynamic::from_float(reading.time_us as f64 / 1e6),
    })
}

fn dynamic(value: &Value) -> Option<Dynamic> {
    match value {
        Value::Number(number) => Some(Dynamic::from_float(*number)),
        Value::Boolean(boolean) => Some(Dynamic::from_bool(*boolean)),
        Value::Text(text) => Some(text.as_str().into()),
        Value::Bytes(_) => None,
    }
}

fn plain(given: Dynamic) -> Result<Value, String> {
    if let Ok(boolean) = given.as_bool() {
        return Ok(Value::Boolean(boolean));
    }
    if let Some(number) = given.as_float().ok().or_else(|| given.as_int().ok().map(|whole| whole as f64)) {
        return Value::number(number).ok_or_else(|| "it gives a number that is not finite".to_owned());
    }
    match given.into_string() {
        Ok(text) if text.len() <= VALUE_BYTES_MAX => Ok(Value::Text(text)),
        Ok(text) => Err(format!("it gives a text of {} bytes, the limit is {VALUE_BYTES_MAX}", text.len())),
        Err(kind) => Err(format!("it gives a {kind}, which is no value")),
    }
}

fn shortened(why: &impl fmt::Display) -> String {
    let mut text = why.to_string();
    text.truncate(text.floor_char_boundary(COMPLAINT_BYTES_MAX));
    text
}

/// Registers an operator or function of two numbers, whole or not.
macro_rules! of_two {
    ($engine:ident, $($symbol:literal => $function:path),* $(,)?) => {$(
        $engine.register_fn($symbol, |a: f64, b: f64| $function(a, b));
        $engine.register_fn($symbol, |a: f64, b: i64| $function(a, b as f64));
        $engine.register_fn($symbol, |a: i64, b: f64| $function(a as f64, b));
        $engine.register_fn($symbol, |a: i64, b: i64| $function(a as f64, b as f64));
    )*};
}

/// Registers an operator or function of one number, whole or not.
macro_rules! of_one {
    ($engine:ident, $($symbol:literal => $function:path),* $(,)?) => {$(
        $engine.register_fn($symbol, |a: f64| $function(a));
        $engine.register_fn($symbol, |a: i64| $function(a as f64));
    )*};
}

fn operators(engine: &mut rhai::Engine) {
    fn equal(a: f64, b: f64) -> bool {
        a == b
    }
    fn unequal(a: f64, b: f64) -> bool {
        a != b
    }
    fn less(a: f64, b: f64) -> bool {
        a < b
    }
    fn less_or_equal(a: f64, b: f64) -> bool {
        a <= b
    }
    fn greater(a: f64, b: f64) -> bool {
        a > b
    }
    fn greater_or_equal(a: f64, b: f64) -> bool {
        a >= b
    }
    fn add(a: f64, b: f64) -> f64 {
        a + b
    }
    fn subtract(a: f64, b: f64) -> f64 {
        a - b
    }
    fn multiply(a: f64, b: f64) -> f64 {
        a * b
    }
    fn divide(a: f64, b: f64) -> f64 {
        a / b
    }
    fn remainder(a: f64, b: f64) -> f64 {
        a % b
    }
    fn negative(a: f64) -> f64 {
        -a
    }
    of_two!(engine, "==" => equal, "!=" => unequal, "<" => less, "<=" => less_or_equal, ">" => greater, ">=" => greater_or_equal);
    of_two!(engine, "+" => add, "-" => subtract, "*" => multiply, "/" => divide, "%" => remainder, "**" => f64::powf);
    of_one!(engine, "-" => negative);
    engine.register_fn("!", |a: bool| !a);
}

fn functions(engine: &mut rhai::Engine) {
    of_two!(engine, "min" => f64::min, "max" => f64::max);
    of_one!(engine, "abs" => f64::abs, "floor" => f64::floor, "ceil" => f64::ceil, "round" => f64::round, "sqrt" => f64::sqrt);
    of_one!(engine, "exp" => f64::exp, "ln" => f64::ln);
    engine.register_fn("contains", |text: ImmutableString, part: ImmutableString| text.contains(part.as_str()));
    engine.register_fn("starts_with", |text: ImmutableString, part: ImmutableString| text.starts_with(part.as_str()));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Engine, Known, Refusal};
    use protocol::{Reading, Value};

    fn reading(value: Value) -> Reading {
        Reading {
            topic: "plant/m1/sense/power".parse().unwrap(),
            time_us: 2_500_000,
            sequence: None,
            unit: Some("W".into()),
            value,
            signed: None,
        }
    }

    fn given(text: &str, value: f64) -> Result<Value, String> {
        let engine = Engine::new();
        let constants = [("limit".to_owned(), Value::Number(10.0))];
        let expression = engine.compile(text, &constants, &[]).unwrap_or_else(|why| panic!("{text}: {}", why.reason));
        let reading = reading(Value::Number(value));
        engine.value(&expression, &Known { reading: &reading, constants: &constants, inputs: &[] })
    }

    #[test]
    fn numbers_are_numbers() {
        for (text, expected) in [
            ("1 / 2", 0.5),
            ("5 / 9 * (value - 32)", 100.0),
            ("-value", -212.0),
            ("-(3)", -3.0),
            ("2 ** 3", 8.0),
            ("7 % 4", 3.0),
            ("max(value, 300)", 300.0),
            ("min(2, 1.5) + abs(-1)", 2.5),
            ("sqrt(16) + floor(1.9) + ceil(0.1) + round(2.5)", 9.0),
            ("limit * 2", 20.0),
            ("time_s", 2.5),
            ("if value > 100 { 1 } else { 2 }", 1.0),
            ("9223372036854775807 + 1", 9_223_372_036_854_775_808.0),
        ] {
            assert_eq!(given(text, 212.0), Ok(Value::Number(expected)), "{text}");
        }
    }

    #[test]
    fn comparisons_are_exact() {
        assert_eq!(given("value > 1", 1.0 + f64::EPSILON), Ok(Value::Boolean(true)));
        assert_eq!(given("value > 0", 1e-300), Ok(Value::Boolean(true)));
        assert_eq!(given("value == 0.3", 0.1 + 0.2), Ok(Value::Boolean(false)));
        assert_eq!(given("value >= 1 && value <= 3 || false", 2.0), Ok(Value::Boolean(true)));
        assert_eq!(given("!(value == 2)", 2.0), Ok(Value::Boolean(false)));
    }

    #[test]
    fn texts_can_be_compared() {
        assert_eq!(given("unit == \"W\" && device != \"m2\" && starts_with(data_type, \"pow\")", 1.0), Ok(Value::Boolean(true)));
        assert_eq!(given("contains(site, \"lan\")", 1.0), Ok(Value::Boolean(true)));
        assert_eq!(given("device + \"-x\"", 1.0), Ok(Value::Text("m1-x".into())));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        let engine = Engine::new();
        for text in [
            "",
            "value +",
            "valeu > 1",
            "let x = 1",
            "value = 1",
            "while true { }",
            "loop { }",
            "eval(\"1\")",
            "fn f() { 1 }",
            "sqr(value)",
            "print(1)",
            "import \"x\"",
            "1; 2",
        ] {
            assert!(engine.compile(text, &[], &[]).is_err(), "{text}");
        }
        let deep = format!("{}1{}", "(".repeat(100), ")".repeat(100));
        assert!(engine.compile(&deep, &[], &[]).is_err());
        assert!(engine.compile(&" ".repeat(2000), &[], &[]).is_err());
        let Refusal { column, reason } = engine.compile("1 + valeu", &[], &[]).unwrap_err();
        assert_eq!(column, Some(5), "{reason}");
        assert!(reason.contains("valeu"), "{reason}");
    }

    #[test]
    fn what_gives_nothing_says_why() {
        assert!(given("1 / 0", 1.0).unwrap_err().contains("finite"));
        let engine = Engine::new();
        let condition = engine.compile("value", &[], &[]).unwrap();
        let number = reading(Value::Number(3.0));
        assert!(engine.holds(&condition, &Known { reading: &number, constants: &[], inputs: &[] }).unwrap_err().contains('3'));
        let bytes = reading(Value::Bytes(vec![1]));
        assert!(engine.holds(&condition, &Known { reading: &bytes, constants: &[], inputs: &[] }).unwrap_err().contains("bytes"));
    }

    #[test]
    fn names_of_constants_are_words_that_mean_nothing_else() {
        let engine = Engine::new();
        for (name, allowed) in [
            ("limit", true),
            ("t2_max", true),
            ("value", false),
            ("if", false),
            ("eval", false),
            ("Limit", false),
            ("2t", false),
            ("", false),
        ] {
            assert_eq!(engine.allows_name(name), allowed, "{name}");
        }
    }
}
