//! Constants of rules: a JSON text beside its parsed form, and comparing one with raw bytes as JSON compares.

use super::scan::{NoSink, Scanner, Status};
use super::string::Unescaper;

/// A JSON text that a rule writes or compares with.
#[derive(Clone, Debug)]
pub struct Json {
    text: Box<[u8]>,
    value: Value,
}

/// Equal where JSON says so: `1` and `1.0`, members in any order.
impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.value.matches(&other.text)
    }
}

impl Json {
    /// Takes one JSON text; `None` where it is not one (`NaN` and `Infinity` are none here).
    pub fn new(text: &[u8]) -> Option<Self> {
        let mut scanner = Scanner::new();
        if scanner.feed(text, 0, &mut NoSink) != text.len() || scanner.status() != Status::Complete {
            return None;
        }
        let value = Reader { raw: text, pos: 0 }.value();
        if !value.is_finite() {
            return None;
        }
        // A line break between tokens is white space, but would end the line of the event stream.
        let text = text.trim_ascii().iter().map(|&b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }).collect();
        Some(Json { text, value })
    }

    /// The text as it is written into the stream.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether `raw`, which is one valid JSON text, has the same value.
    pub(crate) fn matches(&self, raw: &[u8]) -> bool {
        self.value.matches(raw)
    }

    pub(crate) fn is_scalar(&self) -> bool {
        !matches!(self.value, Value::Array(_) | Value::Object(_))
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Null,
    Bool(bool),
    Number(Number),
    /// NaN and the infinities: equal to nothing but, for the infinities, themselves.
    NotFinite(i8),
    String(Vec<u8>),
    Array(Vec<Value>),
    Object(Vec<(Vec<u8>, Value)>),
}

/// A number by value, exactly: sign, significant digits, power of ten of the last digit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Number {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Number {
    fn parse(token: &[u8]) -> Self {
        let negative = token.first() == Some(&b'-');
        let split = token.iter().position(|b| matches!(b, b'e' | b'E'));
        let (mantissa, power) = match split {
            Some(at) => (&token[..at], &token[at + 1..]),
            None => (token, &b"0"[..]),
        };
        let point = mantissa.iter().position(|&b| b == b'.');
        let mut digits: Vec<u8> = mantissa.iter().copied().filter(u8::is_ascii_digit).collect();
        let fraction = point.map_or(0, |at| mantissa.len() - at - 1);
        let mut exponent = parse_power(power).saturating_sub(fraction as i64);
        while digits.last() == Some(&b'0') {
            digits.pop();
            exponent = exponent.saturating_add(1);
        }
        let zeros = digits.iter().take_while(|&&b| b == b'0').count();
        digits.drain(..zeros);
        if digits.is_empty() {
            return Number { negative: false, digits, exponent: 0 };
        }
        Number { negative, digits, exponent }
    }
}

/// The power of ten; beyond what an i64 holds it saturates, which no two numbers of one stream will differ by.
fn parse_power(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let power = digits.iter().fold(0_i64, |sum, b| sum.saturating_mul(10).saturating_add(i64::from(b - b'0')));
    if negative { -power } else { power }
}

impl Value {
    fn is_finite(&self) -> bool {
        match self {
            Value::NotFinite(_) => false,
            Value::Array(items) => items.iter().all(Value::is_finite),
            Value::Object(members) => members.iter().all(|(_, value)| value.is_finite()),
            _ => true,
        }
    }

    fn matches(&self, raw: &[u8]) -> bool {
        Reader { raw, pos: 0 }.equals(self)
    }
}

/// Reads a text that is known to be valid.
struct Reader<'a> {
    raw: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    fn peek(&mut self) -> u8 {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.raw.get(self.pos) {
            self.pos += 1;
        }
        self.raw.get(self.pos).copied().unwrap_or(0)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.pos += usize::from(found);
        found
    }

    /// The inside of the string that stands here, escapes and all.
    fn string(&mut self) -> &'a [u8] {
        self.eat(b'"');
        let start = self.pos;
        while let Some(&byte) = self.raw.get(self.pos) {
            match byte {
                b'"' => break,
                b'\\' => self.pos += 2,
                _ => self.pos += 1,
            }
        }
        let inside = &self.raw[start..self.pos.min(self.raw.len())];
        self.pos += 1;
        inside
    }

    fn text(&mut self) -> Vec<u8> {
        let inside = self.string();
        let mut unescaper = Unescaper::default();
        unescaper.push(inside);
        unescaper.finish();
        unescaper.bytes
    }

    fn token(&mut self) -> &'a [u8] {
        self.peek();
        let rest = &self.raw[self.pos..];
        let end = rest.iter().position(|b| matches!(b, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r'));
        let token = &rest[..end.unwrap_or(rest.len())];
        self.pos += token.len();
        token
    }

    fn scalar(&mut self) -> Value {
        match self.peek() {
            b'"' => Value::String(self.text()),
            _ => match self.token() {
                b"null" => Value::Null,
                b"true" => Value::Bool(true),
                b"false" => Value::Bool(false),
                b"NaN" => Value::NotFinite(0),
                b"Infinity" => Value::NotFinite(1),
                b"-Infinity" => Value::NotFinite(-1),
                number => Value::Number(Number::parse(number)),
            },
        }
    }

    fn value(&mut self) -> Value {
        if self.eat(b'[') {
            let mut items = Vec::new();
            while !self.eat(b']') {
                items.push(self.value());
                self.eat(b',');
            }
            Value::Array(items)
        } else if self.eat(b'{') {
            let mut members: Vec<(Vec<u8>, Value)> = Vec::new();
            while !self.eat(b'}') {
                self.peek();
                let name = self.text();
                self.eat(b':');
                let value = self.value();
                // Of a duplicate name the last member counts, as in every parser that keeps one.
                members.retain(|(earlier, _)| *earlier != name);
                members.push((name, value));
                self.eat(b',');
            }
            Value::Object(members)
        } else {
            self.scalar()
        }
    }

    /// Skips the value that stands here.
    fn skip(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                b'{' | b'[' => {
                    depth += 1;
                    self.pos += 1;
                }
                b'}' | b']' => {
                    depth -= 1;
                    self.pos += 1;
                }
                b',' | b':' => self.pos += 1,
                b'"' => {
                    self.string();
                }
                _ => {
                    let rest = &self.raw[self.pos..];
                    let end = rest.iter().position(|b| matches!(b, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r'));
                    self.pos += end.unwrap_or(rest.len());
                }
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Compares without building anything; where it says no it stops there.
    fn equals(&mut self, value: &Value) -> bool {
        match value {
            Value::Array(items) => {
                if !self.eat(b'[') {
                    return false;
                }
                for (i, item) in items.iter().enumerate() {
                    if (i > 0 && !self.eat(b',')) || self.peek() == b']' || !self.equals(item) {
                        return false;
                    }
                }
                self.eat(b']')
            }
            Value::Object(members) => self.equals_object(members),
            scalar => match self.peek() {
                b'[' | b'{' => false,
                _ => self.scalar() == *scalar,
            },
        }
    }

    fn equals_object(&mut self, members: &[(Vec<u8>, Value)]) -> bool {
        if !self.eat(b'{') {
            return false;
        }
        let mut equal = vec![false; members.len()];
        while !self.eat(b'}') {
            self.peek();
            let name = self.text();
            self.eat(b':');
            let Some(i) = members.iter().position(|(expected, _)| *expected == name) else {
                return false;
            };
            // A later duplicate may still differ or agree, so the value is passed whatever the comparison says.
            let mut ahead = Reader { raw: self.raw, pos: self.pos };
            equal[i] = ahead.equals(&members[i].1);
            self.skip();
            self.eat(b',');
        }
        equal.into_iter().all(|member| member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_compare_as_json() {
        for (constant, raw, equal) in [
            ("1", "1.0", true),
            ("1", "10e-1", true),
            ("100", "1E2", true),
            ("0", "-0.0e5", true),
            ("1", "true", false),
            ("18446744073709551616", "18446744073709551617", false),
            ("18446744073709551616", "1.8446744073709551616e19", true),
            ("1e-07", "0.0000001", true),
            ("-1", "1", false),
            ("null", " null ", true),
            ("\"model\"", r#""mod\u0065l""#, true),
            ("[1,[2]]", "[ 1.0 , [ 2 ] ]", true),
            ("[1]", "[1,2]", false),
            ("[1,2]", "[1]", false),
            ("[]", "[ ]", true),
            ("[]", "[1]", false),
            (r#"{"a":1,"b":[]}"#, r#"{ "b":[ ], "\u0061":1.0 }"#, true),
            (r#"{"a":1}"#, r#"{"a":2,"a":1}"#, true),
            (r#"{"a":1}"#, r#"{"a":1,"a":2}"#, false),
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#, false),
            (r#"{"a":1,"b":2}"#, r#"{"a":1}"#, false),
            ("{}", "{}", true),
            ("{}", "[]", false),
            ("1", "NaN", false),
            ("\"a\"", "{\"a\":1}", false),
            ("1e99999999999999999999", "1e5", false),
        ] {
            let constant = Json::new(constant.as_bytes()).unwrap();
            assert_eq!(constant.matches(raw.as_bytes()), equal, "{constant:?} {raw}");
        }
    }

    #[test]
    fn only_finite_json_texts_are_constants() {
        for text in ["", "NaN", "[Infinity]", "{", "1 2", "'a'", "{\"a\":-Infinity}"] {
            assert!(Json::new(text.as_bytes()).is_none(), "{text}");
        }
        assert_eq!(Json::new(b" [1,\n2] ").unwrap().text(), b"[1, 2]");
    }
}
