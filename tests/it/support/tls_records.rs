//! A connection of TLS after its handshake, of which a test writes each record itself, as no library would.

use crate::support::tls::WireStream;
use rustls::{
    ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite,
    crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage},
};
use std::net::TcpStream;

pub struct RecordStream {
    pub stream: TcpStream,
    encrypter: Box<dyn MessageEncrypter>,
    /// Of the next record.
    number: u64,
}

impl RecordStream {
    /// Goes on where a stream stands, whose configuration lets its secrets out.
    pub fn new(stream: WireStream) -> RecordStream {
        let (stream, connection) = stream.into_parts();
        let suite = connection.negotiated_cipher_suite().unwrap();
        let (number, secrets) = connection.dangerous_extract_secrets().unwrap().tx;
        let (key, iv, fixed) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv }
            | ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (key, iv, 4),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv, 12),
            _ => panic!("a suite that tests do not know"),
        };
        let mut encrypter = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
            SupportedCipherSuite::Tls12(suite) => {
                let (fixed, explicit) = iv.as_ref().split_at(fixed);
                suite.aead_alg.encrypter(key, fixed, explicit)
            }
        };
        if number > 0 {
            // AWS-LC learns from the first how records are numbered.
            encrypter.encrypt(message(ContentType::Alert, b""), 0).unwrap();
        }
        RecordStream { stream, encrypter, number }
    }

    /// The next record, with this in it.
    pub fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let record = self.encrypter.encrypt(message(typ, payload), self.number).unwrap();
        self.number += 1;
        record.encode()
    }

    /// The next records, with nothing in them.
    pub fn empty_records(&mut self, typ: ContentType, count: usize) -> Vec<u8> {
        (0..count).flat_map(|_| self.record(typ, b"")).collect()
    }
}

fn message(typ: ContentType, payload: &[u8]) -> OutboundPlainMessage<'_> {
    let payload = OutboundChunks::Single(payload);
    OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload }
}
