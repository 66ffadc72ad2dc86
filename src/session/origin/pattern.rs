//! A body of any length from one block of memory.

use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
};

/// The pattern repeats after this many bytes: the largest prime below 64 KiB, so that a lost or doubled block of a buffer's
/// size does not go unseen.
const PERIOD_BYTES: usize = 65_521;
/// A line feed ends every line of a terminal's width.
const LINE_BYTES: usize = 64;
/// The printable characters of ASCII without the space.
const PRINTABLE: usize = 94;

static BLOCK: LazyLock<Bytes> = LazyLock::new(|| (0..PERIOD_BYTES).map(byte_at).collect());

/// A number of bytes of the pattern.
pub struct Pattern {
    left: u64,
}

impl Pattern {
    pub fn new(length: u64) -> Self {
        Pattern { left: length }
    }
}

/// Lines of printable characters; neighbouring lines differ.
fn byte_at(index: usize) -> u8 {
    let column = index % LINE_BYTES;
    if column == LINE_BYTES - 1 {
        return b'\n';
    }
    let character = (column + index / LINE_BYTES) % PRINTABLE;
    b'!' + u8::try_from(character).expect("there are fewer printable characters than bytes")
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = usize::try_from(self.left).unwrap_or(PERIOD_BYTES).min(PERIOD_BYTES);
        self.left -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(BLOCK.slice(..length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use http_body_util::BodyExt;

    #[test]
    fn the_length_is_exact_and_the_pattern_goes_on() {
        let body = block_on(Pattern::new(200_000).collect()).unwrap().to_bytes();
        assert_eq!(body.len(), 200_000);
        assert!(body.iter().enumerate().all(|(index, byte)| *byte == byte_at(index % PERIOD_BYTES)));
    }

    #[test]
    fn the_longest_body_holds_no_more_memory_than_the_shortest() {
        let mut body = Pattern::new(u64::MAX);
        let frame = block_on(body.frame()).unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame.len(), PERIOD_BYTES);
        assert_eq!(body.size_hint().exact(), Some(u64::MAX - PERIOD_BYTES as u64));
    }
}
