//! Any bytes as a PROXY header: what is taken is written, and reads the same again; what is refused stays refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard::net::proxy_header::{HEADER_BYTES_MAX, ProxyHeader, ProxyRead};

/// What only a correct signature is followed by.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fuzz_target!(|bytes: &[u8]| {
    for start in [&b""[..], b"PROXY ", SIGNATURE] {
        let bytes = [start, bytes].concat();
        match ProxyHeader::read(&bytes) {
            Ok(ProxyRead::Incomplete) => assert!(bytes.len() < HEADER_BYTES_MAX),
            Ok(ProxyRead::Complete(header, length)) => {
                let short = ProxyHeader::read(&bytes[..length - 1]);
                assert!(matches!(short, Ok(ProxyRead::Incomplete)), "{short:?}");
                let written = header.write();
                let again = ProxyHeader::read(&written);
                assert_eq!(
                    again.map(|read| match read {
                        ProxyRead::Complete(header, length) => (header.proxied, length),
                        ProxyRead::Incomplete => panic!("it is whole"),
                    }),
                    Ok((header.proxied, written.len()))
                );
            }
            Err(_) => assert!(ProxyHeader::read(&[&bytes[..], b"\r\n"].concat()).is_err()),
        }
    }
});
