//! Handshakes in memory, with certificates in a folder of the test.

use super::{
    certificate::ReadCertificate,
    classical_provider,
    client::{ClientTls, ClientTlsFiles},
    explain::explain,
    facts::TlsFacts,
    files::{CertificatePair, TlsKey, TlsRenewal},
    provider,
    server::{ClientCertificates, ServerTls, ServerTlsFiles},
};
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, date_time_ymd,
};
use rustls::{
    ClientConfig, ClientConnection, Error, RootCertStore, ServerConnection, SupportedCipherSuite,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version,
};
use std::{
    env, fs,
    io::{Read, Write},
    os::unix::fs::symlink,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A folder with an authority, and what it signs.
struct Folder {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Folder {
    fn new() -> Self {
        let folder = Folder { folder: TempDir::new().unwrap(), authority: authority("inside") };
        folder.write("ca.pem", &folder.authority.pem());
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As a careful program replaces a file.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let (new, path) = (self.path("new"), self.path(name));
        fs::write(&new, text).unwrap();
        fs::rename(new, &path).unwrap();
        path
    }

    /// `NAME.pem` and `NAME.key`, signed by the authority.
    fn pair(&self, name: &str, names: &[&str]) -> CertificatePair {
        self.pair_of(name, params(names))
    }

    fn pair_of(&self, name: &str, params: CertificateParams) -> CertificatePair {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        self.put(name, &certificate, &key)
    }

    fn self_signed(&self, name: &str, params: CertificateParams) -> CertificatePair {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        self.put(name, &certificate, &key)
    }

    fn put(&self, name: &str, certificate: &Certificate, key: &KeyPair) -> CertificatePair {
        let cert = self.write(&format!("{name}.pem"), &certificate.pem());
        let key = self.write(&format!("{name}.key"), &key.serialize_pem());
        CertificatePair { cert, key }
    }

    /// A client that trusts the authority.
    fn client(&self) -> ClientTls {
        client_of(self.trusting("ca.pem"))
    }

    fn trusting(&self, ca: &str) -> ClientTlsFiles {
        ClientTlsFiles { ca: Some(self.path(ca)), ..ClientTlsFiles::default() }
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names.clone()).unwrap();
    params.distinguished_name.push(DnType::CommonName, names.first().cloned().unwrap_or_default());
    params
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = params(&[name]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    CertifiedIssuer::self_signed(ca_params(name), KeyPair::generate().unwrap()).unwrap()
}

fn files_of(pairs: &[&CertificatePair]) -> ServerTlsFiles {
    ServerTlsFiles {
        pairs: pairs.iter().map(|pair| (*pair).clone()).collect(),
        client_ca: None,
        client_cert: ClientCertificates::Required,
        alpn: Vec::new(),
    }
}

fn server_of(pairs: &[&CertificatePair]) -> ServerTls {
    ServerTls::load(files_of(pairs)).unwrap()
}

fn client_of(files: ClientTlsFiles) -> ClientTls {
    ClientTls::load(files).unwrap()
}

/// The first certificate of a file.
fn in_file(pair: &CertificatePair) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&pair.cert).unwrap()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Both ends of a connection, and what each said of its end.
struct Wire {
    client: ClientConnection,
    server: ServerConnection,
    client_error: Option<Error>,
    server_error: Option<Error>,
}

impl Wire {
    fn of(client: ClientConnection, server: &ServerTls) -> Self {
        let server = ServerConnection::new(server.config()).unwrap();
        let mut wire = Wire { client, server, client_error: None, server_error: None };
        wire.run();
        wire
    }

    fn between(client: &ClientTls, host: &str, server: &ServerTls) -> Self {
        Wire::of(client.connection(host).unwrap(), server)
    }

    /// Moves bytes until there are none.
    fn run(&mut self) {
        while self.client.wants_write() || self.server.wants_write() {
            let (mut up, mut down) = (Vec::new(), Vec::new());
            while self.client.wants_write() {
                self.client.write_tls(&mut up).unwrap();
            }
            while self.server.wants_write() {
                self.server.write_tls(&mut down).unwrap();
            }
            let (mut up, mut down) = (&up[..], &down[..]);
            while !up.is_empty() && self.server_error.is_none() {
                self.server.read_tls(&mut up).unwrap();
                self.server_error = self.server.process_new_packets().err();
            }
            while !down.is_empty() && self.client_error.is_none() {
                self.client.read_tls(&mut down).unwrap();
                self.client_error = self.client.process_new_packets().err();
            }
        }
    }

    fn through(self) -> Self {
        assert_eq!((&self.client_error, &self.server_error), (&None, &None));
        assert!(!self.client.is_handshaking() && !self.server.is_handshaking());
        self
    }

    fn facts(&self) -> TlsFacts {
        TlsFacts::of_server(&self.server, self.server.server_name().map(str::to_owned))
    }

    /// Why the client ended it.
    fn told_by_client(&self) -> String {
        explain(self.client_error.as_ref().expect("an error of the client"))
    }

    fn told_by_server(&self) -> String {
        explain(self.server_error.as_ref().expect("an error of the server"))
    }

    /// The certificate that the server showed.
    fn shown(&self) -> CertificateDer<'static> {
        self.client.peer_certificates().unwrap()[0].clone()
    }

    fn carries(&mut self, bytes: &[u8]) {
        self.client.writer().write_all(bytes).unwrap();
        self.run();
        let mut read = vec![0; bytes.len()];
        self.server.reader().read_exact(&mut read).unwrap();
        assert_eq!(read, bytes);
    }
}

#[test]
fn a_client_gets_the_certificate_of_the_name_that_it_asks_for() {
    let folder = Folder::new();
    let first = folder.pair("first", &["first.test"]);
    let wild = folder.pair("wild", &["a.test", "*.b.test"]);
    let whole = folder.pair("whole", &["x.b.test", "10.0.0.1"]);
    let server = server_of(&[&first, &wild, &whole]);
    let client = client_of(ClientTlsFiles { verify: false, ..folder.trusting("ca.pem") });
    let asked = [
        ("first.test", &first),
        ("a.test", &wild),
        ("A.Test", &wild),
        ("a.test.", &wild),
        ("y.b.test", &wild),
        ("x.b.test", &whole),
        // A star is one label, and not none.
        ("z.y.b.test", &first),
        ("b.test", &first),
        ("unknown.test", &first),
        ("test", &first),
        // It asks for no name.
        ("10.0.0.1", &first),
        ("::1", &first),
    ];
    for (name, pair) in asked {
        let wire = Wire::between(&client, name, &server).through();
        assert_eq!(wire.shown(), in_file(pair), "{name}");
    }
}

#[test]
fn both_sides_tell_what_they_agreed_on() {
    let folder = Folder::new();
    let pair = folder.pair("a", &["a.test"]);
    let alpn = words(&["h2", "http/1.1"]);
    let server = ServerTls::load(ServerTlsFiles { alpn, ..files_of(&[&pair]) }).unwrap();
    let client =
        client_of(ClientTlsFiles { alpn: words(&["smtp", "http/1.1"]), ..folder.trusting("ca.pem") });
    let wire = Wire::between(&client, "a.test", &server).through();
    let expected = TlsFacts {
        version: "TLSv1.3".into(),
        suite: "TLS_AES_256_GCM_SHA384".into(),
        key_exchange: Some("X25519MLKEM768".into()),
        alpn: Some("http/1.1".to_owned()),
        sni: Some("a.test".to_owned()),
        resumed: false,
        peer: None,
    };
    assert_eq!(wire.facts(), expected);
    let peer = Some("a.test".to_owned());
    let facts = TlsFacts::of_client(&wire.client, &client, "a.test");
    assert_eq!(facts, TlsFacts { peer, ..expected.clone() });
    let json = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<TlsFacts>(&json).unwrap(), facts);
    // A peer that is not verified has no name.
    let blind = client_of(ClientTlsFiles { verify: false, ..folder.trusting("ca.pem") });
    let wire = Wire::between(&blind, "10.0.0.1", &server).through();
    let facts = TlsFacts::of_client(&wire.client, &blind, "10.0.0.1");
    assert_eq!((facts.peer, facts.sni, facts.alpn), (None, None, None));
}

#[test]
fn sides_without_a_common_protocol_say_so() {
    let folder = Folder::new();
    let pair = folder.pair("a", &["a.test"]);
    let server = ServerTls::load(ServerTlsFiles { alpn: words(&["h2"]), ..files_of(&[&pair]) }).unwrap();
    let client = client_of(ClientTlsFiles { alpn: words(&["smtp"]), ..folder.trusting("ca.pem") });
    let wire = Wire::between(&client, "a.test", &server);
    assert_eq!(wire.told_by_server(), "no protocol (ALPN) that both sides speak");
    let text = "the peer sent the alert no_application_protocol: it speaks none of our protocols (ALPN)";
    assert_eq!(wire.told_by_client(), text);
}

#[test]
fn a_client_proves_who_it_is_if_it_has_to() {
    let folder = Folder::new();
    let pair = folder.pair("a", &["a.test"]);
    let people = authority("people");
    folder.write("people.pem", &people.pem());
    let server = |client_cert| {
        let client_ca = Some(folder.path("people.pem"));
        ServerTls::load(ServerTlsFiles { client_ca, client_cert, ..files_of(&[&pair]) }).unwrap()
    };
    let (required, optional) = (server(ClientCertificates::Required), server(ClientCertificates::Optional));
    let key = KeyPair::generate().unwrap();
    let ada = folder.put("ada", &params(&["ada"]).signed_by(&key, &people).unwrap(), &key);
    let eve = folder.pair("eve", &["eve"]);
    let client = |pair: Option<&CertificatePair>| {
        client_of(ClientTlsFiles { pair: pair.cloned(), ..folder.trusting("ca.pem") })
    };
    for server in [&required, &optional] {
        let wire = Wire::between(&client(Some(&ada)), "a.test", server).through();
        assert_eq!(wire.facts().peer.as_deref(), Some("ada"));
        // The authority is not the one that is asked for, so the client keeps its certificate to itself or is refused.
        let wire = Wire::between(&client(Some(&eve)), "a.test", server);
        assert_eq!(wire.told_by_server(), "the certificate is signed by an unknown authority");
        assert!(wire.told_by_client().contains("unknown_ca: it does not know the authority"));
    }
    let wire = Wire::between(&client(None), "a.test", &required);
    assert_eq!(wire.told_by_server(), "the peer has sent no certificate");
    let text = "the peer sent the alert certificate_required: it wants a certificate of us";
    assert_eq!(wire.told_by_client(), text);
    let wire = Wire::between(&client(None), "a.test", &optional).through();
    assert_eq!(wire.facts().peer, None);
}

#[test]
fn a_replaced_pair_is_for_new_handshakes_and_ends_no_session() {
    let folder = Folder::new();
    let pair = folder.pair("a", &["a.test"]);
    let server = server_of(&[&pair]);
    let client = folder.client();
    assert_eq!(server.look(), TlsRenewal::Same);
    let mut before = Wire::between(&client, "a.test", &server).through();
    let old = in_file(&pair);
    folder.pair("a", &["a.test", "new.test"]);
    assert_eq!(server.look(), TlsRenewal::Renewed(vec![pair.cert.clone()]));
    assert_eq!(server.look(), TlsRenewal::Same);
    let after = Wire::between(&client, "new.test", &server).through();
    assert_eq!(after.shown(), in_file(&pair));
    before.carries(b"still here");
    assert_eq!(before.shown(), old);
}

#[test]
fn the_swap_of_a_link_renews() {
    let folder = Folder::new();
    let (one, two) = (folder.pair("one", &["a.test"]), folder.pair("two", &["a.test"]));
    for (at, pair) in [(1, &one), (2, &two)] {
        fs::create_dir(folder.path(&format!("..{at}"))).unwrap();
        fs::copy(&pair.cert, folder.path(&format!("..{at}/tls.crt"))).unwrap();
        fs::copy(&pair.key, folder.path(&format!("..{at}/tls.key"))).unwrap();
    }
    // As Kubernetes lays out a secret.
    symlink("..1", folder.path("..data")).unwrap();
    symlink("..data/tls.crt", folder.path("tls.crt")).unwrap();
    symlink("..data/tls.key", folder.path("tls.key")).unwrap();
    let pair = CertificatePair { cert: folder.path("tls.crt"), key: folder.path("tls.key") };
    let server = server_of(&[&pair]);
    assert_eq!(server.look(), TlsRenewal::Same);
    symlink("..2", folder.path("..data_tmp")).unwrap();
    fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
    assert_eq!(server.look(), TlsRenewal::Renewed(vec![pair.cert.clone()]));
    let wire = Wire::between(&folder.client(), "a.test", &server).through();
    assert_eq!(wire.shown(), in_file(&two));
}

#[test]
fn a_pair_that_does_not_fit_keeps_the_old_until_it_does() {
    let folder = Folder::new();
    let (pair, other) = (folder.pair("a", &["a.test"]), folder.pair("other", &["a.test"]));
    let server = server_of(&[&pair]);
    let old = in_file(&pair);
    let refused = |text: String| {
        assert_eq!(server.look(), TlsRenewal::Refused(text));
        assert_eq!(Wire::between(&folder.client(), "a.test", &server).through().shown(), old);
    };
    folder.write("a.pem", &fs::read_to_string(&other.cert).unwrap());
    let (cert, key) = (pair.cert.display(), pair.key.display());
    for _ in 0..2 {
        refused(format!("the key in {key} does not fit the certificate in {cert}"));
    }
    fs::remove_file(&pair.key).unwrap();
    refused(format!("cannot read {key}: no such file or directory"));
    folder.write("a.key", &fs::read_to_string(&other.key).unwrap());
    assert_eq!(server.look(), TlsRenewal::Renewed(vec![pair.cert.clone()]));
    assert_eq!(Wire::between(&folder.client(), "a.test", &server).through().shown(), in_file(&other));
}

#[test]
fn a_file_that_is_written_anew_with_the_same_in_it_changes_nothing() {
    let folder = Folder::new();
    let pair = folder.pair("a", &["a.test"]);
    let server = server_of(&[&pair]);
    let config = server.config();
    let text = fs::read_to_string(&pair.cert).unwrap();
    folder.write("a.pem", &format!("of the year 2026\n{text}"));
    assert_eq!(server.look(), TlsRenewal::Same);
    assert!(Arc::ptr_eq(&config, &server.config()));
    // It is found again by its new stamp.
    folder.pair("a", &["a.test"]);
    assert_eq!(server.look(), TlsRenewal::Renewed(vec![pair.cert]));
}

#[test]
fn a_server_that_cannot_be_trusted_is_told_in_words() {
    let folder = Folder::new();
    let client = folder.client();
    let told = |pair: CertificatePair, host: &str| {
        let wire = Wire::between(&client, host, &server_of(&[&pair]));
        assert!(wire.server_error.is_some(), "the server has an alert");
        wire.told_by_client()
    };
    let mut expired = params(&["a.test"]);
    expired.not_after = date_time_ymd(2026, 1, 2);
    assert_eq!(told(folder.pair_of("a", expired), "a.test"), "the certificate expired on 2026-01-02");
    let mut early = params(&["a.test"]);
    early.not_before = date_time_ymd(2999, 3, 4);
    assert_eq!(told(folder.pair_of("a", early), "a.test"), "the certificate is not valid before 2999-03-04");
    let names = ["a.test", "*.b.test", "10.0.0.1"];
    let text = "wrong name: the certificate has a.test, *.b.test and 10.0.0.1, not c.test";
    assert_eq!(told(folder.pair("a", &names), "c.test"), text);
    let text = "wrong name: the certificate has a.test, *.b.test and 10.0.0.1, not 10.0.0.2";
    assert_eq!(told(folder.pair("a", &names), "10.0.0.2"), text);
    let text = "wrong name: the certificate has none in subjectAltName, not c.test";
    assert_eq!(told(folder.pair("a", &[]), "c.test"), text);
    for params in [params(&["a.test"]), ca_params("a.test")] {
        assert_eq!(told(folder.self_signed("a", params), "a.test"), "the certificate is self-signed");
    }
    let key = KeyPair::generate().unwrap();
    let pair = folder.put("a", &params(&["a.test"]).signed_by(&key, &authority("a.test")).unwrap(), &key);
    let text = "the certificate is signed by an unknown authority, \"a.test\"";
    assert_eq!(told(pair, "a.test"), text, "its issuer has its name, and is not itself");
    let pair = folder.put("a", &params(&["a.test"]).signed_by(&key, &authority("inside")).unwrap(), &key);
    assert_eq!(told(pair, "a.test"), "the certificate is not signed by the authority that it names");
    let mut purpose = params(&["a.test"]);
    purpose.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let text = "the certificate is for another purpose (extended key usage)";
    assert_eq!(told(folder.pair_of("a", purpose), "a.test"), text);
}

#[test]
fn a_server_whose_own_certificate_is_named_is_trusted_for_what_it_says() {
    let folder = Folder::new();
    let text = |pair: &CertificatePair, ca: &str, host: &str| {
        let wire = Wire::between(&client_of(folder.trusting(ca)), host, &server_of(&[pair]));
        wire.client_error.as_ref().map(explain)
    };
    let pairs =
        [folder.self_signed("leaf", params(&["a.test"])), folder.self_signed("ca", ca_params("a.test"))];
    for (pair, ca) in pairs.iter().zip(["leaf.pem", "ca.pem"]) {
        assert_eq!(text(pair, ca, "a.test"), None);
        let wrong = "wrong name: the certificate has a.test, not b.test";
        assert_eq!(text(pair, ca, "b.test").as_deref(), Some(wrong));
    }
    let (mut expired, mut early) = (ca_params("a.test"), ca_params("a.test"));
    expired.not_after = date_time_ymd(2026, 1, 2);
    let told = text(&folder.self_signed("expired", expired), "expired.pem", "a.test");
    assert_eq!(told.as_deref(), Some("the certificate expired on 2026-01-02"));
    early.not_before = date_time_ymd(2999, 3, 4);
    let told = text(&folder.self_signed("early", early), "early.pem", "a.test");
    assert_eq!(told.as_deref(), Some("the certificate is not valid before 2999-03-04"));
    let told = text(&pairs[1], "leaf.pem", "a.test");
    assert_eq!(told.as_deref(), Some("the certificate is self-signed"), "named is another");
}

#[test]
fn an_authority_that_has_the_name_of_a_self_signed_certificate_does_not_hide_what_that_is() {
    let folder = Folder::new();
    let server = server_of(&[&folder.self_signed("a", params(&["a.test"]))]);
    for kind in [&PKCS_ED25519, &PKCS_ECDSA_P256_SHA256] {
        let key = KeyPair::generate_for(kind).unwrap();
        folder.put("namesake", &ca_params("a.test").self_signed(&key).unwrap(), &key);
        let wire = Wire::between(&client_of(folder.trusting("namesake.pem")), "a.test", &server);
        let told = wire.client_error.as_ref().map(explain);
        assert_eq!(told.as_deref(), Some("the certificate is self-signed"), "{kind:?}");
    }
}

#[test]
fn what_a_certificate_says_cannot_disturb_a_line() {
    let folder = Folder::new();
    let mut params = params(&["a.test"]);
    params.distinguished_name.push(DnType::CommonName, "a\n\u{1b}[2J");
    let server = server_of(&[&folder.pair_of("a", params)]);
    let wire = Wire::between(&folder.client(), "a.test", &server).through();
    let peer = TlsFacts::of_client(&wire.client, &folder.client(), "a.test").peer;
    assert_eq!(peer.as_deref(), Some("a\\n\\x1b[2J"));
}

#[test]
fn what_is_no_tls_is_told() {
    let folder = Folder::new();
    let pair = folder.pair("a", &["a.test"]);
    for plain in ["HTTP/1.1 400 Bad Request\r\n\r\n", "220 mail.test ESMTP\r\n", "SSH-2.0-OpenSSH_9\r\n"] {
        let mut client = folder.client().connection("a.test").unwrap();
        client.read_tls(&mut plain.as_bytes()).unwrap();
        let error = client.process_new_packets().unwrap_err();
        assert_eq!(explain(&error), "what the peer sends is no TLS", "{plain}");
        let mut server = ServerConnection::new(server_of(&[&pair]).config()).unwrap();
        server.read_tls(&mut plain.as_bytes()).unwrap();
        let error = server.process_new_packets().unwrap_err();
        assert_eq!(explain(&error), "what the peer sends is no TLS", "{plain}");
    }
}

#[test]
fn a_name_of_the_configuration_wins_over_the_one_that_is_dialled() {
    let folder = Folder::new();
    let server = server_of(&[&folder.pair("a", &["web.internal"])]);
    let client =
        client_of(ClientTlsFiles { name: Some("web.internal".to_owned()), ..folder.trusting("ca.pem") });
    let wire = Wire::between(&client, "10.0.0.7", &server).through();
    assert_eq!(wire.facts().sni.as_deref(), Some("web.internal"));
    let facts = TlsFacts::of_client(&wire.client, &client, "10.0.0.7");
    assert_eq!(facts.sni.as_deref(), Some("web.internal"));
    assert_eq!(folder.client().asks_for("a.test.").as_deref(), Some("a.test"));
    assert_eq!(folder.client().asks_for("10.0.0.7"), None);
    let error = folder.client().connection("no name").unwrap_err();
    assert_eq!(error, "\"no name\" is neither a host name nor an IP address, so no certificate can have it");
}

#[test]
fn a_client_follows_its_files_too() {
    let folder = Folder::new();
    let pair = folder.self_signed("a", params(&["a.test"]));
    let (server, client) = (server_of(&[&pair]), folder.client());
    assert!(Wire::between(&client, "a.test", &server).client_error.is_some());
    assert_eq!(client.look(), TlsRenewal::Same);
    folder.write("ca.pem", &fs::read_to_string(&pair.cert).unwrap());
    assert_eq!(client.look(), TlsRenewal::Renewed(vec![folder.path("ca.pem")]));
    Wire::between(&client, "a.test", &server).through();
    folder.write("ca.pem", "nothing");
    let text = format!("{} has no certificate", folder.path("ca.pem").display());
    assert_eq!(client.look(), TlsRenewal::Refused(text));
    Wire::between(&client, "a.test", &server).through();
}

#[test]
fn equal_are_the_same_files_with_the_same_in_them() {
    let folder = Folder::new();
    let pair = folder.pair("a", &["a.test"]);
    let (one, client) = (server_of(&[&pair]), folder.client());
    assert_eq!(one, server_of(&[&pair]));
    assert_eq!(client, folder.client());
    let h2 = ServerTls::load(ServerTlsFiles { alpn: words(&["h2"]), ..files_of(&[&pair]) }).unwrap();
    assert_ne!(one, h2);
    assert_ne!(client, client_of(ClientTlsFiles { verify: false, ..folder.trusting("ca.pem") }));
    folder.pair("a", &["a.test"]);
    folder.write("ca.pem", &authority("other").pem());
    let (new, new_client) = (server_of(&[&pair]), folder.client());
    assert_ne!(one, new);
    assert_ne!(client, new_client);
    // It has seen the new files itself meanwhile.
    assert!(matches!(one.look(), TlsRenewal::Renewed(_)) && matches!(client.look(), TlsRenewal::Renewed(_)));
    assert_eq!(one, new);
    assert_eq!(client, new_client);
}

/// Two connections of one client, the second to another server: whether it was a resumption.
fn resumes(client: &ClientTls, first: &ServerTls, change: impl FnOnce(), second: &ServerTls) -> bool {
    let before = Wire::between(client, "a.test", first).through();
    assert!(!before.facts().resumed);
    change();
    let after = Wire::between(client, "a.test", second).through();
    assert_eq!(after.facts().resumed, TlsFacts::of_client(&after.client, client, "a.test").resumed);
    after.facts().resumed
}

#[test]
fn tickets_stay_good_over_a_reload() {
    let folder = Folder::new();
    let pair = folder.pair("a", &["a.test"]);
    let former = server_of(&[&pair]);
    folder.pair("a", &["a.test"]);
    let new = server_of(&[&pair]);
    assert!(resumes(&folder.client(), &former, || (), &former), "of the same");
    assert!(!resumes(&folder.client(), &former, || (), &new), "not taken over");
    new.take_over(&former);
    assert!(resumes(&folder.client(), &former, || (), &new), "taken over");
    let look = || {
        folder.pair("a", &["a.test"]);
        assert!(matches!(new.look(), TlsRenewal::Renewed(_)));
    };
    assert!(resumes(&folder.client(), &new, look, &new), "renewed");
}

#[test]
fn a_session_of_tls_1_2_is_resumed_by_its_ticket() {
    let folder = Folder::new();
    let server = server_of(&[&folder.pair("a", &["a.test"])]);
    let mut roots = RootCertStore::empty();
    roots.add(folder.authority.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&version::TLS12]).unwrap();
    let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    let connect = || {
        let name = ServerName::try_from("a.test").unwrap();
        let client = ClientConnection::new(config.clone(), name).unwrap();
        Wire::of(client, &server).through().facts()
    };
    let (first, second) = (connect(), connect());
    assert_eq!((&*first.version, first.resumed, second.resumed), ("TLSv1.2", false, true));
    assert_eq!(first.suite, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384");
    assert_eq!(second.key_exchange, None);
}

#[test]
fn keys_that_cannot_be_renewed_serve_for_the_whole_session_and_others_are_renewed() {
    for provider in [provider(), classical_provider()] {
        let ours = provider.cipher_suites.iter();
        let theirs = aws_lc_rs::DEFAULT_CIPHER_SUITES.iter();
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.zip(theirs) {
            assert_eq!(ours.suite(), theirs.suite());
            match (ours, theirs) {
                (SupportedCipherSuite::Tls12(ours), SupportedCipherSuite::Tls12(_)) => {
                    assert_eq!(ours.common.confidentiality_limit, u64::MAX, "{ours:?}");
                }
                (SupportedCipherSuite::Tls13(ours), SupportedCipherSuite::Tls13(theirs)) => {
                    let limits = [ours, theirs].map(|suite| suite.common.confidentiality_limit);
                    assert_eq!(limits[0], limits[1], "{ours:?}");
                }
                _ => panic!("{ours:?} in place of {theirs:?}"),
            }
        }
    }
}

#[test]
fn a_ticket_is_no_way_around_another_authority_of_clients() {
    let folder = Folder::new();
    let pair = folder.pair("a", &["a.test"]);
    let ada = folder.pair("ada", &["ada"]);
    let client = || client_of(ClientTlsFiles { pair: Some(ada.clone()), ..folder.trusting("ca.pem") });
    folder.write("people.pem", &folder.authority.pem());
    let asking = |client_cert| {
        let client_ca = Some(folder.path("people.pem"));
        ServerTls::load(ServerTlsFiles { client_ca, client_cert, ..files_of(&[&pair]) }).unwrap()
    };
    let (open, asks) = (server_of(&[&pair]), asking(ClientCertificates::Required));
    asks.take_over(&open);
    assert!(!resumes(&client(), &open, || (), &asks), "asked nothing before");
    let lax = asking(ClientCertificates::Optional);
    asks.take_over(&lax);
    assert!(!resumes(&client(), &lax, || (), &asks), "asked less before");
    // A second authority beside the first: all clients are judged anew.
    let both = || {
        folder.write("people.pem", &(folder.authority.pem() + &authority("others").pem()));
    };
    let look = || {
        both();
        assert_eq!(asks.look(), TlsRenewal::Renewed(vec![folder.path("people.pem")]));
    };
    let former = asking(ClientCertificates::Required);
    assert!(!resumes(&client(), &asks, look, &asks), "renewed");
    let new = asking(ClientCertificates::Required);
    new.take_over(&former);
    assert!(!resumes(&client(), &former, || (), &new), "taken over from other authorities");
    let like_new = asking(ClientCertificates::Required);
    like_new.take_over(&new);
    assert!(resumes(&client(), &new, || (), &like_new), "of the same authorities");
}

/// A good pair, and files that are wrong in one way each, as their names say.
fn wrong_files() -> Folder {
    let folder = Folder::new();
    let good = folder.pair("good", &["a.test"]);
    let good_text = |path: &PathBuf| fs::read_to_string(path).unwrap();
    folder.write("both.pem", &(folder.authority.pem() + &good_text(&good.cert)));
    folder.write("empty.pem", "");
    fs::write(folder.path("der.pem"), in_file(&good)).unwrap();
    fs::write(folder.path("large.pem"), vec![b'\n'; (1 << 20) + 1]).unwrap();
    folder.write(
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    folder.write("torn.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    folder.write("noise.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    folder
}

#[test]
fn all_faults_of_files_are_told_at_once() {
    let folder = wrong_files();
    let own = |cert: &str, key: &str| CertificatePair { cert: folder.path(cert), key: folder.path(key) };
    let pairs = [
        own("missing.pem", "empty.pem"),
        own("empty.pem", "locked.key"),
        own("der.pem", "der.pem"),
        own("large.pem", "."),
        own("torn.pem", "good.key"),
        own("noise.pem", "good.key"),
        own("both.pem", "good.key"),
        own("ca.pem", "good.key"),
    ];
    let files = ServerTlsFiles {
        client_ca: Some(folder.path("empty.pem")),
        alpn: words(&["h2", ""]),
        ..files_of(&pairs.iter().collect::<Vec<_>>())
    };
    let faults = ServerTls::load(files).unwrap_err();
    let der = "in PEM: it looks like DER, which openssl x509 and openssl pkey turn into PEM";
    let at = |name: &str| folder.path(name).display().to_string();
    let expected = [
        (TlsKey::Cert(0), format!("cannot read {}: no such file or directory", at("missing.pem"))),
        (TlsKey::Key(0), format!("{} has no private key", at("empty.pem"))),
        (TlsKey::Cert(1), format!("{} has no certificate", at("empty.pem"))),
        (
            TlsKey::Key(1),
            format!("the key in {} is encrypted: write it anew with openssl pkey", at("locked.key")),
        ),
        (TlsKey::Cert(2), format!("{} has no certificate {der}", at("der.pem"))),
        (TlsKey::Key(2), format!("{} has no private key {der}", at("der.pem"))),
        (
            TlsKey::Cert(3),
            format!("cannot read {}: it has more than 1 MiB, which no certificate has", at("large.pem")),
        ),
        (TlsKey::Key(3), format!("cannot read {}: it is no file", at("."))),
        (TlsKey::Cert(4), format!("{} is no PEM: a block does not end", at("torn.pem"))),
        (TlsKey::Cert(5), format!("certificate 1 of {} cannot be read", at("noise.pem"))),
        (
            TlsKey::Key(6),
            format!(
                "the key in {} fits certificate 2 of {}, which has to stand first there",
                at("good.key"),
                at("both.pem")
            ),
        ),
        (
            TlsKey::Key(7),
            format!("the key in {} does not fit the certificate in {}", at("good.key"), at("ca.pem")),
        ),
        (TlsKey::ClientCa, format!("{} has no certificate", at("empty.pem"))),
        (TlsKey::Alpn, "a protocol has 1 to 255 bytes, and \"\" has 0".to_owned()),
    ];
    let told: Vec<(TlsKey, String)> = faults.into_iter().map(|fault| (fault.what, fault.text)).collect();
    assert_eq!(told, expected);
}

#[test]
fn all_faults_of_the_files_of_a_client_are_told_at_once() {
    let folder = wrong_files();
    let pair = CertificatePair { cert: folder.path("good.pem"), key: folder.path("locked.key") };
    let faults = ClientTls::load(ClientTlsFiles {
        name: Some("no name".to_owned()),
        pair: Some(pair),
        ..folder.trusting("empty.pem")
    });
    let told: Vec<TlsKey> = faults.unwrap_err().into_iter().map(|fault| fault.what).collect();
    assert_eq!(told, [TlsKey::Key(0), TlsKey::Ca, TlsKey::Name]);
}

#[test]
fn certificates_that_end_soon_are_named() {
    let folder = Folder::new();
    let (mut ended, mut lasts) = (params(&["a.test"]), params(&["b.test"]));
    ended.not_after = date_time_ymd(2020, 1, 1);
    lasts.not_after = date_time_ymd(2999, 1, 1);
    let (ended, lasts) = (folder.pair_of("ended", ended), folder.pair_of("lasts", lasts));
    let server = server_of(&[&lasts, &ended]);
    let end = "2020-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(server.ends_soon(14 * DAY), [(ended.cert.clone(), end)]);
    assert_eq!(server.ends_soon(1000 * 366 * DAY).len(), 2);
    // The one that signed it ends first.
    fs::write(
        &lasts.cert,
        fs::read_to_string(&lasts.cert).unwrap() + &fs::read_to_string(&ended.cert).unwrap(),
    )
    .unwrap();
    assert_eq!(server_of(&[&lasts]).ends_soon(14 * DAY), [(lasts.cert, end)]);
}

#[test]
fn a_certificate_is_made_for_names_without_files() {
    let folder = Folder::new();
    let names = words(&["localhost", "127.0.0.1"]);
    let server = ServerTls::self_signed(&names, &words(&["h2"])).unwrap();
    let blind = client_of(ClientTlsFiles { verify: false, ..folder.trusting("ca.pem") });
    for host in ["localhost", "127.0.0.1"] {
        let wire = Wire::between(&folder.client(), host, &server);
        assert_eq!(wire.told_by_client(), "the certificate is self-signed");
        let shown = Wire::between(&blind, host, &server).through().shown();
        let certificate = ReadCertificate::read(&shown).unwrap();
        assert_eq!(certificate.names(), names);
        assert_eq!(certificate.subject().as_deref(), Some("localhost"));
        let (begins, ends, now) = (certificate.begins(), certificate.ends(), Timestamp::now());
        assert!(begins < now && now + 364 * DAY < ends && ends < now + 367 * DAY, "{begins} to {ends}");
    }
    assert_eq!(server.look(), TlsRenewal::Same);
    assert_eq!(server, ServerTls::self_signed(&names, &words(&["h2"])).unwrap());
    assert_ne!(server, ServerTls::self_signed(&names, &[]).unwrap());
    assert!(ServerTls::self_signed(&words(&["no n\u{e4}me"]), &[]).unwrap_err().contains("cannot make"));
}

#[test]
fn the_environment_names_authorities_and_a_file_for_keys() {
    const FOLDER: &str = "FOLDER_OF_THE_TEST";
    const NAME: &str = "net::tls::tests::the_environment_names_authorities_and_a_file_for_keys";
    if let Some(folder) = env::var_os(FOLDER) {
        let path = |name| PathBuf::from(&folder).join(name);
        let server = server_of(&[&CertificatePair { cert: path("a.pem"), key: path("a.key") }]);
        Wire::between(&client_of(ClientTlsFiles::default()), "a.test", &server).through();
        return;
    }
    let folder = Folder::new();
    folder.pair("a", &["a.test"]);
    // An environment is a process's: this test, run by itself.
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", NAME]).env(FOLDER, folder.folder.path());
    command.env("SSL_CERT_FILE", folder.path("ca.pem")).env("SSLKEYLOGFILE", folder.path("keys"));
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    let keys = fs::read_to_string(folder.path("keys")).unwrap();
    assert_eq!(keys.matches("CLIENT_TRAFFIC_SECRET_0 ").count(), 2, "of both sides: {keys}");
}
