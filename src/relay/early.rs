//! What was read of a leg before its relay began: it is the beginning of the stream.

use crate::{
    net::buffer::Buffer,
    relay::{
        chunk::{Chunk, ChunkSource},
        direction::Direction,
    },
};
use futures::FutureExt;
use std::{collections::VecDeque, future::poll_fn, io, task::Poll};

pub type Early = VecDeque<Buffer>;

/// Gives what was read early, if anything was, and then what its source gives.
pub struct EarlyReader<S> {
    early: Option<Box<Early>>,
    source: S,
}

impl<S: ChunkSource> EarlyReader<S> {
    pub fn new(early: Option<Box<Early>>, source: S) -> Self {
        EarlyReader { early, source }
    }
}

impl<S: ChunkSource> ChunkSource for EarlyReader<S> {
    fn read(&mut self, direction: &Direction) -> impl Future<Output = io::Result<Option<Chunk>>> + Unpin {
        poll_fn(move |context| {
            if let Some(buffer) = self.early.as_mut().and_then(|early| early.pop_front()) {
                return Poll::Ready(Ok(Some(Chunk::Bytes(buffer))));
            }
            self.early = None;
            // Made anew for each poll: a source keeps its state in itself, so that a read may be dropped.
            self.source.read(direction).poll_unpin(context)
        })
    }

    fn ended(&mut self) {
        self.source.ended();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use std::future::ready;

    /// One chunk, and the end.
    struct Once(Option<Chunk>);

    impl ChunkSource for Once {
        fn read(&mut self, _: &Direction) -> impl Future<Output = io::Result<Option<Chunk>>> + Unpin {
            ready(Ok(self.0.take()))
        }
    }

    #[test]
    fn what_was_read_early_comes_first_and_the_stream_goes_on() {
        for early in [vec![], vec![&b"a"[..]], vec![b"a", b"bc"]] {
            let buffers: Early = early.iter().map(|bytes| Buffer::holding(bytes)).collect();
            let source = Once(Some(Chunk::Bytes(Buffer::holding(b"late"))));
            let mut reader = EarlyReader::new(Some(buffers.into()), source);
            let (direction, mut read) = (Direction::new(), Vec::new());
            while let Some(chunk) = block_on(reader.read(&direction)).unwrap() {
                read.push(chunk.bytes().unwrap().to_vec());
            }
            assert_eq!(read, [&early[..], &[b"late"]].concat());
        }
    }
}
