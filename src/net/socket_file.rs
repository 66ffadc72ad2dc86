//! The file that names a UNIX socket: made by bind(2), and left behind unless its listener removes it.

use crate::net::listener::stream_socket;
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, connect},
};
use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

/// The file of a listener, which goes with it; one that has taken its place stays.
pub struct SocketFile {
    path: PathBuf,
    number: Option<Number>,
}

/// A file's device, and its number there.
type Number = (u64, u64);

impl SocketFile {
    /// The file that was just bound at `path`.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        SocketFile { path: path.to_owned(), number: number(path) }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.number.is_some() && number(&self.path) == self.number {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn number(path: &Path) -> Option<Number> {
    fs::symlink_metadata(path).ok().map(|is| (is.dev(), is.ino()))
}

/// Whether `path` is a socket that nobody listens on any more. A listener with a full backlog is alive (unix(7)).
///
/// # Errors
/// Where there is nothing to look at.
pub fn is_stale(path: &Path) -> io::Result<bool> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    let probe = stream_socket(AddressFamily::UNIX)?;
    Ok(connect(&probe, &SocketAddrUnix::new(path)?) == Err(Errno::CONNREFUSED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_file_goes_with_its_listener_and_one_in_its_place_stays() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("socket");
        let first = UnixListener::bind(&path).unwrap();
        let file = SocketFile::at(&path);
        fs::remove_file(&path).unwrap();
        let second = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
        drop(first);
        drop(SocketFile::at(&path));
        assert!(!path.exists());
        drop(second);
    }
}
