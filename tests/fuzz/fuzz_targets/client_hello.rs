//! Any bytes as what a client says first: in one piece and byte by byte they are the same, and where rustls takes a hello as
//! a server it finds the same name and protocols.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rustls::server::Acceptor;
use switchboard::net::client_hello::{
    ClientHello, FirstWords, HELLO_BYTES_MAX, HelloReader, PostgresRequest,
};

fuzz_target!(|bytes: &[u8]| {
    let _ = PostgresRequest::read(bytes);
    // Records of any bytes.
    check(bytes);
    // A message of any bytes, its length and its records made to fit, so that its fields are reached.
    let Some((&size, body)) = bytes.split_first() else { return };
    let message = [&[1], &body.len().to_be_bytes()[5..], body].concat();
    let record = |part: &[u8]| [&[22, 3, 1], &part.len().to_be_bytes()[6..], part].concat();
    check(&message.chunks(usize::from(size) + 1).flat_map(record).collect::<Vec<u8>>());
});

fn check(bytes: &[u8]) {
    let whole = HelloReader::default().read(bytes);
    let mut reader = HelloReader::default();
    let bytewise = (0..=bytes.len()).map(|end| reader.read(&bytes[..end]));
    let first = bytewise.enumerate().find(|(_, words)| *words != FirstWords::Incomplete);
    let (end, words) = first.unwrap_or((0, FirstWords::Incomplete));
    assert_eq!(words, whole);
    assert!(!matches!(words, FirstWords::Hello(_)) || end <= HELLO_BYTES_MAX);
    if let Some((sni, alpn)) = rustls_finds(bytes) {
        let FirstWords::Hello(hello) = whole else { panic!("rustls takes it: {whole:?}") };
        assert_eq!(hello.sni, sni);
        assert_eq!(protocols(&hello), alpn);
    }
}

fn protocols(hello: &ClientHello) -> Vec<Vec<u8>> {
    hello.alpn().map(|name| name.as_bytes().to_vec()).collect()
}

/// The name, and the protocols that a route can name.
fn rustls_finds(mut wire: &[u8]) -> Option<(Option<String>, Vec<Vec<u8>>)> {
    let mut acceptor = Acceptor::default();
    while acceptor.read_tls(&mut wire).ok()? > 0 {
        if let Some(accepted) = acceptor.accept().ok()? {
            let hello = accepted.client_hello();
            let is_grease = |name: &[u8]| name.len() == 2 && name[0] == name[1] && name[0] & 0x0f == 0x0a;
            let names = hello.alpn().into_iter().flatten();
            let alpn = names.filter(|name| str::from_utf8(name).is_ok() && !is_grease(name));
            return Some((
                hello.server_name().map(str::to_ascii_lowercase),
                alpn.map(<[u8]>::to_vec).collect(),
            ));
        }
    }
    None
}
