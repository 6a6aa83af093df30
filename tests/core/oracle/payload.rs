//! The payload of a block: the join of its data lines, and the way back from it to the stream.

use std::ops::Range;

use super::edits::Edit;
use super::json;
use super::lines::Line;

/// What the payload of a block is.
pub(super) enum Content {
    None,
    Done,
    /// An object or an array.
    Tree(json::Tree),
    /// A scalar, and whether more digits could follow it.
    Scalar(bool),
    /// No JSON: up to which byte of the payload it could have been.
    Other(usize),
}

/// White space to Rust, but not to JSON.
const FORM_FEED: u8 = 0x0C;

/// The payload of a block, and where each of its bytes comes from.
pub(super) struct Joined {
    pub(super) text: Vec<u8>,
    places: Vec<Place>,
    /// Where the last data line ends.
    end: usize,
}

enum Place {
    Byte(usize),
    /// The LF between two data lines: from the ending of the one to the value of the next.
    Join {
        gap: Range<usize>,
        is_direct: bool,
    },
}

impl Joined {
    pub(super) fn new(stream: &[u8], block: &[Line]) -> Self {
        let mut joined = Joined { text: Vec::new(), places: Vec::new(), end: 0 };
        let mut last: Option<usize> = None;
        for (i, line) in block.iter().enumerate() {
            if line.field(stream) != Some(b"data") {
                continue;
            }
            if let Some(last) = last {
                joined.text.push(b'\n');
                let gap = block[last].content_end..line.value.start;
                joined.places.push(Place::Join { gap, is_direct: last + 1 == i });
            }
            last = Some(i);
            joined.text.extend(&stream[line.value.clone()]);
            joined.places.extend(line.value.clone().map(Place::Byte));
            joined.end = line.content_end;
        }
        joined
    }

    pub(super) fn content(&self, has_data: bool) -> Content {
        match json::parse(&self.text) {
            _ if !has_data => Content::None,
            _ if self.text.trim_ascii() == b"[DONE]" && !self.text.contains(&FORM_FEED) => Content::Done,
            Ok(tree) if tree[0].kind.is_container() => Content::Tree(tree),
            Ok(tree) => {
                let may_go_on = tree[0].kind == json::Kind::Number && tree[0].span.end == self.text.len();
                Content::Scalar(may_go_on)
            }
            Err(at) => Content::Other(at),
        }
    }

    pub(super) fn is_space(&self) -> bool {
        self.text.iter().all(|byte| b" \t\n\r".contains(byte))
    }

    /// Where in the stream a byte of the payload stands; a join, where the payload goes on.
    pub(super) fn offset(&self, at: usize) -> usize {
        match self.places.get(at) {
            Some(Place::Byte(offset)) => *offset,
            Some(Place::Join { gap, .. }) => gap.end,
            None => self.end,
        }
    }

    /// An edit of the payload as edits of the stream: bytes go, and so does a join, unless another line stands in it.
    pub(super) fn place(&self, edit: Edit) -> Vec<(Range<usize>, Vec<u8>)> {
        let start = match edit.at.is_empty() {
            true => self.offset(edit.at.start - 1) + 1,
            false => self.offset(edit.at.start),
        };
        let mut edits = vec![(start..start, edit.text)];
        for place in &self.places[edit.at] {
            match place {
                Place::Byte(offset) => edits.push((*offset..*offset + 1, Vec::new())),
                Place::Join { gap, is_direct: true } => edits.push((gap.clone(), Vec::new())),
                Place::Join { is_direct: false, .. } => {}
            }
        }
        edits
    }
}
