//! A JSON text as a flat list of values with their places, by plain recursion; and comparing two texts.
//!
//! RFC 8259 with `NaN`, `Infinity` and `-Infinity`, at most 1,024 containers open at once.

use std::ops::Range;

use sse_fast::MAX_DEPTH;

/// One value of a text.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) span: Range<usize>,
    pub(crate) parent: Option<usize>,
    /// Where it is a member's value.
    pub(crate) key: Option<Key>,
    /// In the order of the text.
    pub(crate) children: Vec<usize>,
}

impl Node {
    /// Where the member or element begins.
    pub(crate) fn start(&self) -> usize {
        self.key.as_ref().map_or(self.span.start, |key| key.span.start)
    }
}

/// A member's name.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// The string, quotes and all.
    pub(crate) span: Range<usize>,
    pub(crate) name: Name,
}

/// What a string says, in numbers that no two characters share: see [`unescape`].
pub(crate) type Name = Vec<u32>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    /// `true`, `false`, `null`, `NaN`, `Infinity`, `-Infinity`
    Literal,
}

impl Kind {
    pub(crate) fn is_container(self) -> bool {
        matches!(self, Kind::Object | Kind::Array)
    }
}

/// All values of a text: the whole first, each container before what it holds.
pub(crate) type Tree = Vec<Node>;

/// Parses one JSON text. The error is the first byte that cannot be part of one, the text's length where more could
/// make it whole.
pub(crate) fn parse(text: &[u8]) -> Result<Tree, usize> {
    let mut parser = Parser { text, pos: 0, tree: Vec::new() };
    parser.space();
    parser.value(None, None, 0)?;
    parser.space();
    if parser.pos < text.len() { Err(parser.pos) } else { Ok(parser.tree) }
}

struct Parser<'a> {
    text: &'a [u8],
    pos: usize,
    tree: Tree,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.pos).copied()
    }

    fn fail<T>(&self) -> Result<T, usize> {
        Err(self.pos)
    }

    fn expect(&mut self, wanted: impl Fn(u8) -> bool) -> Result<(), usize> {
        match self.peek() {
            Some(byte) if wanted(byte) => {
                self.pos += 1;
                Ok(())
            }
            _ => self.fail(),
        }
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.pos += 1;
        }
    }

    fn value(&mut self, parent: Option<usize>, key: Option<Key>, depth: usize) -> Result<(), usize> {
        let start = self.pos;
        let this = self.tree.len();
        let kind = match self.peek() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b'0'..=b'9' | b'-') => Kind::Number,
            _ => Kind::Literal,
        };
        self.tree.push(Node { kind, span: start..start, parent, key, children: Vec::new() });
        if let Some(parent) = parent {
            self.tree[parent].children.push(this);
        }
        match kind {
            Kind::Object | Kind::Array if depth == MAX_DEPTH => return self.fail(),
            Kind::Object => self.object(this, depth + 1)?,
            Kind::Array => self.array(this, depth + 1)?,
            Kind::String => self.string()?,
            Kind::Number => self.number(this)?,
            Kind::Literal => self.literal()?,
        }
        self.tree[this].span.end = self.pos;
        Ok(())
    }

    fn object(&mut self, this: usize, depth: usize) -> Result<(), usize> {
        self.pos += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.pos += 1;
            return Ok(());
        }
        loop {
            let start = self.pos;
            if self.peek() != Some(b'"') {
                return self.fail();
            }
            self.string()?;
            let span = start..self.pos;
            let name = unescape(&self.text[start + 1..self.pos - 1]);
            self.space();
            self.expect(|byte| byte == b':')?;
            self.space();
            self.value(Some(this), Some(Key { span, name }), depth)?;
            self.space();
            self.expect(|byte| byte == b',' || byte == b'}')?;
            if self.text[self.pos - 1] == b'}' {
                return Ok(());
            }
            self.space();
        }
    }

    fn array(&mut self, this: usize, depth: usize) -> Result<(), usize> {
        self.pos += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.pos += 1;
            return Ok(());
        }
        loop {
            self.value(Some(this), None, depth)?;
            self.space();
            self.expect(|byte| byte == b',' || byte == b']')?;
            if self.text[self.pos - 1] == b']' {
                return Ok(());
            }
            self.space();
        }
    }

    fn string(&mut self) -> Result<(), usize> {
        self.pos += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.pos += 1;
                    self.expect(|byte| b"\"\\/bfnrtu".contains(&byte))?;
                    if self.text[self.pos - 1] == b'u' {
                        for _ in 0..4 {
                            self.expect(|byte| byte.is_ascii_hexdigit())?;
                        }
                    }
                }
                Some(0x20..) => self.pos += 1,
                _ => return self.fail(),
            }
        }
    }

    fn number(&mut self, this: usize) -> Result<(), usize> {
        if self.peek() == Some(b'-') {
            self.pos += 1;
            if self.peek() == Some(b'I') {
                self.tree[this].kind = Kind::Literal;
                return self.word(b"Infinity");
            }
        }
        if self.peek() == Some(b'0') {
            self.pos += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.pos += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.pos += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.pos += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), usize> {
        self.expect(|byte| byte.is_ascii_digit())?;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.pos += 1;
        }
        Ok(())
    }

    fn literal(&mut self) -> Result<(), usize> {
        match self.peek() {
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(b'N') => self.word(b"NaN"),
            Some(b'I') => self.word(b"Infinity"),
            _ => self.fail(),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), usize> {
        word.iter().try_for_each(|&letter| self.expect(|byte| byte == letter))
    }
}

/// What the inside of a string says: Unicode scalar values; a lone surrogate by its code unit, which is none; a byte
/// that is no UTF-8 beyond all of Unicode.
pub(crate) fn unescape(inside: &[u8]) -> Name {
    let mut units = Vec::new();
    let mut rest = inside;
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'\\' {
            let (unit, length) = match after[0] {
                b'b' => (0x08, 2),
                b'f' => (0x0C, 2),
                b'n' => (0x0A, 2),
                b'r' => (0x0D, 2),
                b't' => (0x09, 2),
                b'u' => (u32::from_str_radix(std::str::from_utf8(&after[1..5]).unwrap(), 16).unwrap(), 6),
                other => (u32::from(other), 2),
            };
            units.push((unit, true));
            rest = &rest[length..];
        } else {
            let length = (1..=rest.len().min(4)).find(|&length| std::str::from_utf8(&rest[..length]).is_ok());
            match length {
                Some(length) => {
                    let text = std::str::from_utf8(&rest[..length]).unwrap();
                    units.push((u32::from(text.chars().next().unwrap()), false));
                    rest = &rest[length..];
                }
                None => {
                    units.push((0x11_0000 + u32::from(byte), false));
                    rest = after;
                }
            }
        }
    }
    let mut name = Vec::new();
    let mut units = units.into_iter().peekable();
    while let Some((unit, escaped)) = units.next() {
        let low = units.peek().filter(|(low, escaped)| *escaped && (0xDC00..0xE000).contains(low));
        match low {
            Some((low, _)) if escaped && (0xD800..0xDC00).contains(&unit) => {
                name.push(0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
                units.next();
            }
            _ => name.push(unit),
        }
    }
    name
}

/// A name as a rule states it.
pub(crate) fn name(text: &str) -> Name {
    text.chars().map(u32::from).collect()
}

/// Whether two JSON texts have the same value: numbers exactly, the last duplicate counts, `NaN` equals nothing.
pub(crate) fn equal(one: &[u8], two: &[u8]) -> bool {
    let (one_tree, two_tree) = (parse(one).expect("valid"), parse(two).expect("valid"));
    nodes_equal((one, &one_tree, 0), (two, &two_tree, 0))
}

type Place<'a> = (&'a [u8], &'a Tree, usize);

fn nodes_equal(one: Place<'_>, two: Place<'_>) -> bool {
    let (a, b) = (&one.1[one.2], &two.1[two.2]);
    let (a_text, b_text) = (&one.0[a.span.clone()], &two.0[b.span.clone()]);
    if a.kind != b.kind {
        return false;
    }
    match a.kind {
        Kind::Literal => a_text == b_text && a_text != b"NaN",
        Kind::String => unescape(&a_text[1..a_text.len() - 1]) == unescape(&b_text[1..b_text.len() - 1]),
        Kind::Number => decimal(a_text) == decimal(b_text),
        Kind::Array => {
            a.children.len() == b.children.len()
                && a.children.iter().zip(&b.children).all(|(&i, &j)| nodes_equal((one.0, one.1, i), (two.0, two.1, j)))
        }
        Kind::Object => {
            let (a, b) = (last_members(one.1, a), last_members(two.1, b));
            a.len() == b.len()
                && a.iter().all(|(name, i)| {
                    let other = b.iter().find(|(other, _)| other == name);
                    other.is_some_and(|(_, j)| nodes_equal((one.0, one.1, *i), (two.0, two.1, *j)))
                })
        }
    }
}

/// Of each name the last member's value.
fn last_members<'a>(tree: &'a Tree, object: &Node) -> Vec<(&'a Name, usize)> {
    let mut members: Vec<(&Name, usize)> = Vec::new();
    for &child in &object.children {
        let name = &tree[child].key.as_ref().expect("a member has a key").name;
        members.retain(|(earlier, _)| *earlier != name);
        members.push((name, child));
    }
    members
}

/// A number as sign, digits without zeros around them, and the power of ten of the last digit.
fn decimal(token: &[u8]) -> (bool, Vec<u8>, i128) {
    let token = std::str::from_utf8(token).expect("a number is ASCII").to_ascii_lowercase();
    let (mantissa, power) = token.split_once('e').unwrap_or((&token, "0"));
    // No rule here has a constant with a power of more than 37 digits, so all of them are one.
    let power: i128 = power.parse().unwrap_or(if power.starts_with('-') { i128::MIN / 2 } else { i128::MAX / 2 });
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
    let significant = digits.trim_end_matches('0');
    let power = power - fraction.len() as i128 + (digits.len() - significant.len()) as i128;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return (false, Vec::new(), 0);
    }
    (token.starts_with('-'), significant.as_bytes().to_vec(), power)
}
