//! The server's side: certificates by the name that a client asks for, and what is asked of the client's own.

use crate::net::tls::{
    HAS_VERSIONS,
    certificate::ReadCertificate,
    files::{CertificatePair, MadeOfFiles, Reading, Renewable, TlsFault, TlsKey, TlsRenewal},
    protocols, provider,
};
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use rustls::{
    KeyLogFile, RootCertStore, ServerConfig, SignatureScheme,
    crypto::aws_lc_rs::Ticketer,
    pki_types::PrivateKeyDer,
    server::{
        ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
        danger::ClientCertVerifier,
    },
    sign::CertifiedKey,
};
use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

/// Whether a client without a certificate is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientCertificates {
    #[default]
    Required,
    Optional,
}

/// What a server's TLS is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsFiles {
    /// At least one. The first is for clients that ask for no name, or for one that no certificate has.
    pub pairs: Vec<CertificatePair>,
    /// The authorities of clients. Without them no client is asked for a certificate.
    pub client_ca: Option<PathBuf>,
    pub client_cert: ClientCertificates,
    /// The protocols that are spoken, the best first.
    pub alpn: Vec<String>,
}

/// The server's side of TLS, as it is now. Equal are those of the same files with the same certificates in them.
#[derive(Clone, Debug)]
pub struct ServerTls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    now: Renewable<ServerConfig>,
}

#[derive(Debug, PartialEq, Eq)]
enum Source {
    Files(ServerTlsFiles),
    /// Made here for these names, once a process.
    SelfSigned {
        names: Vec<String>,
        alpn: Vec<String>,
    },
}

impl ServerTls {
    /// Reads all files, and finds all their faults. A certificate that has ended is none: see [`Self::ends_soon`]. It waits
    /// for the file system.
    pub fn load(files: ServerTlsFiles) -> Result<Self, Vec<TlsFault>> {
        let now = Renewable::new(load(&files, None)?);
        Ok(ServerTls(Arc::new(Inner { source: Source::Files(files), now })))
    }

    /// With a certificate that no authority vouches for, made now and good for a year. Errors: why there cannot be one.
    pub fn self_signed(names: &[String], alpn: &[String]) -> Result<Self, String> {
        let config = configure(vec![self_signed_pair(names)?], None, protocols(alpn)?);
        let now = Renewable::new(MadeOfFiles { config: Arc::new(config), material: Arc::default() });
        let source = Source::SelfSigned { names: names.to_vec(), alpn: alpn.to_vec() };
        Ok(ServerTls(Arc::new(Inner { source, now })))
    }

    /// What the next handshake goes by: ask for each.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.now.now().config.clone()
    }

    /// Lets clients of `former` resume their sessions here, but only if the same is asked of clients: a client that resumes
    /// shows no certificate again.
    pub fn take_over(&self, former: &ServerTls) {
        let (now, before) = (self.0.now.now(), former.0.now.now());
        let asks_alike = self.0.source.asked_of_clients() == former.0.source.asked_of_clients();
        if asks_alike && now.material.is_same_in(TlsKey::ClientCa, &before.material) {
            let mut config = ServerConfig::clone(&now.config);
            config.ticketer = before.config.ticketer.clone();
            self.0.now.set(MadeOfFiles { config: Arc::new(config), material: now.material.clone() });
        }
    }

    /// Compares the files with those that were read, and reads them anew if they are others. It waits for the file system.
    pub fn look(&self) -> TlsRenewal {
        match &self.0.source {
            Source::Files(files) => self.0.now.look(|former| load(files, Some(former))),
            Source::SelfSigned { .. } => TlsRenewal::Same,
        }
    }

    /// Files with a certificate that ends within a time, or has ended, and when.
    pub fn ends_soon(&self, within: Duration) -> Vec<(PathBuf, Timestamp)> {
        let limit = Timestamp::now().saturating_add(within).unwrap_or(Timestamp::MAX);
        self.0.now.now().material.ends_until(limit)
    }
}

impl PartialEq for ServerTls {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source && self.0.now.now().material.is_same(&other.0.now.now().material)
    }
}

impl Eq for ServerTls {}

impl Source {
    fn asked_of_clients(&self) -> Option<ClientCertificates> {
        match self {
            Source::Files(files) => files.client_ca.is_some().then_some(files.client_cert),
            Source::SelfSigned { .. } => None,
        }
    }
}

fn load(
    files: &ServerTlsFiles,
    former: Option<&MadeOfFiles<ServerConfig>>,
) -> Result<MadeOfFiles<ServerConfig>, Vec<TlsFault>> {
    let provider = provider();
    let mut reading = Reading::default();
    let pairs = files.pairs.iter().enumerate();
    let pairs: Vec<_> = pairs.filter_map(|(at, pair)| reading.pair(at, pair, &provider)).collect();
    let verifier = files.client_ca.as_deref().and_then(|path| {
        let roots = reading.authorities(TlsKey::ClientCa, path)?;
        verifier(&mut reading, roots, files.client_cert)
    });
    let alpn = protocols(&files.alpn).unwrap_or_else(|text| {
        reading.fault(TlsKey::Alpn, text);
        Vec::new()
    });
    if files.pairs.is_empty() {
        reading.fault(TlsKey::Cert(0), "a server needs a certificate".to_owned());
    }
    let material = Arc::new(reading.finish()?);
    // A client that resumes shows no certificate again: not if another authority would judge it.
    let former = former.filter(|former| material.is_same_in(TlsKey::ClientCa, &former.material));
    let mut config = configure(pairs, verifier, alpn);
    if let Some(former) = former {
        config.ticketer = former.config.ticketer.clone();
    }
    Ok(MadeOfFiles { config: Arc::new(config), material })
}

fn verifier(
    reading: &mut Reading,
    roots: RootCertStore,
    whether: ClientCertificates,
) -> Option<Arc<dyn ClientCertVerifier>> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = match whether {
        ClientCertificates::Required => builder,
        ClientCertificates::Optional => builder.allow_unauthenticated(),
    };
    let verifier = builder.build();
    verifier.map_err(|error| reading.fault(TlsKey::ClientCa, error.to_string())).ok()
}

/// Early data is off: it could be replayed (RFC 8446 §8), and a relay cannot know whether that would do harm.
fn configure(
    pairs: Vec<CertifiedKey>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    alpn: Vec<Vec<u8>>,
) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().expect(HAS_VERSIONS);
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(CertificateChoice::new(pairs)));
    config.alpn_protocols = alpn;
    config.key_log = Arc::new(KeyLogFile::new());
    // Tickets hold sessions outside of this process: nothing is stored for clients that do not come back. Without random
    // bytes there are none, and rustls says why at the first handshake.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if let Ok(tickets) = Ticketer::new() {
        config.ticketer = tickets;
    }
    config
}

/// Which certificate a client gets: that of the name it asks for, a whole name before a wildcard. Of several for one name,
/// the first whose key it can verify: a pair with RSA may stand beside one with ECDSA.
#[derive(Debug)]
struct CertificateChoice {
    /// In lower case. A wildcard stands with its star.
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
    default: Option<Arc<CertifiedKey>>,
}

impl CertificateChoice {
    fn new(pairs: Vec<CertifiedKey>) -> Self {
        let pairs: Vec<Arc<CertifiedKey>> = pairs.into_iter().map(Arc::new).collect();
        let mut by_name: HashMap<String, Vec<Arc<CertifiedKey>>> = HashMap::new();
        for pair in &pairs {
            let leaf = pair.cert.first().and_then(ReadCertificate::read);
            for name in leaf.map(|leaf| leaf.names()).unwrap_or_default() {
                by_name.entry(name).or_default().push(pair.clone());
            }
        }
        CertificateChoice { by_name, default: pairs.into_iter().next() }
    }

    fn choose(&self, name: Option<&str>, can_verify: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase);
        // A star is one label (RFC 6125 §6.4.3).
        let wildcard = name.as_deref().and_then(|name| Some(format!("*.{}", name.split_once('.')?.1)));
        let of = |name: &Option<String>| name.as_ref().and_then(|name| self.by_name.get(name));
        let named = || [of(&name), of(&wildcard)].into_iter().flatten().flatten();
        let fitting = named().find(|pair| pair.key.choose_scheme(can_verify).is_some());
        fitting.or(named().next()).or(self.default.as_ref()).cloned()
    }
}

impl ResolvesServerCert for CertificateChoice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}

fn self_signed_pair(names: &[String]) -> Result<CertifiedKey, String> {
    let error = |error: rcgen::Error| {
        format!("cannot make a certificate for {}: {}", names.join(", "), error.to_string().to_lowercase())
    };
    let mut params = CertificateParams::new(names).map_err(error)?;
    let common_name = names.first().map_or("switchboard", String::as_str);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let day = |date: Date| date_time_ymd(date.year().into(), date.month() as u8, date.day() as u8);
    // Clocks differ by less than a day.
    (params.not_before, params.not_after) =
        (day(today.saturating_sub(1.day())), day(today.saturating_add(1.year())));
    let key = KeyPair::generate().map_err(error)?;
    let certificate = params.self_signed(&key).map_err(error)?;
    let der = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    CertifiedKey::from_der(vec![certificate.der().clone()], der, &provider())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};

    #[test]
    fn of_two_certificates_for_a_name_a_client_gets_the_one_that_it_can_verify() {
        let pair = |kind: &'static SignatureAlgorithm| {
            let key = KeyPair::generate_for(kind).unwrap();
            let params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
            let der = PrivateKeyDer::Pkcs8(key.serialize_der().into());
            CertifiedKey::from_der(vec![params.self_signed(&key).unwrap().der().clone()], der, &provider())
                .unwrap()
        };
        let choice = CertificateChoice::new(vec![pair(&PKCS_ED25519), pair(&PKCS_ECDSA_P256_SHA256)]);
        let chosen =
            |name, can_verify: &[SignatureScheme]| choice.choose(name, can_verify).unwrap().key.algorithm();
        let (edwards, ecdsa) = (SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256);
        let first = chosen(Some("a.test"), &[ecdsa, edwards]);
        assert_eq!(first, chosen(Some("a.test"), &[edwards]));
        assert_ne!(first, chosen(Some("a.test"), &[ecdsa]));
        assert_eq!(first, chosen(Some("a.test"), &[]), "which fails, and says why");
        assert_eq!(first, chosen(None, &[edwards]));
    }
}
