//! Literals and numbers, byte by byte.

/// A literal, and what Python's servers write besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    True,
    False,
    Null,
    NaN,
    Infinity,
    MinusInfinity,
}

impl Literal {
    pub(super) fn text(self) -> &'static [u8] {
        match self {
            Literal::True => b"true",
            Literal::False => b"false",
            Literal::Null => b"null",
            Literal::NaN => b"NaN",
            Literal::Infinity => b"Infinity",
            Literal::MinusInfinity => b"-Infinity",
        }
    }
}

/// Where in a number (RFC 8259 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    E,
    ESign,
    Exponent,
}

impl Number {
    /// Where the next byte leads, if it is part of the number.
    pub(super) fn next(self, byte: u8) -> Option<Number> {
        use Number::{Digits, E, ESign, Exponent, Fraction, Minus, Point, Zero};
        Some(match (self, byte) {
            (Minus, b'0') => Zero,
            (Minus, b'1'..=b'9') | (Digits, b'0'..=b'9') => Digits,
            (Zero | Digits, b'.') => Point,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (Zero | Digits | Fraction, b'e' | b'E') => E,
            (E, b'+' | b'-') => ESign,
            (E | ESign | Exponent, b'0'..=b'9') => Exponent,
            _ => return None,
        })
    }

    /// True where the number is whole.
    pub(super) fn may_end(self) -> bool {
        matches!(self, Number::Zero | Number::Digits | Number::Fraction | Number::Exponent)
    }
}
