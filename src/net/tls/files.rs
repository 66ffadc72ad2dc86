//! Files with certificates and keys: read, found faulty, and looked at again for changes.

use crate::{error::reason, net::tls::certificate::ReadCertificate, runtime::lock::Lock};
use jiff::Timestamp;
use rustls::{
    Error, InconsistentKeys, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::CertifiedKey,
};
use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A system's authorities, all in one file, take a quarter of it.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A certificate, with those that lead to its authority behind it, and the certificate's key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificatePair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Which key of a configuration something is about; of several pairs, which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsKey {
    Cert(usize),
    Key(usize),
    ClientCa,
    Ca,
    Name,
    Alpn,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct TlsFault {
    pub what: TlsKey,
    /// One sentence, with the path where it is about a file.
    pub text: String,
}

/// What a look at the files found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsRenewal {
    Same,
    /// New handshakes use what is in these files now.
    Renewed(Vec<PathBuf>),
    /// The files are others, and of no use: what was read before stays. The text is one sentence.
    Refused(String),
}

/// By what a file is known to be another than the one that was read. It is that of the file a link leads to, so the swap of
/// a link (Kubernetes) needs no watch of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    bytes: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Stamp { device: metadata.dev(), inode: metadata.ino(), modified, bytes: metadata.size() }
    }
}

/// Files on their way in, and all faults of them.
#[derive(Debug, Default)]
pub(super) struct Reading {
    stamps: Vec<(PathBuf, Stamp)>,
    certificates: Vec<FileOfCertificates>,
    faults: Vec<TlsFault>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FileOfCertificates {
    what: TlsKey,
    path: PathBuf,
    certificates: Vec<CertificateDer<'static>>,
}

impl Reading {
    pub(super) fn fault(&mut self, what: TlsKey, text: String) {
        self.faults.push(TlsFault { what, text });
    }

    /// At least one certificate.
    pub(super) fn certificates(&mut self, what: TlsKey, path: &Path) -> Option<Vec<CertificateDer<'static>>> {
        let bytes = self.bytes(what, path)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let text = match certificates {
            Ok(none) if none.is_empty() => format!("{} has no certificate{}", path.display(), form(&bytes)),
            Ok(certificates) => {
                match certificates.iter().position(|der| ReadCertificate::read(der).is_none()) {
                    Some(at) => format!("certificate {} of {} cannot be read", at + 1, path.display()),
                    None => {
                        let path = path.to_owned();
                        self.certificates.push(FileOfCertificates {
                            what,
                            path,
                            certificates: certificates.clone(),
                        });
                        return Some(certificates);
                    }
                }
            }
            Err(error) => format!("{} is no PEM: {}", path.display(), pem_reason(&error)),
        };
        self.fault(what, text);
        None
    }

    /// The certificates that were read for a key of the configuration.
    pub(super) fn read_for(&self, what: TlsKey) -> Vec<CertificateDer<'static>> {
        let files = self.certificates.iter().filter(|file| file.what == what);
        files.flat_map(|file| file.certificates.clone()).collect()
    }

    /// Certificates of authorities, to judge others by.
    pub(super) fn authorities(&mut self, what: TlsKey, path: &Path) -> Option<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for (at, certificate) in self.certificates(what, path)?.into_iter().enumerate() {
            if roots.add(certificate).is_err() {
                let text = format!("certificate {} of {} is that of no authority", at + 1, path.display());
                self.fault(what, text);
                return None;
            }
        }
        Some(roots)
    }

    fn private_key(&mut self, what: TlsKey, path: &Path) -> Option<PrivateKeyDer<'static>> {
        let bytes = self.bytes(what, path)?;
        let text = match PrivateKeyDer::from_pem_slice(&bytes) {
            _ if is_encrypted(&bytes) => {
                format!("the key in {} is encrypted: write it anew with openssl pkey", path.display())
            }
            Ok(key) => return Some(key),
            Err(pem::Error::NoItemsFound) => format!("{} has no private key{}", path.display(), form(&bytes)),
            Err(error) => format!("{} is no PEM: {}", path.display(), pem_reason(&error)),
        };
        self.fault(what, text);
        None
    }

    /// A certificate and its key, which fit each other.
    pub(super) fn pair(
        &mut self,
        at: usize,
        pair: &CertificatePair,
        provider: &CryptoProvider,
    ) -> Option<CertifiedKey> {
        let chain = self.certificates(TlsKey::Cert(at), &pair.cert);
        let key = self.private_key(TlsKey::Key(at), &pair.key);
        let (chain, key) = (chain?, key?);
        let (cert, path) = (pair.cert.display(), pair.key.display());
        let key = match provider.key_provider.load_private_key(key) {
            Ok(key) => key,
            Err(_) => {
                let text = format!("the key in {path} is damaged, or of a kind that TLS does not take");
                self.fault(TlsKey::Key(at), text);
                return None;
            }
        };
        let fits =
            |der: &CertificateDer<'static>| CertifiedKey::new(vec![der.clone()], key.clone()).keys_match();
        match fits(&chain[0]) {
            Ok(()) => return Some(CertifiedKey::new(chain, key)),
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                let text = match chain.iter().position(|der| fits(der).is_ok()) {
                    Some(other) => format!(
                        "the key in {path} fits certificate {} of {cert}, which has to stand first there",
                        other + 1
                    ),
                    None => format!("the key in {path} does not fit the certificate in {cert}"),
                };
                self.fault(TlsKey::Key(at), text);
            }
            Err(_) => self.fault(TlsKey::Cert(at), format!("TLS does not take the certificate in {cert}")),
        }
        None
    }

    /// What was read, if there is no fault.
    pub(super) fn finish(self) -> Result<TlsMaterial, Vec<TlsFault>> {
        match self.faults.is_empty() {
            true => Ok(TlsMaterial { stamps: self.stamps, files: self.certificates }),
            false => Err(self.faults),
        }
    }

    fn bytes(&mut self, what: TlsKey, path: &Path) -> Option<Vec<u8>> {
        match read(path) {
            Ok((stamp, bytes)) => {
                self.stamps.push((path.to_owned(), stamp));
                Some(bytes)
            }
            Err(error) => {
                self.fault(what, format!("cannot read {}: {}", path.display(), reason(&error)));
                None
            }
        }
    }
}

/// What was read, for as long as it is used. A key need not be kept to be compared: it is the one that fits its certificate.
#[derive(Debug, Default)]
pub(super) struct TlsMaterial {
    stamps: Vec<(PathBuf, Stamp)>,
    files: Vec<FileOfCertificates>,
}

impl TlsMaterial {
    /// Whether the files are still those that were read. It asks the file system, and reads nothing.
    fn is_on_disk(&self) -> bool {
        self.stamps.iter().all(|(path, stamp)| fs::metadata(path).is_ok_and(|now| Stamp::of(&now) == *stamp))
    }

    /// Whether the same certificates are in the same places.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.files == other.files
    }

    /// Whether the same certificates stand for a key of the configuration.
    pub(super) fn is_same_in(&self, what: TlsKey, other: &Self) -> bool {
        let of = |material: &Self| material.files.iter().find(|file| file.what == what).cloned();
        of(self) == of(other)
    }

    fn changed_since(&self, former: &Self) -> Vec<PathBuf> {
        let changed = self.files.iter().filter(|file| !former.files.contains(file));
        changed.map(|file| file.path.clone()).collect()
    }

    /// The files of pairs with a certificate that ends until then, and when.
    pub(super) fn ends_until(&self, limit: Timestamp) -> Vec<(PathBuf, Timestamp)> {
        let pairs = self.files.iter().filter(|file| matches!(file.what, TlsKey::Cert(_)));
        let ends = pairs.filter_map(|file| {
            let certificates = file.certificates.iter().filter_map(ReadCertificate::read);
            Some((file.path.clone(), certificates.map(|one| one.ends()).min()?))
        });
        ends.filter(|(_, end)| *end <= limit).collect()
    }
}

/// A configuration of rustls, and what it was made of.
#[derive(Debug)]
pub(super) struct MadeOfFiles<C> {
    pub(super) config: Arc<C>,
    pub(super) material: Arc<TlsMaterial>,
}

/// A configuration that is another as soon as a look finds other files. Handshakes that have begun keep theirs.
#[derive(Debug)]
pub(super) struct Renewable<C>(Lock<Arc<MadeOfFiles<C>>>);

impl<C> Renewable<C> {
    pub(super) fn new(made: MadeOfFiles<C>) -> Self {
        Renewable(Lock::new(Arc::new(made)))
    }

    pub(super) fn now(&self) -> Arc<MadeOfFiles<C>> {
        self.0.lock().clone()
    }

    pub(super) fn set(&self, made: MadeOfFiles<C>) {
        *self.0.lock() = Arc::new(made);
    }

    /// `load` reads all files anew, to follow on what there is.
    pub(super) fn look(
        &self,
        load: impl FnOnce(&MadeOfFiles<C>) -> Result<MadeOfFiles<C>, Vec<TlsFault>>,
    ) -> TlsRenewal {
        let former = self.now();
        if former.material.is_on_disk() {
            return TlsRenewal::Same;
        }
        match load(&former) {
            Ok(next) => {
                let changed = next.material.changed_since(&former.material);
                if changed.is_empty() {
                    // Touched, or copied: what was made of them is kept, with its tickets.
                    self.set(MadeOfFiles { config: former.config.clone(), material: next.material });
                    return TlsRenewal::Same;
                }
                self.set(next);
                TlsRenewal::Renewed(changed)
            }
            Err(faults) => {
                let texts: Vec<String> = faults.into_iter().map(|fault| fault.text).collect();
                TlsRenewal::Refused(texts.join("; "))
            }
        }
    }
}

/// A file whole, and how it was known before the first byte was read: a change meanwhile is found by the next look.
fn read(path: &Path) -> io::Result<(Stamp, Vec<u8>)> {
    // Opening a pipe would wait for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let mut bytes = Vec::new();
    if file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)? as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it has more than 1 MiB, which no certificate has"));
    }
    Ok((stamp, bytes))
}

/// What to add if a file has the right thing in another form.
fn form(bytes: &[u8]) -> &'static str {
    const SEQUENCE: u8 = 0x30; // with which DER begins (X.690 §8.9.1)
    match bytes.first() {
        Some(&SEQUENCE) => " in PEM: it looks like DER, which openssl x509 and openssl pkey turn into PEM",
        _ => "",
    }
}

fn is_encrypted(pem: &[u8]) -> bool {
    // RFC 5958 §3, and RFC 1421 §4.6.1.1.
    let has = |word: &[u8]| pem.windows(word.len()).any(|window| window == word);
    has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED")
}

fn pem_reason(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a block does not end".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "the first line of a block is no such line".to_owned(),
        pem::Error::Base64Decode(_) => "a block is no base64".to_owned(),
        other => other.to_string(),
    }
}
