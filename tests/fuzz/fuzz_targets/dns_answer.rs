//! Answers of a name server, of any bytes: the number and the question are made to fit, so that the records are reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard::net::dns::{DnsQuestion, RECORDS_MAX, RecordKind};

const NUMBER: u16 = 7;
/// `_db._tcp.test` as it is sent.
const NAME: &[u8] = b"\x03_db\x04_tcp\x04test\0";

fuzz_target!(|bytes: &[u8]| {
    let name = || "_db._tcp.test".parse().expect("it is a name");
    for (kind, number) in [(RecordKind::A, 1), (RecordKind::Aaaa, 28), (RecordKind::Srv, 33)] {
        let question = DnsQuestion { name: name(), kind };
        // A whole answer of any bytes.
        let _ = question.read(NUMBER, bytes);
        // One to this question: two bytes count its records, the rest are these.
        let Some((count, records)) = bytes.split_at_checked(2) else { continue };
        let header = [&[0, 7, 0x81, 0x80, 0, 1], count, &[0; 4]].concat();
        let answer = [&header, NAME, &[0, number, 0, 1], records].concat();
        if let Ok(found) = question.read(NUMBER, &answer) {
            assert!((1..=RECORDS_MAX).contains(&(found.addresses.len() + found.services.len())));
        }
    }
});
