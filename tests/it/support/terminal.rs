//! A terminal (pty(7)) whose user is the test.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    process::Stdio,
};

/// A terminal: what a program writes to it can be read here.
pub struct Terminal {
    pub screen: File,
    pub line: File,
}

impl Terminal {
    pub fn open() -> Terminal {
        let screen: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let name = ptsname(&screen, Vec::new()).unwrap();
        let line = File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes())).unwrap();
        Terminal { screen: screen.into(), line }
    }

    /// The program's end.
    pub fn stdio(&self) -> Stdio {
        self.line.try_clone().unwrap().into()
    }

    /// All that was written, once no program has it open any more.
    pub fn read_to_end(self) -> Vec<u8> {
        let Terminal { mut screen, line } = self;
        drop(line);
        let mut bytes = Vec::new();
        // The end of a terminal reads as EIO; what came before it is in `bytes`.
        let _ = screen.read_to_end(&mut bytes);
        bytes
    }
}
