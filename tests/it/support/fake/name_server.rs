//! A name server (RFC 1035) of a test, over UDP: a few names with addresses and services, which the test changes.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    thread,
};

/// The kinds of records (RFC 1035 §3.2.2, RFC 2782).
const A: u16 = 1;
const SRV: u16 = 33;
/// Every record holds for a second.
const TTL_SECONDS: u32 = 1;

/// What it says of a name.
#[derive(Clone)]
pub enum Says {
    Addresses(Vec<Ipv4Addr>),
    /// Priority, weight, port, target.
    Services(Vec<(u16, u16, u16, &'static str)>),
    /// A code: 2 is SERVFAIL, 3 is NXDOMAIN.
    Fails(u8),
    Nothing,
}

pub struct NameServer {
    pub address: SocketAddr,
    names: Arc<Mutex<BTreeMap<String, Says>>>,
}

impl NameServer {
    pub fn start() -> NameServer {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let names = Arc::<Mutex<BTreeMap<String, Says>>>::default();
        let (address, known) = (socket.local_addr().unwrap(), names.clone());
        thread::spawn(move || {
            let mut room = [0; 512];
            while let Ok((count, client)) = socket.recv_from(&mut room) {
                if let Some(answer) = answer(&room[..count], &known.lock().unwrap()) {
                    socket.send_to(&answer, client).unwrap();
                }
            }
        });
        NameServer { address, names }
    }

    pub fn says(&self, name: &str, says: Says) {
        self.names.lock().unwrap().insert(name.to_owned(), says);
    }
}

/// The name as it is sent: labels with their lengths.
fn labels(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

fn answer(query: &[u8], names: &BTreeMap<String, Says>) -> Option<Vec<u8>> {
    // One question begins after the header of 12 bytes, and ends with kind and class.
    let end = 12 + query[12..].iter().position(|byte| *byte == 0)? + 1;
    let kind = u16::from_be_bytes([query[end], query[end + 1]]);
    let says = names.iter().find(|(name, _)| labels(name) == query[12..end]).map(|(_, says)| says);
    let (code, records): (u8, Vec<Vec<u8>>) = match says {
        Some(Says::Addresses(all)) if kind == A => (0, all.iter().map(|ip| ip.octets().into()).collect()),
        Some(Says::Services(all)) if kind == SRV => {
            let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| {
                let numbers = [priority, weight, port].into_iter().flat_map(|number| number.to_be_bytes());
                numbers.chain(labels(target)).collect()
            };
            (0, all.iter().map(record).collect())
        }
        Some(Says::Fails(code)) => (*code, Vec::new()),
        Some(Says::Nothing) => return None,
        Some(_) => (0, Vec::new()),
        None => (3, Vec::new()),
    };
    // An answer with recursion available; one question, and the number of records.
    let header = [&query[..2], &[0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]].concat();
    let mut answer = [&header, &query[12..end + 4]].concat();
    for data in records {
        // The name is that of the question, at byte 12.
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes().into_iter().chain([0, 1]).chain(TTL_SECONDS.to_be_bytes()));
        answer.extend((data.len() as u16).to_be_bytes());
        answer.extend(data);
    }
    Some(answer)
}
