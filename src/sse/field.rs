//! Field names.

/// What a line is, by its field name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// A line that begins with a colon.
    Comment,
    Data,
    Event,
    Id,
    Retry,
    /// A name that the standard tells clients to ignore.
    Other,
}

/// A field name as its bytes arrive. No known name is longer than five bytes, so six say "other" for good.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Name {
    bytes: [u8; 5],
    len: u8,
}

impl Name {
    pub(crate) fn is_empty(self) -> bool {
        self.len == 0
    }

    /// True once no further byte can make it a known name.
    pub(crate) fn is_other(self) -> bool {
        usize::from(self.len) > self.bytes.len()
    }

    pub(crate) fn push(&mut self, byte: u8) {
        match self.bytes.get_mut(usize::from(self.len)) {
            Some(slot) => {
                *slot = byte;
                self.len += 1;
            }
            None => *self = Name::other(),
        }
    }

    pub(crate) fn other() -> Self {
        Name { bytes: [0; 5], len: 6 }
    }

    pub(crate) fn field(self) -> Field {
        match self.bytes.get(..usize::from(self.len)) {
            Some(b"") => Field::Comment,
            Some(b"data") => Field::Data,
            Some(b"event") => Field::Event,
            Some(b"id") => Field::Id,
            Some(b"retry") => Field::Retry,
            _ => Field::Other,
        }
    }
}
