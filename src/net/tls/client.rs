//! The client's side: whom a server has to be, and who the program is to it.

use crate::net::tls::{
    HAS_VERSIONS,
    certificate::ReadCertificate,
    classical_provider,
    explain::IssuerFault,
    files::{CertificatePair, MadeOfFiles, Reading, Renewable, TlsFault, TlsKey, TlsRenewal},
    protocols, provider,
};
use rustls::{
    ALL_VERSIONS, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, KeyLogFile,
    OtherError, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS12,
};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, OnceLock},
};

/// What is kept to resume sessions with servers, of which each has its own name: 8 tickets for each of 8 names.
const SESSIONS_MAX: usize = 64;

/// A version that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

impl FromStr for TlsVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1.2" => Ok(TlsVersion::Tls12),
            "1.3" => Ok(TlsVersion::Tls13),
            _ => Err("it is no version of TLS that is spoken; write 1.2 or 1.3".into()),
        }
    }
}

/// What a client's TLS is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTlsFiles {
    /// The authorities of servers, or the very certificates of servers. Without them those of the system.
    pub ca: Option<PathBuf>,
    /// The name that a server's certificate has to have, if it is not the one that is dialled.
    pub name: Option<String>,
    /// The client's own certificate, for servers that ask for one.
    pub pair: Option<CertificatePair>,
    /// Off: a program between here and the server can read and change all bytes.
    pub verify: bool,
    /// The protocols that are offered, the best first.
    pub alpn: Vec<String>,
    /// Off: each handshake is a whole one.
    pub resume: bool,
    /// No newer version is offered.
    pub newest: TlsVersion,
    /// Offers the key exchange X25519MLKEM768 first, which outlives quantum computers; else X25519 is the first.
    pub post_quantum: bool,
}

impl Default for ClientTlsFiles {
    /// The system's authorities, and no protocol of any name.
    fn default() -> Self {
        ClientTlsFiles {
            ca: None,
            name: None,
            pair: None,
            verify: true,
            alpn: Vec::new(),
            resume: true,
            newest: TlsVersion::Tls13,
            post_quantum: true,
        }
    }
}

/// The client's side of TLS, as it is now. Equal are those of the same files with the same certificates in them.
#[derive(Clone, Debug)]
pub struct ClientTls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: ClientTlsFiles,
    now: Renewable<ClientConfig>,
}

impl ClientTls {
    /// Reads all files, and finds all their faults. It waits for the file system.
    pub fn load(files: ClientTlsFiles) -> Result<Self, Vec<TlsFault>> {
        let now = Renewable::new(load(&files)?);
        Ok(ClientTls(Arc::new(Inner { files, now })))
    }

    /// What handshakes begin with.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.0.now.now().config.clone()
    }

    /// The name that the certificate of a host, a name or an IP address, has to have. Errors: why it is none, in words.
    pub fn server_name(&self, host: &str) -> Result<ServerName<'static>, String> {
        server_name(self.expects(host))
    }

    /// The begin of a handshake with a host, a name or an IP address. Errors: why it cannot begin, in words.
    pub fn connection(&self, host: &str) -> Result<ClientConnection, String> {
        let name = server_name(self.expects(host))?;
        ClientConnection::new(self.0.now.now().config.clone(), name).map_err(|error| error.to_string())
    }

    /// The name that the certificate of a host has to have.
    fn expects<'a>(&'a self, host: &'a str) -> &'a str {
        self.0.files.name.as_deref().unwrap_or(host)
    }

    /// The name that a host is asked for; none if that is an IP address, which is not sent (RFC 6066 §3).
    pub fn asks_for(&self, host: &str) -> Option<String> {
        match server_name(self.expects(host)) {
            Ok(ServerName::DnsName(name)) => Some(name.as_ref().to_owned()),
            _ => None,
        }
    }

    /// What it was made of.
    pub fn files(&self) -> &ClientTlsFiles {
        &self.0.files
    }

    /// The file of those whose word is taken for who a server is; none: those of the system.
    pub fn authorities(&self) -> Option<&Path> {
        self.0.files.ca.as_deref()
    }

    /// Whether a server has to prove who it is.
    pub fn verifies(&self) -> bool {
        self.0.files.verify
    }

    /// Compares the files with those that were read, and reads them anew if they are others. It waits for the file system.
    pub fn look(&self) -> TlsRenewal {
        self.0.now.look(|_| load(&self.0.files))
    }
}

impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        self.0.files == other.0.files && self.0.now.now().material.is_same(&other.0.now.now().material)
    }
}

impl Eq for ClientTls {}

fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    // The dot of the root is no part of a name here (RFC 6066 §3).
    let relative = name.strip_suffix('.').unwrap_or(name);
    let error =
        |_| format!("\"{name}\" is neither a host name nor an IP address, so no certificate can have it");
    ServerName::try_from(relative.to_owned()).map_err(error)
}

fn load(files: &ClientTlsFiles) -> Result<MadeOfFiles<ClientConfig>, Vec<TlsFault>> {
    let provider = if files.post_quantum { provider() } else { classical_provider() };
    let mut reading = Reading::default();
    let pair = files.pair.as_ref().and_then(|pair| reading.pair(0, pair, &provider));
    let verifier = verifier(&mut reading, files);
    let alpn = protocols(&files.alpn).unwrap_or_else(|text| {
        reading.fault(TlsKey::Alpn, text);
        Vec::new()
    });
    if let Some(Err(text)) = files.name.as_deref().map(server_name) {
        reading.fault(TlsKey::Name, text);
    }
    let material = Arc::new(reading.finish()?);
    let verifier = verifier.expect("without one there is a fault");
    let mut config = configure(provider, pair, verifier, alpn, files.newest);
    if !files.resume {
        config.resumption = Resumption::disabled();
    }
    Ok(MadeOfFiles { config: Arc::new(config), material })
}

fn configure(
    provider: Arc<CryptoProvider>,
    pair: Option<CertifiedKey>,
    verifier: Arc<dyn ServerCertVerifier>,
    alpn: Vec<Vec<u8>>,
    newest: TlsVersion,
) -> ClientConfig {
    let versions = match newest {
        TlsVersion::Tls12 => &[&TLS12][..],
        TlsVersion::Tls13 => ALL_VERSIONS,
    };
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(versions).expect(HAS_VERSIONS);
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match pair {
        Some(pair) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn;
    config.key_log = Arc::new(KeyLogFile::new());
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    config
}

/// None: there is a fault.
fn verifier(reading: &mut Reading, files: &ClientTlsFiles) -> Option<Arc<dyn ServerCertVerifier>> {
    let named = match &files.ca {
        Some(path) => Some((reading.authorities(TlsKey::Ca, path)?, reading.read_for(TlsKey::Ca))),
        None => None,
    };
    let signatures = provider().signature_verification_algorithms;
    if !files.verify {
        return Some(Arc::new(Verifier { trusted: None, signatures }));
    }
    let (roots, pinned) = match named {
        Some((roots, certificates)) => (Arc::new(roots), certificates),
        None => match system_roots() {
            Ok(roots) => (roots, Vec::new()),
            Err(text) => {
                reading.fault(TlsKey::Ca, text);
                return None;
            }
        },
    };
    let by_authority = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
    match by_authority {
        Ok(by_authority) => {
            Some(Arc::new(Verifier { trusted: Some(Trusted { by_authority, pinned }), signatures }))
        }
        Err(error) => {
            reading.fault(TlsKey::Ca, error.to_string());
            None
        }
    }
}

/// The system's authorities, or those of SSL_CERT_FILE and SSL_CERT_DIR. They are read once a process.
fn system_roots() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(roots.clone());
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    match found.errors.first() {
        _ if !roots.is_empty() => Ok(ROOTS.get_or_init(|| Arc::new(roots)).clone()),
        Some(error) => Err(format!("the system's authorities cannot be read: {error}")),
        None => Err("the system has no authorities: name a file with some".to_owned()),
    }
}

/// A server proves that it has the key of its certificate, and who it is to those that are trusted; without them
/// (`verify = false`) nothing of who it is.
#[derive(Debug)]
struct Verifier {
    trusted: Option<Trusted>,
    signatures: WebPkiSupportedAlgorithms,
}

/// Whose word is taken for who a server is.
#[derive(Debug)]
struct Trusted {
    by_authority: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
}

impl Trusted {
    /// What rustls checks, and two things more: it says whether an unknown certificate is self-signed, and takes a certificate
    /// that the user named itself, even if it is one of an authority, as `openssl req -x509` makes them.
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged = self.by_authority.verify_server_cert(leaf, others, name, ocsp_response, now);
        let (Err(Error::InvalidCertificate(fault)), Some(read)) = (&judged, ReadCertificate::read(leaf))
        else {
            return judged;
        };
        let issuer_is_unknown = matches!(fault, CertificateError::UnknownIssuer);
        match fault {
            CertificateError::UnknownIssuer | CertificateError::Other(_) => {}
            // It was judged by an authority that only has the name of its issuer.
            CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {}
            _ => return judged,
        }
        if self.pinned.iter().any(|pinned| pinned == leaf) {
            // Its time was judged before its issuer.
            verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        let fault = match read.is_self_signed() {
            true => IssuerFault::SelfSigned,
            false if issuer_is_unknown => IssuerFault::Unknown(read.issuer()),
            false => return judged,
        };
        Err(CertificateError::Other(OtherError(Arc::new(fault))).into())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trusted {
            Some(trusted) => trusted.judge(leaf, others, name, ocsp_response, now),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signature, &self.signatures)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.signatures)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_schemes()
    }
}
