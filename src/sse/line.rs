//! Lines, cut anywhere.
//!
//! Rule 1: a line ends in LF, CRLF or CR. A CR that is the last byte seen ends its line at once; an LF that comes
//! first in the next input belongs to it ([`Step::LateLf`]).
//! Rule 2: the name is what stands before the first colon, one space after the colon is not part of the value, a
//! line without colon is a name with an empty value, a line that begins with a colon is a comment.
//! Rule 3: one BOM at the very start of the stream is no part of the first line.
//!
//! Theory of operation: the caller pulls one [`Step`] at a time and gets ranges of its own input, nothing is copied
//! and no byte is looked at twice. Between two inputs four things are kept, each of which prevents a known bug.

use memchr::{memchr2, memchr3};

use super::field::{Field, Name};

/// How a line ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ending {
    #[default]
    Lf,
    Cr,
    CrLf,
}

impl Ending {
    pub(crate) fn bytes(self) -> &'static [u8] {
        match self {
            Ending::Lf => b"\n",
            Ending::Cr => b"\r",
            Ending::CrLf => b"\r\n",
        }
    }
}

/// One step through the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A leading BOM ends here.
    Bom,
    /// The line's field is known; its value begins here or one space later.
    Field(Field),
    /// Input bytes `start..end` are part of the line's value.
    Value(usize, usize),
    /// The line that had a field ends; its ending is consumed. `content_end` is where the ending starts.
    End { content_end: usize },
    /// A blank line ends here.
    Blank,
    /// The LF of a CRLF whose CR ended the input before.
    LateLf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of the stream, so many bytes of a BOM seen. (A BOM may be cut, too.)
    Bom(u8),
    /// In the field name. (A name may be cut: "da" "ta".)
    Name,
    /// After the colon: one space may follow. (The space may be cut from its colon.)
    Space,
    /// In the value.
    Value,
}

const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];

#[derive(Clone, Debug)]
pub(crate) struct LineScanner {
    state: State,
    name: Name,
    /// The last byte of the last input was a CR. (Otherwise a cut CRLF gives a phantom blank line.)
    after_cr: bool,
    ending: Ending,
    ending_before: Ending,
}

impl LineScanner {
    pub(crate) fn new() -> Self {
        LineScanner {
            state: State::Bom(0),
            name: Name::default(),
            after_cr: false,
            ending: Ending::Lf,
            ending_before: Ending::Lf,
        }
    }

    /// A scanner that begins inside a value.
    pub(crate) fn in_value() -> Self {
        LineScanner { state: State::Value, ..LineScanner::new() }
    }

    /// True where the last line ended in a lone CR.
    pub(crate) fn ended_in_cr(&self) -> bool {
        self.ending == Ending::Cr
    }

    /// True where the last line ended in a lone LF.
    pub(crate) fn ended_in_lf(&self) -> bool {
        self.ending == Ending::Lf
    }

    /// True where a line can begin and nothing of what came before matters.
    #[inline]
    pub(crate) fn is_fresh(&self) -> bool {
        self.state == State::Name && self.name.is_empty() && !self.after_cr
    }

    /// True at the start of a line and in its field name.
    pub(crate) fn in_name(&self) -> bool {
        matches!(self.state, State::Name | State::Bom(_))
    }

    /// What the line would be if it ended in its field name.
    pub(crate) fn open_name(&self) -> Option<Field> {
        (self.state == State::Name && !self.name.is_empty()).then(|| self.name.field())
    }

    /// True where no byte of a line is open.
    pub(crate) fn at_line_start(&self) -> bool {
        matches!(self.state, State::Bom(0)) || (self.state == State::Name && self.name.is_empty())
    }

    /// The bytes that make the standard dispatch an event that the stream left without its blank line: the stream's
    /// own line ending, twice where a line is open. A lone CR at the end of a CRLF stream is half a CRLF.
    pub(crate) fn closing(&self, line_open: bool) -> Vec<u8> {
        if line_open {
            return self.ending.bytes().repeat(2);
        }
        if self.after_cr && self.ending_before == Ending::CrLf {
            return b"\n\r\n".to_vec();
        }
        self.ending.bytes().to_vec()
    }

    /// The next step in `input[*pos..]`, or `None` where the input is used up.
    #[inline]
    pub(crate) fn next(&mut self, input: &[u8], pos: &mut usize) -> Option<Step> {
        loop {
            let rest = &input[*pos..];
            let &first = rest.first()?;
            if self.after_cr {
                self.after_cr = false;
                if first == b'\n' {
                    *pos += 1;
                    self.ending = Ending::CrLf;
                    return Some(Step::LateLf);
                }
            }
            match self.state {
                State::Name => {
                    if self.name.is_empty() && rest.starts_with(b"data:") {
                        *pos += 5;
                        self.state = State::Space;
                        return Some(Step::Field(Field::Data));
                    }
                    match first {
                        b':' => {
                            *pos += 1;
                            return Some(self.named(State::Space));
                        }
                        b'\n' | b'\r' if self.name.is_empty() => {
                            self.end_line(rest, pos);
                            return Some(Step::Blank);
                        }
                        b'\n' | b'\r' => return Some(self.named(State::Value)),
                        _ if self.name.is_other() => {
                            *pos += memchr3(b':', b'\n', b'\r', rest).unwrap_or(rest.len());
                        }
                        byte => {
                            self.name.push(byte);
                            *pos += 1;
                        }
                    }
                }
                State::Space => {
                    self.state = State::Value;
                    if first == b' ' {
                        *pos += 1;
                    }
                }
                State::Value => {
                    let start = *pos;
                    let end = memchr2(b'\n', b'\r', rest).map_or(input.len(), |n| start + n);
                    if end > start {
                        *pos = end;
                        return Some(Step::Value(start, end));
                    }
                    self.end_line(rest, pos);
                    self.state = State::Name;
                    return Some(Step::End { content_end: start });
                }
                State::Bom(seen) => {
                    if first == BOM[usize::from(seen)] {
                        *pos += 1;
                        if seen == 2 {
                            self.state = State::Name;
                            return Some(Step::Bom);
                        }
                        self.state = State::Bom(seen + 1);
                    } else {
                        self.state = State::Name;
                        if seen > 0 {
                            self.name = Name::other();
                        }
                    }
                }
            }
        }
    }

    fn named(&mut self, next: State) -> Step {
        let field = self.name.field();
        self.name = Name::default();
        self.state = next;
        Step::Field(field)
    }

    fn end_line(&mut self, rest: &[u8], pos: &mut usize) {
        self.ending_before = self.ending;
        let length = match rest {
            [b'\n', ..] => {
                self.ending = Ending::Lf;
                1
            }
            [b'\r', b'\n', ..] => {
                self.ending = Ending::CrLf;
                2
            }
            _ => {
                self.ending = Ending::Cr;
                self.after_cr = rest.len() == 1;
                1
            }
        };
        *pos += length;
    }
}
