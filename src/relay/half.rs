//! The two half-loops: `read_into` moves a source into a link, `write_from` a link into a sink.

use crate::{
    relay::{
        chunk::Chunk,
        direction::Flow,
        link::{LinkReceiver, LinkSender, Parcel},
    },
    session::cause::Cause,
};
use futures::future::{Either, select};
use std::{io, pin::pin};

/// What pieces are read from.
pub trait Source: Send {
    /// The next piece; none at the end of the stream. Where `observer` watches when it arrives, the piece is in memory.
    /// Cancel-safe.
    fn read(&mut self, observer: &impl Observer) -> impl Future<Output = io::Result<Option<Chunk>>> + Send;
}

/// What pieces are written to.
pub trait Sink: Send {
    /// Writes some of `chunk`, takes it out of it, and says how much.
    fn write(&mut self, chunk: &mut Chunk) -> impl Future<Output = io::Result<usize>> + Send;

    /// Ends the stream after all that was written.
    ///
    /// # Errors
    /// Where the connection is gone.
    fn finish(&mut self) -> io::Result<()>;
}

/// Who looks at the bytes of one direction.
pub trait Observer: Send + Sync {
    /// Whether anyone looks just now; then pieces are copied into memory.
    fn watches(&self) -> bool;

    /// Shows a piece that begins `offset` bytes into the stream.
    fn show(&self, offset: u64, bytes: &[u8]);

    /// Is told of every piece, watched or not.
    fn arrived(&self, _offset: u64) {}
}

/// Nobody looks.
pub struct Unobserved;

impl Observer for Unobserved {
    fn watches(&self) -> bool {
        false
    }

    fn show(&self, _offset: u64, _bytes: &[u8]) {}
}

/// How reading ended.
#[derive(Debug)]
pub enum ReadEnd {
    /// The stream ended, and the link was told.
    Finished,
    /// The link's receiver is gone.
    Refused,
    /// The connection failed.
    Failed(io::Error),
}

/// How writing ended.
#[derive(Debug)]
pub enum WriteEnd {
    /// The stream was written to its end, and the sink was told.
    Finished,
    /// The stream was cut off; all that came before is written.
    Aborted(Cause),
    /// The connection failed.
    Failed(io::Error),
}

// Both loops are async blocks that use what they were given in place: an async function would keep it twice, as passed
// and as used, for as long as the session lives.

/// Moves `source` into `link` until one of them ends. A failed source drops the link, which aborts it.
pub fn read_into<'a>(
    mut source: impl Source + 'a,
    link: LinkSender,
    flow: &'a Flow,
    observer: &'a impl Observer,
) -> impl Future<Output = ReadEnd> + Send + 'a {
    async move {
        loop {
            let read = match select(pin!(source.read(observer)), pin!(link.closed())).await {
                Either::Left((read, _)) => read,
                Either::Right(((), _)) => return ReadEnd::Refused,
            };
            let chunk = match read {
                Ok(Some(chunk)) => chunk,
                Ok(None) => {
                    flow.set_ended();
                    return link.finish().await.map_or(ReadEnd::Refused, |()| ReadEnd::Finished);
                }
                Err(error) => return ReadEnd::Failed(error),
            };
            observer.arrived(flow.received());
            if observer.watches()
                && let Some(bytes) = chunk.bytes()
            {
                observer.show(flow.received(), bytes);
            }
            flow.add_received(chunk.len());
            if link.send(chunk).await.is_err() {
                return ReadEnd::Refused;
            }
        }
    }
}

/// Moves `link` into `sink` until one of them ends.
pub fn write_from<'a>(
    mut link: LinkReceiver,
    mut sink: impl Sink + 'a,
    flow: &'a Flow,
) -> impl Future<Output = WriteEnd> + Send + 'a {
    async move {
        loop {
            match link.next().await {
                Parcel::Data(mut chunk) => {
                    while !chunk.is_empty() {
                        match sink.write(&mut chunk).await {
                            Ok(0) => return WriteEnd::Failed(io::ErrorKind::WriteZero.into()),
                            Ok(count) => flow.add_delivered(count),
                            Err(error) => return WriteEnd::Failed(error),
                        }
                    }
                }
                Parcel::Fin => return sink.finish().map_or_else(WriteEnd::Failed, |()| WriteEnd::Finished),
                Parcel::Reset(cause) => return WriteEnd::Aborted(cause),
            }
        }
    }
}
