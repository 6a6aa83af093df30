//! The only owner of bytes kept between two calls.

use crate::limits::IDLE_CAPACITY;

#[derive(Clone, Debug, Default)]
pub(crate) struct Hold {
    buffer: Vec<u8>,
    /// Bytes at the front that have left since.
    gone: usize,
}

impl Hold {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.gone..]
    }

    /// Keeps the last `count` bytes of what was held and the chunk, and lets the rest go.
    #[inline]
    pub(crate) fn keep(&mut self, count: usize, chunk: &[u8], limit: usize) {
        if count > 0 || !self.buffer.is_empty() {
            self.keep_some(count, chunk, limit);
        }
    }

    fn keep_some(&mut self, count: usize, chunk: &[u8], limit: usize) {
        if let Some(start) = chunk.len().checked_sub(count) {
            self.buffer.clear();
            self.gone = 0;
            append(&mut self.buffer, &chunk[start..], limit);
            if count == 0 && self.buffer.capacity() > IDLE_CAPACITY {
                self.buffer = Vec::new();
            }
            return;
        }
        self.gone = self.buffer.len() - (count - chunk.len());
        // Moving the rest to the front costs its length, so it waits until a quarter is gone: linear in all.
        if self.gone * 4 > self.buffer.len() {
            self.buffer.drain(..self.gone);
            self.gone = 0;
        }
        append(&mut self.buffer, chunk, limit);
    }
}

/// Appends to a buffer whose room grows by doubling up to `limit`, by an eighth from there on.
pub(crate) fn append(buffer: &mut Vec<u8>, bytes: &[u8], limit: usize) {
    let needed = buffer.len() + bytes.len();
    if needed > buffer.capacity() {
        let doubled = (buffer.capacity() * 2).max(64).min(limit);
        let room = if needed > limit { needed + needed / 8 } else { needed.max(doubled) };
        buffer.reserve_exact(room - buffer.len());
    }
    buffer.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept_whatever_was_kept_before() {
        let input: Vec<u8> = (0..=255).cycle().take(5000).collect();
        for (step, count) in [(1, 3), (7, 7), (7, 100), (100, 40), (64, 0), (1, 900)] {
            let mut hold = Hold::default();
            let mut fed = 0;
            for chunk in input.chunks(step) {
                fed += chunk.len();
                let count = count.min(hold.bytes().len() + chunk.len());
                hold.keep(count, chunk, 1024);
                assert_eq!(hold.bytes(), &input[fed - count..fed]);
                assert!(hold.buffer.capacity() <= 2048);
            }
        }
    }
}
