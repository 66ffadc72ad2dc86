//! Moving bytes between a socket and a pipe without copying them (splice(2)).

use crate::{
    net::{
        pipe::{PIPE_BYTES, Pipe},
        socket::{Socket, retry},
    },
    runtime::pace::note_bulk,
};
use rustix::pipe::{SpliceFlags, splice};
use std::{
    io,
    task::{Context, Poll, ready},
};

impl Socket {
    /// Moves what is there into an empty pipe, without copying; up to [`PIPE_BYTES`].
    ///
    /// 0 does not mean the end of the stream, and `WouldBlock` not that nothing is there: at an urgent byte the kernel
    /// says both. Where this gives neither, [`Socket::try_read`] knows.
    ///
    /// # Errors
    /// `WouldBlock`, or that of the connection.
    pub fn try_splice_in(&self, pipe: &mut Pipe) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let count = self.registration.read(|| {
            let count = retry(|| splice(&self.descriptor, None, pipe.write_end(), None, PIPE_BYTES, flags))?;
            Ok((count, false))
        })?;
        pipe.filled(count);
        note_bulk();
        Ok(count)
    }

    /// Moves some of what the pipe holds into the socket.
    ///
    /// # Errors
    /// That of the connection.
    pub fn poll_splice_out(&self, context: &Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        loop {
            ready!(self.registration.poll_writable(context));
            let held = pipe.held();
            let result = self.registration.write(|| {
                let count = retry(|| splice(pipe.read_end(), None, &self.descriptor, None, held, flags))?;
                Ok((count, false))
            });
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(count) => {
                    pipe.written(count);
                    return Poll::Ready(Ok(count));
                }
                Err(error) => return Poll::Ready(Err(self.note_loss(error))),
            }
        }
    }
}
