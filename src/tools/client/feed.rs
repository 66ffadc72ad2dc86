//! A payload as the source of a half-loop.

use crate::{
    net::buffer::Buffer,
    relay::{chunk::Chunk, direction::Direction, pump::Source},
    runtime::mailbox::Mailbox,
    tools::client::input::Payload,
};
use futures::future::{Either, select};
use std::{io, pin::pin};

/// Ends where the payload does, or when `stop`'s address is gone.
pub struct Feed {
    /// What is sent.
    pub payload: Payload,
    /// Ends it early.
    pub stop: Mailbox<()>,
}

impl Source for Feed {
    async fn read(&mut self, _: &Direction) -> io::Result<Option<Chunk>> {
        let fill = pin!(self.payload.fill(Buffer::take()));
        let stop = pin!(self.stop.next());
        match select(stop, fill).await {
            Either::Left(_) => Ok(None),
            Either::Right((buffer, _)) => {
                let chunk = Chunk::Bytes(buffer?);
                Ok((!chunk.is_empty()).then_some(chunk))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::mailbox::mailbox;
    use futures::executor::block_on;

    #[test]
    fn a_stopped_feed_ends_although_its_input_does_not() {
        let (stop, stopped) = mailbox(1);
        let (reader, _writer) = io::pipe().unwrap();
        let mut feed = Feed { payload: Payload::Stream(Some(Box::new(reader))), stop: stopped };
        drop(stop);
        assert!(block_on(feed.read(&Direction::new())).unwrap().is_none());
    }
}
