//! TLS as the other ends of a test speak it: certificates in files, and a blocking stream that can end in every way.

use crate::support::{
    fake::{Checkpoint, Fake},
    stream::{End, Received, bounded, connect},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version,
};
use std::{
    collections::VecDeque,
    fs,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Tcp,
    Tls12,
    Tls13,
}

impl Wire {
    pub fn is_tls(self) -> bool {
        self != Wire::Tcp
    }

    fn version(self) -> &'static SupportedProtocolVersion {
        if self == Wire::Tls12 { &version::TLS12 } else { &version::TLS13 }
    }
}

/// How a stream ended that may speak TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireEnd {
    /// FIN; in TLS close_notify and FIN.
    Clean,
    /// FIN without close_notify.
    Truncated,
    Reset,
    /// close_notify, and then RST.
    CleanThenReset,
    /// An alert, or a fault of TLS.
    Failed(String),
}

/// A folder with an authority and what it signs: `ca.pem`, and the certificate `a.pem` of the name `a.test` with its key.
pub struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = certificate(&["authority"]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Authority { folder: TempDir::new().unwrap(), issuer };
        authority.write("ca.pem", &authority.issuer.pem());
        authority.sign("a", certificate(&["a.test"]));
        authority
    }

    /// The path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As a text.
    pub fn file(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Replaces a file as a careful program does.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    /// Makes `NAME.pem` and `NAME.key`.
    pub fn sign(&self, name: &str, params: CertificateParams) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.write(&format!("{name}.key"), &key.serialize_pem());
        self.write(&format!("{name}.pem"), &certificate.pem());
    }

    /// Makes `NAME.pem` and `NAME.key`, which no authority vouches for.
    pub fn self_sign(&self, name: &str, params: CertificateParams) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        self.write(&format!("{name}.key"), &key.serialize_pem());
        self.write(&format!("{name}.pem"), &certificate.pem());
    }

    fn chain(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certificates = CertificateDer::pem_file_iter(self.path(&format!("{name}.pem"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
        (certificates.map(Result::unwrap).collect(), key)
    }

    /// The certificate of a pair.
    pub fn leaf(&self, name: &str) -> CertificateDer<'static> {
        self.chain(name).0.remove(0)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    /// A client that trusts the authority, and shows `pair` if it is asked.
    pub fn client(&self, wire: Wire, pair: Option<&str>) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_protocol_versions(&[wire.version()]).unwrap();
        let builder = builder.with_root_certificates(self.roots());
        match pair.map(|name| self.chain(name)) {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        }
    }

    /// A server with the certificate `pair`.
    pub fn server(&self, wire: Wire, pair: &str) -> ServerConfig {
        self.server_of_chain(wire, self.chain(pair).0, pair)
    }

    /// A server with the key of `pair`.
    pub fn server_of_chain(
        &self,
        wire: Wire,
        chain: Vec<CertificateDer<'static>>,
        pair: &str,
    ) -> ServerConfig {
        let key = self.chain(pair).1;
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_protocol_versions(&[wire.version()]).unwrap();
        builder.with_no_client_auth().with_single_cert(chain, key).unwrap()
    }

    /// A fake that speaks this, as `a.test`, before it does what `behave` says. A failed handshake is in its report, as text.
    pub fn fake(
        &self,
        wire: Wire,
        behave: impl Fn(WireStream, &Checkpoint) -> Received + Send + Sync + 'static,
    ) -> Fake {
        let config = wire.is_tls().then(|| Arc::new(self.server(wire, "a")));
        Fake::start(move |stream, checkpoint| match WireStream::accept(stream, config.clone()) {
            Ok(stream) => behave(stream, checkpoint),
            Err(error) => Received { bytes: error.to_string().into_bytes(), end: End::Reset },
        })
    }
}

/// Sends back all that comes, and ends its stream after the other. Reports only how the stream ended.
pub fn echo(mut stream: WireStream) -> Received {
    let mut writer = stream.try_clone();
    let end = stream.read_each(|piece| drop(writer.write_all(piece)));
    if end == WireEnd::Clean {
        writer.finish();
    }
    Received { bytes: Vec::new(), end: if end == WireEnd::Clean { End::Fin } else { End::Reset } }
}

/// Of these names; the first is the subject's, too.
pub fn certificate(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let subject = names[0].clone();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, subject);
    params
}

/// The first bytes of a client.
pub fn hello_of(config: &ClientConfig) -> Vec<u8> {
    let name = ServerName::try_from("a.test").unwrap();
    let mut client = ClientConnection::new(Arc::new(config.clone()), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// A connection that may speak TLS. Of its copies one may read while one writes.
pub struct WireStream {
    pub stream: TcpStream,
    tls: Option<Arc<Mutex<Secured>>>,
}

struct Secured {
    connection: Connection,
    /// Decrypted, and not read yet.
    plain: VecDeque<u8>,
}

impl Secured {
    fn of(connection: Connection) -> Arc<Mutex<Secured>> {
        Arc::new(Mutex::new(Secured { connection, plain: VecDeque::new() }))
    }

    /// Decrypts what came; nothing is the end of the stream.
    fn take(&mut self, mut came: &[u8]) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        loop {
            self.connection.read_tls(&mut came)?;
            let state = self.connection.process_new_packets();
            while let Ok(count @ 1..) = self.connection.reader().read(&mut piece) {
                self.plain.extend(&piece[..count]);
            }
            state.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            if came.is_empty() {
                return Ok(());
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.plain.read(buffer)? {
            0 => self.connection.reader().read(buffer),
            count => Ok(count),
        }
    }
}

impl WireStream {
    pub fn connect(address: SocketAddr, config: Option<ClientConfig>) -> io::Result<WireStream> {
        WireStream::over(connect(address), config.map(Arc::new), "a.test")
    }

    /// A client of the server `name`, over what is connected.
    pub fn over(stream: TcpStream, config: Option<Arc<ClientConfig>>, name: &str) -> io::Result<WireStream> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection =
            config.map(|config| Connection::Client(ClientConnection::new(config, name).unwrap()));
        WireStream::begin(stream, connection)
    }

    /// As [`WireStream::over`], with another form of the hello.
    pub fn over_with(
        mut stream: TcpStream,
        config: Arc<ClientConfig>,
        form: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> io::Result<WireStream> {
        let name = ServerName::try_from("a.test").unwrap();
        let mut client = ClientConnection::new(config, name).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        stream.write_all(&form(&hello))?;
        WireStream::begin(stream, Some(Connection::Client(client)))
    }

    pub fn accept(stream: TcpStream, config: Option<Arc<ServerConfig>>) -> io::Result<WireStream> {
        let connection = config.map(|config| Connection::Server(ServerConnection::new(config).unwrap()));
        WireStream::begin(bounded(stream), connection)
    }

    fn begin(mut stream: TcpStream, mut connection: Option<Connection>) -> io::Result<WireStream> {
        if let Some(connection) = &mut connection {
            while connection.is_handshaking() || connection.wants_write() {
                connection.complete_io(&mut stream)?;
            }
        }
        Ok(WireStream { stream, tls: connection.map(Secured::of) })
    }

    pub fn try_clone(&self) -> WireStream {
        WireStream { stream: self.stream.try_clone().unwrap(), tls: self.tls.clone() }
    }

    pub fn address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// The connection of TLS and what it goes over; the stream has no copies.
    pub fn into_parts(self) -> (TcpStream, Connection) {
        let secured = Arc::into_inner(self.tls.expect("it speaks TLS")).expect("it has no copies");
        (self.stream, secured.into_inner().unwrap().connection)
    }

    /// Does something to the connection of TLS, and sends what comes of it.
    pub fn with_tls(&mut self, act: impl FnOnce(&mut Connection)) -> io::Result<()> {
        let mut encrypted = Vec::new();
        {
            let mut secured = self.tls.as_ref().expect("it speaks TLS").lock().unwrap();
            let tls = &mut secured.connection;
            act(tls);
            while tls.wants_write() {
                tls.write_tls(&mut encrypted).unwrap();
            }
        }
        self.stream.write_all(&encrypted)
    }

    /// That the peer showed.
    pub fn peer_certificate(&self) -> CertificateDer<'static> {
        let secured = self.tls.as_ref().expect("it speaks TLS").lock().unwrap();
        secured.connection.peer_certificates().unwrap()[0].clone()
    }

    /// Ends the stream; in TLS by close_notify first.
    pub fn finish(&mut self) {
        if self.tls.is_some() {
            self.with_tls(|tls| tls.send_close_notify()).unwrap();
        }
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Reads to the end of the stream, whichever way it ends.
    pub fn read_to_end(&mut self) -> (Vec<u8>, WireEnd) {
        let mut bytes = Vec::new();
        let end = self.read_each(|piece| bytes.extend_from_slice(piece));
        (bytes, end)
    }

    pub fn read_each(&mut self, mut piece: impl FnMut(&[u8])) -> WireEnd {
        let mut buffer = vec![0; 64 * 1024];
        let mut total = 0;
        loop {
            match self.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    total += length;
                    piece(&buffer[..length]);
                }
                Err(error) => match error.kind() {
                    ErrorKind::UnexpectedEof => return WireEnd::Truncated,
                    ErrorKind::ConnectionReset => return WireEnd::Reset,
                    ErrorKind::InvalidData => return WireEnd::Failed(error.to_string()),
                    _ => panic!("no end of stream after {total} bytes: {error}"),
                },
            }
        }
        match self.tls.is_some().then(|| self.stream.read(&mut buffer)) {
            None | Some(Ok(0)) => WireEnd::Clean,
            Some(Err(error)) if error.kind() == ErrorKind::ConnectionReset => WireEnd::CleanThenReset,
            Some(other) => panic!("neither FIN nor RST after close_notify: {other:?}"),
        }
    }

    /// The same as a fake reports it, whose stream is to end cleanly or by RST.
    pub fn receive(&mut self) -> Received {
        let (bytes, end) = self.read_to_end();
        let end = match end {
            WireEnd::Clean | WireEnd::CleanThenReset => End::Fin,
            WireEnd::Reset => End::Reset,
            other => panic!("it ended by {other:?} after {} bytes", bytes.len()),
        };
        Received { bytes, end }
    }
}

impl Read for WireStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else { return self.stream.read(buffer) };
        let mut room = [0; 16 * 1024];
        loop {
            match tls.lock().unwrap().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                done => return done,
            }
            // A copy may write while this waits.
            let count = self.stream.read(&mut room)?;
            tls.lock().unwrap().take(&room[..count])?;
        }
    }
}

impl Write for WireStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.tls.is_none() {
            return self.stream.write(bytes);
        }
        // A copy may have read that the peer ended it.
        let mut written = Ok(0);
        self.with_tls(|tls| written = tls.writer().write(bytes))?;
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
