//! TLS of a run: one certificate for all servers, and clients that all negotiate the same.
//!
//! The peers of Debian know no post-quantum key exchange: the clients offer X25519 alone, except in the case that shows what
//! the other one costs. All take the client's first suite, TLS_AES_256_GCM_SHA384.

use crate::command::folder;
use std::{fs, io, path::PathBuf};
use switchboard::{
    net::tls::client::{ClientTls, ClientTlsFiles},
    tools::tls::TargetTls,
};

pub const NAME: &str = "localhost";

/// How the clients of a case speak TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Handshakes go on with a session of before, where the server gave a ticket.
    pub resume: bool,
    pub post_quantum: bool,
}

/// The certificate with its chain, its key, and both in one file.
pub struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub both: PathBuf,
}

/// The files, which are made at first use: a key of P-256, signed by itself.
pub fn files() -> io::Result<Files> {
    let [cert, key, both] = ["cert.pem", "key.pem", "both.pem"].map(|name| folder().join(name));
    let files = Files { cert, key, both };
    if !files.both.exists() {
        fs::create_dir_all(folder())?;
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(io::Error::other)?;
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        fs::write(&files.cert, &cert)?;
        fs::write(&files.key, &key)?;
        fs::write(&files.both, cert + &key)?;
    }
    Ok(files)
}

/// The clients of a case.
pub fn clients(tls: Tls) -> io::Result<TargetTls> {
    let files = ClientTlsFiles {
        ca: Some(files()?.cert),
        name: Some(NAME.to_owned()),
        resume: tls.resume,
        post_quantum: tls.post_quantum,
        ..ClientTlsFiles::default()
    };
    let client = ClientTls::load(files).map_err(|faults| {
        let texts: Vec<_> = faults.iter().map(|fault| fault.text.as_str()).collect();
        io::Error::other(texts.join("; "))
    })?;
    Ok(TargetTls::to(client, NAME.to_owned()))
}
