//! Echo mode (RFC 862): everything comes back, in order, to everyone.

use crate::support::{
    data_path::{THROUGH, Way},
    pattern::{Pattern, pattern},
    server::Server,
    stream::{self, End, Received, exchange, read_each},
};
use std::{
    io::Write,
    net::{Shutdown, SocketAddr},
    thread,
};

const MIB: usize = 1 << 20;

#[test]
fn a_line_comes_back_and_then_the_end() {
    for way in THROUGH {
        let route = way.echo(&[]);
        let mut client = route.connect();
        client.write_all(b"Foobar\n").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let received = route.read_to_end(&mut client, "done");
        assert_eq!(received, Received { bytes: b"Foobar\n".to_vec(), end: End::Fin });
    }
}

/// Writes `total` bytes in pieces of random length while reading, and compares what comes back as it comes.
fn stream_through(address: SocketAddr, seed: u64, total: usize) {
    let mut client = stream::connect(address);
    let mut writer = client.try_clone().unwrap();
    let writing = thread::spawn(move || {
        let (mut sequence, mut lengths, mut sent) = (Pattern::new(seed), Pattern::new(seed + 1), 0);
        while sent < total {
            // Mostly large pieces, some tiny: both the copying and the splicing path have their turn.
            let limit = if lengths.below(4) == 0 { 100 } else { 200_000 };
            let length = (1 + lengths.below(limit)).min(total - sent);
            writer.write_all(&sequence.take(length)).unwrap();
            sent += length;
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let (mut sequence, mut received) = (Pattern::new(seed), 0);
    let end = read_each(&mut client, |piece| {
        assert!(piece == sequence.take(piece.len()), "other bytes after {received}");
        received += piece.len();
    });
    writing.join().unwrap();
    assert_eq!((received, end), (total, End::Fin));
}

#[test]
fn sixty_four_mib_in_random_pieces_come_back_identical() {
    for (seed, way) in [(1, Way::Spliced), (2, Way::Copied)] {
        let server = Server::echo(&[way.flag()]);
        stream_through(server.address(), seed, 64 * MIB);
        let close = &server.await_closes(1)[0];
        assert_eq!(
            (&close["client_bytes"], &close["upstream_bytes"]),
            (&(64 * MIB).into(), &(64 * MIB).into())
        );
    }
}

#[test]
fn a_client_that_reads_only_after_its_fin_gets_everything() {
    for way in THROUGH {
        let route = way.echo(&[]);
        let sent = pattern(3, 100_000);
        let mut client = route.connect();
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(route.read_to_end(&mut client, "done"), Received { bytes: sent, end: End::Fin });
    }
}

#[test]
fn two_hundred_clients_at_once_each_get_their_own_bytes() {
    const CLIENTS: u64 = 200;
    for way in THROUGH {
        let server = Server::echo(&[way.flag()]);
        let address = server.address();
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
        // All of them are served before any of them ends.
        for (client, seed) in clients.iter_mut().zip(0..) {
            exchange(client, &pattern(seed, 5000));
        }
        let running: Vec<_> =
            (0..8).map(|seed| thread::spawn(move || stream_through(address, 1000 + seed, MIB))).collect();
        for (client, seed) in clients.iter_mut().zip(1..) {
            exchange(client, &pattern(seed, 5000));
        }
        for thread in running {
            thread.join().unwrap();
        }
        drop(clients);
        let closes = server.await_closes(208);
        assert!(closes.iter().all(|close| close["cause"] == "done"), "{closes:?}");
    }
}
