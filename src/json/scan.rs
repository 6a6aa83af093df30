//! The resumable scanner: checks a JSON text as its bytes arrive and tells a [`Sink`] where things stand.
//!
//! Rule 1: a text is what RFC 8259 says, and `NaN`, `Infinity`, `-Infinity` count as scalars (Python servers write
//! them). Bytes above 0x7F inside strings are not looked at. At most [`MAX_DEPTH`] containers are open at once.
//! Rule 2: offsets are those of the stream, given by the caller with each piece; pieces need not be adjacent (a text
//! over several lines is not).
//! Rule 3: a name reaches the sink decoded, in one piece, however it was spelled or cut. A name longer than any that
//! could matter reaches it as `None` as soon as it is that long.
//! Rule 4: the sink chooses at each container whether it wants to hear of what is inside. What it does not want is
//! still checked.
//!
//! Theory of operation: one loop over the bytes, one state, a bit per open container, no recursion. A number has no
//! end of its own, so the byte after it ends it. Any state may stand between two pieces.

use crate::limits::{MAX_DEPTH, NAME_HELD};

use super::string::{Unescaper, plain_run};
use super::token::{Literal, Number};

/// What a scanner tells. All offsets are the caller's; `after` is the offset just past the thing.
pub(crate) trait Sink {
    /// A container begins. True: tell me of its members or elements, down to `close`. False: only `skipped`.
    fn open(&mut self, at: u64, object: bool) -> bool;
    /// The container told of last ends.
    fn close(&mut self, after: u64);
    /// A container that was not wanted ends.
    fn skipped(&mut self, after: u64);
    /// A string, number or literal begins.
    fn scalar(&mut self, at: u64);
    /// It ends.
    fn scalar_end(&mut self, after: u64);
    /// A member's name begins with its quote.
    fn name_start(&mut self, at: u64);
    /// The name is known, or known to be longer than all that matter.
    fn name(&mut self, name: Option<&[u8]>);
    /// The name's closing quote is read.
    fn name_end(&mut self, after: u64);
    /// A comma between members or elements.
    fn comma(&mut self, at: u64);
    /// Asked after each value: stop here, whatever is left of the piece?
    fn pause(&self) -> bool;
}

/// Only checks.
pub(crate) struct NoSink;

impl Sink for NoSink {
    fn open(&mut self, _: u64, _: bool) -> bool {
        false
    }
    fn close(&mut self, _: u64) {}
    fn skipped(&mut self, _: u64) {}
    fn scalar(&mut self, _: u64) {}
    fn scalar_end(&mut self, _: u64) {}
    fn name_start(&mut self, _: u64) {}
    fn name(&mut self, _: Option<&[u8]>) {}
    fn name_end(&mut self, _: u64) {}
    fn comma(&mut self, _: u64) {}
    fn pause(&self) -> bool {
        false
    }
}

/// How far the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// One whole text, and nothing else.
    Complete,
    /// Right so far, but not whole.
    Incomplete,
    /// Wrong at this offset.
    Invalid(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value must come.
    Value,
    /// After `[`: a value or `]`.
    FirstElement,
    /// After `{`: a name or `}`.
    FirstName,
    /// After a comma in an object: a name.
    NextName,
    /// After a name.
    Colon,
    /// After a value in a container: a comma or the end.
    After,
    /// After the text: white space.
    Done,
    /// In a string or a name, outside an escape.
    String,
    /// In a string or a name, after a backslash.
    Backslash,
    /// In a string or a name, so many hex digits of `\u` to come.
    Hex(u8),
    Number(Number),
    /// In this literal, so many bytes of it read.
    Literal(Literal, u8),
    /// Wrong, at the scanner's `invalid_at`.
    Invalid,
}

/// The scanner of one text.
#[derive(Clone, Debug)]
pub(crate) struct Scanner {
    state: State,
    invalid_at: u64,
    /// The sink asked for a pause after the last byte read.
    pub(crate) paused: bool,
    /// The string being read is a name.
    in_name: bool,
    /// The name being read reached the sink already, as too long.
    name_told: bool,
    depth: u16,
    /// Depth of the outermost container that the sink does not want; 0 where there is none.
    skip: u16,
    /// A bit per open container: set for an object.
    objects: [u64; MAX_DEPTH / 64],
    /// A name that was cut or holds escapes, decoded so far.
    name: Unescaper,
    name_limit: usize,
}

impl Scanner {
    pub(crate) fn new() -> Self {
        Scanner {
            state: State::Value,
            invalid_at: 0,
            paused: false,
            in_name: false,
            name_told: false,
            depth: 0,
            skip: 0,
            objects: [0; MAX_DEPTH / 64],
            name: Unescaper::default(),
            name_limit: NAME_HELD,
        }
    }

    /// Names up to so many decoded bytes reach the sink.
    pub(crate) fn set_name_limit(&mut self, longest: usize) {
        self.name_limit = longest.max(NAME_HELD);
    }

    /// Ready for the next text.
    pub(crate) fn reset(&mut self) {
        self.state = State::Value;
        self.depth = 0;
        self.skip = 0;
        if self.name.bytes.capacity() > crate::limits::IDLE_CAPACITY {
            self.name = Unescaper::default();
        }
    }

    /// What the text is if no byte follows.
    pub(crate) fn status(&self) -> Status {
        match self.state {
            State::Done => Status::Complete,
            State::Number(number) if self.depth == 0 && number.may_end() => Status::Complete,
            State::Invalid => Status::Invalid(self.invalid_at),
            _ => Status::Incomplete,
        }
    }

    /// True once something other than white space was read.
    pub(crate) fn has_begun(&self) -> bool {
        self.depth > 0 || self.state != State::Value
    }

    /// True in a number that is the whole text: only the end of the text ends it.
    pub(crate) fn in_bare_number(&self) -> bool {
        self.depth == 0 && matches!(self.state, State::Number(_))
    }

    /// No digit follows here: a number in a container ends.
    pub(crate) fn end_number<S: Sink>(&mut self, at: u64, sink: &mut S) {
        if let State::Number(number) = self.state
            && number.may_end()
            && self.depth > 0
        {
            self.end_scalar(at, sink);
        }
    }

    /// The text is wrong, the caller says where.
    pub(crate) fn invalidate(&mut self, at: u64) {
        self.state = State::Invalid;
        self.invalid_at = at;
    }

    #[inline]
    fn in_object(&self) -> bool {
        let at = usize::from(self.depth) - 1;
        self.objects[at / 64] >> (at % 64) & 1 == 1
    }

    fn told(&self) -> bool {
        self.skip == 0
    }

    /// Reads a piece whose first byte stands at offset `base`. Returns how many bytes were read: all, unless the sink
    /// asked for a pause.
    pub(crate) fn feed<S: Sink>(&mut self, input: &[u8], base: u64, sink: &mut S) -> usize {
        let mut i = 0;
        self.paused = false;
        while let Some(&byte) = input.get(i) {
            let at = base + i as u64;
            match self.state {
                State::String => {
                    let run = plain_run(&input[i..]);
                    if self.in_name && self.told() {
                        self.push_name(&input[i..i + run], sink);
                    }
                    i += run;
                    match input.get(i) {
                        None => break,
                        Some(b'"') => {
                            i += 1;
                            let after = base + i as u64;
                            if self.in_name {
                                self.end_name(after, sink);
                            } else {
                                self.end_scalar(after, sink);
                                if sink.pause() {
                                    self.paused = true;
                                    break;
                                }
                            }
                        }
                        Some(b'\\') => {
                            self.push_escape(b'\\');
                            self.state = State::Backslash;
                            i += 1;
                        }
                        Some(_) => self.invalidate(base + i as u64),
                    }
                    continue;
                }
                State::After => match byte {
                    b',' => {
                        if self.told() {
                            sink.comma(at);
                        }
                        self.state = if self.in_object() { State::NextName } else { State::Value };
                    }
                    b'}' if self.in_object() => self.close(at + 1, sink),
                    b']' if !self.in_object() => self.close(at + 1, sink),
                    b' ' | b'\n' | b'\r' | b'\t' => {}
                    _ => self.invalidate(at),
                },
                State::Value | State::FirstElement => match byte {
                    b' ' | b'\n' | b'\r' | b'\t' => {}
                    b']' if self.state == State::FirstElement => self.close(at + 1, sink),
                    _ => self.begin_value(byte, at, sink),
                },
                State::FirstName | State::NextName => match byte {
                    b' ' | b'\n' | b'\r' | b'\t' => {}
                    b'"' => {
                        if self.told() {
                            sink.name_start(at);
                            // Most names hold no escape and are not cut: they reach the sink where they stand.
                            let rest = &input[i + 1..];
                            let run = plain_run(rest);
                            if rest.get(run) == Some(&b'"') && run <= self.name_limit {
                                i += run + 2;
                                sink.name(Some(&rest[..run]));
                                sink.name_end(base + i as u64);
                                self.state = State::Colon;
                                if input.get(i) == Some(&b':') {
                                    self.state = State::Value;
                                    i += 1;
                                }
                                continue;
                            }
                            self.name.clear();
                            self.name_told = false;
                        }
                        self.in_name = true;
                        self.state = State::String;
                    }
                    b'}' if self.state == State::FirstName => self.close(at + 1, sink),
                    _ => self.invalidate(at),
                },
                State::Colon => match byte {
                    b':' => self.state = State::Value,
                    b' ' | b'\n' | b'\r' | b'\t' => {}
                    _ => self.invalidate(at),
                },
                State::Number(Number::Digits | Number::Fraction) if byte.is_ascii_digit() => {
                    let digits = input[i..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                    i += digits;
                    continue;
                }
                State::Number(number) => match number.next(byte) {
                    Some(next) => self.state = State::Number(next),
                    None if number == Number::Minus && byte == b'I' => {
                        self.state = State::Literal(Literal::MinusInfinity, 2);
                    }
                    None if number.may_end() => {
                        // The byte is not part of the number: it is looked at again in the state after it.
                        self.end_scalar(at, sink);
                        if sink.pause() {
                            self.paused = true;
                            break;
                        }
                        continue;
                    }
                    None => self.invalidate(at),
                },
                State::Literal(literal, read) => {
                    let rest = &literal.text()[usize::from(read)..];
                    if input[i..].starts_with(rest) {
                        i += rest.len();
                        self.end_scalar(base + i as u64, sink);
                        if sink.pause() {
                            self.paused = true;
                            break;
                        }
                        continue;
                    }
                    if rest[0] == byte {
                        self.state = State::Literal(literal, read + 1);
                    } else {
                        self.invalidate(at);
                    }
                }
                State::Backslash => {
                    self.push_escape(byte);
                    match byte {
                        b'u' => self.state = State::Hex(4),
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.state = State::String,
                        _ => self.invalidate(at),
                    }
                }
                State::Hex(left) => {
                    self.push_escape(byte);
                    match byte {
                        b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' if left == 1 => self.state = State::String,
                        b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => self.state = State::Hex(left - 1),
                        _ => self.invalidate(at),
                    }
                }
                State::Done => match byte {
                    b' ' | b'\n' | b'\r' | b'\t' => {}
                    _ => self.invalidate(at),
                },
                State::Invalid => return input.len(),
            }
            i += 1;
            if matches!(self.state, State::After | State::Done) && sink.pause() {
                self.paused = true;
                break;
            }
        }
        i
    }

    fn begin_value<S: Sink>(&mut self, byte: u8, at: u64, sink: &mut S) {
        let state = match byte {
            b'{' | b'[' => return self.open(byte == b'{', at, sink),
            b'"' => {
                self.in_name = false;
                State::String
            }
            b'-' => State::Number(Number::Minus),
            b'0' => State::Number(Number::Zero),
            b'1'..=b'9' => State::Number(Number::Digits),
            b't' => State::Literal(Literal::True, 1),
            b'f' => State::Literal(Literal::False, 1),
            b'n' => State::Literal(Literal::Null, 1),
            b'N' => State::Literal(Literal::NaN, 1),
            b'I' => State::Literal(Literal::Infinity, 1),
            _ => return self.invalidate(at),
        };
        if self.told() {
            sink.scalar(at);
        }
        self.state = state;
    }

    fn open<S: Sink>(&mut self, object: bool, at: u64, sink: &mut S) {
        let depth = usize::from(self.depth);
        if depth == MAX_DEPTH {
            return self.invalidate(at);
        }
        let bit = 1 << (depth % 64);
        if object {
            self.objects[depth / 64] |= bit;
            self.state = State::FirstName;
        } else {
            self.objects[depth / 64] &= !bit;
            self.state = State::FirstElement;
        }
        self.depth += 1;
        if self.told() && !sink.open(at, object) {
            self.skip = self.depth;
        }
    }

    fn close<S: Sink>(&mut self, after: u64, sink: &mut S) {
        if self.told() {
            sink.close(after);
        } else if self.skip == self.depth {
            self.skip = 0;
            sink.skipped(after);
        }
        self.depth -= 1;
        self.state = self.after_value();
    }

    fn end_scalar<S: Sink>(&mut self, after: u64, sink: &mut S) {
        if self.told() {
            sink.scalar_end(after);
        }
        self.state = self.after_value();
    }

    fn after_value(&self) -> State {
        if self.depth == 0 { State::Done } else { State::After }
    }

    fn push_name<S: Sink>(&mut self, plain: &[u8], sink: &mut S) {
        if self.name_told {
            return;
        }
        let room = (self.name_limit + 1).saturating_sub(self.name.bytes.len());
        self.name.push(&plain[..plain.len().min(room)]);
        if self.name.bytes.len() > self.name_limit {
            self.name_told = true;
            sink.name(None);
        }
    }

    fn push_escape(&mut self, byte: u8) {
        if self.in_name && self.told() && !self.name_told {
            self.name.push(&[byte]);
        }
    }

    fn end_name<S: Sink>(&mut self, after: u64, sink: &mut S) {
        if self.told() {
            if !self.name_told {
                let name = self.name.finish();
                sink.name((name.len() <= self.name_limit).then_some(name));
            }
            sink.name_end(after);
        }
        self.state = State::Colon;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &[u8]) -> Status {
        let mut whole = Scanner::new();
        whole.feed(text, 0, &mut NoSink);
        let mut bytewise = Scanner::new();
        for (i, byte) in text.iter().enumerate() {
            bytewise.feed(&[*byte], i as u64, &mut NoSink);
        }
        assert_eq!(whole.status(), bytewise.status(), "{text:?}");
        whole.status()
    }

    #[test]
    fn texts_are_accepted() {
        for text in [
            "{}",
            "[]",
            " [ ] ",
            "0",
            "-0",
            "-1.5e+10",
            "1E5",
            "12",
            "\"\"",
            "\"a\\u00e9\\n\"",
            "null",
            "true",
            "false",
            "NaN",
            "-Infinity",
            "Infinity",
            "{\"a\":[1,{\"b\":null}],\"\":0}\n",
            "[\"\\\\\"]",
            "\t{\"a\" : 1 }\r\n",
        ] {
            assert_eq!(status(text.as_bytes()), Status::Complete, "{text}");
        }
    }

    #[test]
    fn texts_are_refused_at_their_first_wrong_byte() {
        for (text, at) in [
            ("{]", 1),
            ("[}", 1),
            ("[1,]", 3),
            ("{\"a\":1,}", 7),
            ("01", 1),
            ("1.e", 2),
            ("-a", 1),
            ("-NaN", 1),
            ("\"\n\"", 1),
            ("\"\\x\"", 2),
            ("\"\\u12g\"", 5),
            ("nul1", 3),
            ("[1 2]", 3),
            ("{a:1}", 1),
            ("1 2", 2),
            ("'a'", 0),
            ("{\"a\" 1}", 5),
            ("[1]]", 3),
            ("+1", 0),
            ("{\"a\":}", 5),
            ("[,1]", 1),
            ("{,}", 1),
        ] {
            assert_eq!(status(text.as_bytes()), Status::Invalid(at), "{text}");
        }
    }

    #[test]
    fn texts_are_incomplete() {
        for text in ["", " ", "{", "[1", "\"a", "-", "1.", "1e", "1e+", "tru", "{\"a\"", "{\"a\":", "-Infinit", "[\"\\"]
        {
            assert_eq!(status(text.as_bytes()), Status::Incomplete, "{text}");
        }
    }

    #[test]
    fn depth_is_limited() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert_eq!(status(&nested(MAX_DEPTH)), Status::Complete);
        assert_eq!(status(&nested(MAX_DEPTH + 1)), Status::Invalid(MAX_DEPTH as u64));
    }

    #[derive(Default)]
    struct Names(Vec<Option<Vec<u8>>>);

    impl Sink for Names {
        fn open(&mut self, _: u64, _: bool) -> bool {
            true
        }
        fn close(&mut self, _: u64) {}
        fn skipped(&mut self, _: u64) {}
        fn scalar(&mut self, _: u64) {}
        fn scalar_end(&mut self, _: u64) {}
        fn name_start(&mut self, _: u64) {}
        fn name(&mut self, name: Option<&[u8]>) {
            self.0.push(name.map(<[u8]>::to_vec));
        }
        fn name_end(&mut self, _: u64) {}
        fn comma(&mut self, _: u64) {}
        fn pause(&self) -> bool {
            false
        }
    }

    #[test]
    fn names_arrive_decoded_whatever_the_cut() {
        let long = "n".repeat(NAME_HELD);
        let text = format!(
            r#"{{"mod\u0065l":1,"":2,"\uD83D\uDE00":{{"a\"b":3}},"{long}":4,"{long}n":5,"\u006e{long}":6,"\ud800":7}}"#
        );
        let mut names: Vec<Option<Vec<u8>>> =
            ["model", "", "\u{1F600}", "a\"b", &long].iter().map(|n| Some(n.as_bytes().to_vec())).collect();
        names.extend([None, None, Some(b"\xED\xA0\x80".to_vec())]);
        for size in [1, 2, 3, 7, 64, text.len()] {
            let mut scanner = Scanner::new();
            let mut sink = Names::default();
            for piece in text.as_bytes().chunks(size) {
                scanner.feed(piece, 0, &mut sink);
            }
            assert_eq!(scanner.status(), Status::Complete);
            assert_eq!(sink.0, names, "pieces of {size}");
        }
    }
}
