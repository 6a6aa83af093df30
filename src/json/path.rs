//! Paths: the singular-or-wildcard subset of JSONPath (RFC 9535), and the descendant `..name`.

use std::fmt;

use crate::error::RuleError;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Segment {
    /// `.name`, `['name']`
    Name(String),
    /// `[0]`
    Index(u64),
    /// `.*`, `[*]`: every member or element
    Wildcard,
    /// `..name`: the member at any depth
    Descendant(String),
}

/// A parsed path. Two spellings of one path are equal.
#[derive(Clone, Debug)]
pub struct Path {
    text: String,
    segments: Vec<Segment>,
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.segments == other.segments
    }
}

impl Eq for Path {}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Path {
    /// Parses `$`, `.name`, `['name']`, `["name"]`, `[0]`, `[*]`, `.*` and `..name`.
    ///
    /// # Errors
    /// Names the path, the offset and what is not supported there: negative indices, slices, filters, unions and
    /// everything that RFC 9535 does not know.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let mut reader = Reader { text, rest: text.strip_prefix('$').unwrap_or(text) };
        if reader.rest.len() == text.len() {
            return Err(reader.error("a path begins with '$'"));
        }
        let mut segments = Vec::new();
        loop {
            let before_space = reader.rest;
            reader.skip_space();
            if reader.rest.is_empty() {
                if !before_space.is_empty() {
                    reader.rest = before_space;
                    return Err(reader.error("trailing white space"));
                }
                break;
            }
            segments.push(reader.segment()?);
        }
        Ok(Path { text: text.to_owned(), segments })
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The path as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// An error at the place where `rest` begins.
    fn error(&self, what: &str) -> RuleError {
        self.error_because(what, "")
    }

    fn unsupported(&self, what: &str) -> RuleError {
        self.error_because(what, " is not supported")
    }

    fn error_because(&self, what: &str, why: &str) -> RuleError {
        let read = &self.text[..self.text.len() - self.rest.len()];
        RuleError::at_offset(self.text, read.chars().count(), what, why)
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn segment(&mut self) -> Result<Segment, RuleError> {
        if self.eat("..") {
            return match self.rest.chars().next() {
                Some('[') => {
                    let at = self.rest;
                    match self.bracket()? {
                        Segment::Name(name) => Ok(Segment::Descendant(name)),
                        _ => {
                            self.rest = at;
                            Err(self.error("only a name may follow '..'"))
                        }
                    }
                }
                Some('*') => Err(self.error("only a name may follow '..'")),
                _ => Ok(Segment::Descendant(self.name()?)),
            };
        }
        if self.eat(".") {
            return if self.eat("*") { Ok(Segment::Wildcard) } else { Ok(Segment::Name(self.name()?)) };
        }
        if self.rest.starts_with('[') {
            return self.bracket();
        }
        Err(self.error("expected '.', '..' or '['"))
    }

    fn name(&mut self) -> Result<String, RuleError> {
        let first = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
        if !self.rest.starts_with(first) {
            return Err(self.error_because("expected a name", ": one not of letters, digits and '_' stands in ['...']"));
        }
        let end = self.rest.find(|c: char| !(first(c) || c.is_ascii_digit())).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(name.to_owned())
    }

    fn bracket(&mut self) -> Result<Segment, RuleError> {
        self.eat("[");
        self.skip_space();
        let segment = match self.rest.chars().next() {
            Some('*') => {
                self.eat("*");
                Segment::Wildcard
            }
            Some(quote @ ('\'' | '"')) => Segment::Name(self.quoted(quote)?),
            Some('?') => return Err(self.unsupported("a filter")),
            Some(':') => return Err(self.unsupported("a slice")),
            Some('-') => return Err(self.unsupported("negative index")),
            Some('0'..='9') => Segment::Index(self.index()?),
            None => return Err(self.error("unfinished '['")),
            Some(_) => return Err(self.error("expected an index, '*' or a quoted name")),
        };
        self.skip_space();
        if self.eat("]") {
            return Ok(segment);
        }
        Err(match self.rest.chars().next() {
            Some(',') => self.unsupported("a union"),
            Some(':') => self.unsupported("a slice"),
            None => self.error("unfinished '['"),
            Some(_) => self.error("expected ']'"),
        })
    }

    fn index(&mut self) -> Result<u64, RuleError> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let digits = &self.rest[..end];
        if digits.len() > 1 && digits.starts_with('0') {
            return Err(self.error("an index has no leading zero"));
        }
        // RFC 9535 section 2.1: indices stay within the exact integers of I-JSON.
        match digits.parse() {
            Ok(index) if index < 1 << 53 => {
                self.rest = &self.rest[end..];
                Ok(index)
            }
            _ => Err(self.error("an index is below 2^53")),
        }
    }

    /// A quoted name (RFC 9535 section 2.3.1.1).
    fn quoted(&mut self, quote: char) -> Result<String, RuleError> {
        let start = self.rest;
        self.rest = &self.rest[1..];
        let mut name = String::new();
        loop {
            let Some(c) = self.rest.chars().next() else {
                self.rest = start;
                return Err(self.error("unfinished quoted name"));
            };
            match c {
                '\\' => name.push(self.escape(quote)?),
                '\0'..='\u{1F}' => return Err(self.error("a control character in a name must be escaped")),
                _ => {
                    self.rest = &self.rest[c.len_utf8()..];
                    if c == quote {
                        return Ok(name);
                    }
                    name.push(c);
                }
            }
        }
    }

    fn escape(&mut self, quote: char) -> Result<char, RuleError> {
        let escape = self.rest.chars().nth(1);
        let c = match escape {
            Some('b') => '\u{8}',
            Some('f') => '\u{C}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some(c @ ('/' | '\\')) => c,
            Some(c) if c == quote => c,
            Some('u') => return self.unicode_escape(),
            _ => return Err(self.error("unknown escape")),
        };
        self.rest = &self.rest[2..];
        Ok(c)
    }

    fn unicode_escape(&mut self) -> Result<char, RuleError> {
        let unit = |rest: &str| -> Option<u32> {
            let digits = rest.strip_prefix("\\u")?.get(..4)?;
            if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            u32::from_str_radix(digits, 16).ok()
        };
        let first = unit(self.rest).ok_or_else(|| self.error("expected four hex digits"))?;
        if let Some(c) = char::from_u32(first) {
            self.rest = &self.rest[6..];
            return Ok(c);
        }
        let second = self.rest.get(6..).and_then(unit);
        let pair = match (first, second) {
            (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) => {
                char::from_u32(0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00))
            }
            _ => None,
        };
        let c = pair.ok_or_else(|| self.error("a lone surrogate is no character"))?;
        self.rest = &self.rest[12..];
        Ok(c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(text: &str) -> Vec<Segment> {
        Path::parse(text).unwrap().segments
    }

    fn name(text: &str) -> Segment {
        Segment::Name(text.to_owned())
    }

    #[test]
    fn every_segment_is_read() {
        assert_eq!(segments("$"), []);
        assert_eq!(
            segments("$.a['b'][\"c\"][0][*].*..d..['e f']"),
            [
                name("a"),
                name("b"),
                name("c"),
                Segment::Index(0),
                Segment::Wildcard,
                Segment::Wildcard,
                Segment::Descendant("d".into()),
                Segment::Descendant("e f".into()),
            ]
        );
        assert_eq!(segments("$ .a [ 'b' ] [ 1 ]"), [name("a"), name("b"), Segment::Index(1)]);
        assert_eq!(segments(r#"$['\'\\\/\n\u00e9\uD83D\uDE00']"#), [name("'\\/\né\u{1F600}")]);
        assert_eq!(segments("$.Ünï_9"), [name("Ünï_9")]);
        assert_eq!(segments("$['']"), [name("")]);
    }

    #[test]
    fn what_is_refused_is_named_with_its_offset() {
        for (text, problem, offset) in [
            ("", "a path begins with '$'", 0),
            ("a.b", "a path begins with '$'", 0),
            ("$.", "expected a name", 2),
            ("$..", "expected a name", 3),
            ("$..*", "only a name may follow '..'", 3),
            ("$..[0]", "only a name may follow '..'", 3),
            ("$.a[-1]", "negative index at offset 4 is not supported", 4),
            ("$[1:2]", "a slice at offset 3 is not supported", 3),
            ("$[:]", "a slice at offset 2 is not supported", 2),
            ("$[0,1]", "a union at offset 3 is not supported", 3),
            ("$['a','b']", "a union at offset 5 is not supported", 5),
            ("$.a[?(@.b)]", "a filter at offset 4 is not supported", 4),
            ("$[01]", "an index has no leading zero", 2),
            ("$[9007199254740992]", "an index is below 2^53", 2),
            ("$[99999999999999999999999]", "an index is below 2^53", 2),
            ("$.é-b", "expected '.', '..' or '['", 3),
            ("$.1a", "expected a name", 2),
            ("$[", "unfinished '['", 2),
            ("$['a'", "unfinished '['", 5),
            ("$['a", "unfinished quoted name", 2),
            ("$[a]", "expected an index, '*' or a quoted name", 2),
            (r"$['\x']", "unknown escape", 3),
            (r"$['\uD800']", "a lone surrogate is no character", 3),
            (r"$['\u12']", "expected four hex digits", 3),
            ("$.a ", "trailing white space", 3),
            ("$[0 1]", "expected ']'", 4),
        ] {
            let error = Path::parse(text).unwrap_err();
            assert!(error.message.contains(problem), "{text}: {}", error.message);
            assert_eq!(error.offset, Some(offset), "{text}: {}", error.message);
            assert_eq!(error.path.as_deref(), Some(text));
        }
    }
}
