//! JSON strings: where a plain run ends, what escapes mean, how a name is written.

const LOW: u64 = u64::from_le_bytes([0x01; 8]);
const HIGH: u64 = u64::from_le_bytes([0x80; 8]);

/// Offset of the first byte that is a quote, a backslash or a control character, or the length of `bytes`.
///
/// Eight bytes at a time; most strings end within the first few.
#[inline]
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        if i == SHORT_WORDS {
            return long_run(bytes);
        }
        let marks = special(*word);
        if marks != 0 {
            return i * 8 + (marks.trailing_zeros() / 8) as usize;
        }
    }
    let stop = tail.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\');
    words.len() * 8 + stop.unwrap_or(tail.len())
}

/// Words looked at one by one before a string counts as long.
const SHORT_WORDS: usize = 8;

/// The same for a string whose first words are plain: 32 bytes at a time.
#[inline(never)]
fn long_run(bytes: &[u8]) -> usize {
    let mut at = SHORT_WORDS * 8;
    for block in bytes[at..].as_chunks::<32>().0 {
        let words = block.as_chunks::<8>().0;
        if words.iter().fold(0, |marks, word| marks | special(*word)) != 0 {
            break;
        }
        at += 32;
    }
    let rest = &bytes[at..];
    at + rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\').unwrap_or(rest.len())
}

/// The high bit of each byte that is special: `(x - LOW * n) & !x & HIGH` marks bytes below `n`. A borrow can only make
/// false marks above a true one, and the lowest mark is the one that counts.
#[inline]
fn special(word: [u8; 8]) -> u64 {
    let x = u64::from_le_bytes(word);
    let quote = x ^ (LOW * u64::from(b'"'));
    let slash = x ^ (LOW * u64::from(b'\\'));
    let marks =
        (quote.wrapping_sub(LOW) & !quote) | (slash.wrapping_sub(LOW) & !slash) | (x.wrapping_sub(LOW * 0x20) & !x);
    marks & HIGH
}

/// Decodes the inside of a string as its bytes arrive, up to a number of decoded bytes. Lone surrogates become their
/// three bytes of generalised UTF-8, so that no two different names are ever equal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unescaper {
    pub(crate) bytes: Vec<u8>,
    state: Escape,
    code: u16,
    /// A high surrogate that waits for its low one.
    high: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Backslash,
    Hex(u8),
}

impl Unescaper {
    pub(crate) fn clear(&mut self) {
        *self = Unescaper { bytes: std::mem::take(&mut self.bytes), ..Unescaper::default() };
        self.bytes.clear();
    }

    /// The next bytes of the string's inside; escapes are known to be well formed.
    pub(crate) fn push(&mut self, inside: &[u8]) {
        for &byte in inside {
            self.push_byte(byte);
        }
    }

    fn push_byte(&mut self, byte: u8) {
        match self.state {
            Escape::None if byte == b'\\' => self.state = Escape::Backslash,
            Escape::None => self.put(byte),
            Escape::Backslash if byte == b'u' => {
                self.code = 0;
                self.state = Escape::Hex(4);
            }
            Escape::Backslash => {
                self.state = Escape::None;
                self.put(match byte {
                    b'b' => 0x08,
                    b'f' => 0x0C,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => other,
                });
            }
            Escape::Hex(left) => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0) as u16;
                self.code = (self.code << 4) | digit;
                self.state = if left == 1 { Escape::None } else { Escape::Hex(left - 1) };
                if left == 1 {
                    self.unit(self.code);
                }
            }
        }
    }

    fn put(&mut self, byte: u8) {
        self.lone_high();
        self.bytes.push(byte);
    }

    fn unit(&mut self, unit: u16) {
        match (self.high.take(), unit) {
            (Some(high), 0xDC00..=0xDFFF) => {
                let code = 0x10000 + ((u32::from(high) - 0xD800) << 10) + (u32::from(unit) - 0xDC00);
                self.scalar(code);
            }
            (high, _) => {
                self.high = high;
                self.lone_high();
                if (0xD800..0xDC00).contains(&unit) {
                    self.high = Some(unit);
                } else {
                    self.scalar(u32::from(unit));
                }
            }
        }
    }

    fn scalar(&mut self, code: u32) {
        match char::from_u32(code) {
            Some(c) => self.bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None => self.bytes.extend_from_slice(&surrogate(code)),
        }
    }

    fn lone_high(&mut self) {
        if let Some(high) = self.high.take() {
            self.bytes.extend_from_slice(&surrogate(u32::from(high)));
        }
    }

    /// The string ended.
    pub(crate) fn finish(&mut self) -> &[u8] {
        self.lone_high();
        &self.bytes
    }
}

fn surrogate(code: u32) -> [u8; 3] {
    [0xE0 | (code >> 12) as u8, 0x80 | ((code >> 6) & 0x3F) as u8, 0x80 | (code & 0x3F) as u8]
}

/// Writes a string as JSON, quoted: `"`, `\` and control characters escaped, all else as it is.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(inside: &str) -> Vec<u8> {
        let mut unescaper = Unescaper::default();
        unescaper.push(inside.as_bytes());
        unescaper.finish().to_vec()
    }

    #[test]
    fn a_plain_run_stops_where_a_byte_loop_stops() {
        for special in [b'"', b'\\', 0, 0x1F, b'\n'] {
            for length in (0..40).chain(60..70).chain(95..135) {
                for at in 0..length {
                    for fill in [b'a', 0x20, 0x21, 0x23, 0x5B, 0x5D, 0x7F, 0x80, 0xA2, 0xDC, 0xFF] {
                        let mut bytes = vec![fill; length];
                        bytes[at] = special;
                        assert_eq!(plain_run(&bytes), at);
                        assert_eq!(plain_run(&bytes[..at]), at);
                    }
                }
            }
        }
    }

    #[test]
    fn escapes_mean_what_rfc_8259_says() {
        assert_eq!(decode(r#"a\"\\\/\b\f\n\r\tz"#), b"a\"\\/\x08\x0C\n\r\tz");
        assert_eq!(decode(r"mod\u0065l"), b"model");
        assert_eq!(decode(r"\uD83D\uDE00"), "\u{1F600}".as_bytes());
        assert_eq!(decode(r"\uD83Dx"), b"\xED\xA0\xBDx");
        assert_eq!(decode(r"\uD83D\uD83D\uDE00"), b"\xED\xA0\xBD\xF0\x9F\x98\x80");
        assert_eq!(decode(r"\uDE00"), b"\xED\xB8\x80");
        assert_eq!(decode(r"\uD83D"), b"\xED\xA0\xBD");
    }

    #[test]
    fn strings_are_written_as_json_dumps_writes_them() {
        let mut out = Vec::new();
        write_string("a\"\\\n\u{1}\u{7f}é", &mut out);
        assert_eq!(out, "\"a\\\"\\\\\\n\\u0001\u{7f}é\"".as_bytes());
    }
}
