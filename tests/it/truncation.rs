//! Transfers cut at random moments: what is cut off never looks complete.

use crate::support::{
    data_path::THROUGH,
    fake::peer,
    pattern::{Pattern, pattern},
    stream::{End, read_to_end, reset},
};
use std::io::Write;

/// Cuts in each direction on each data path: 200 in all.
const CUTS: u64 = 50;
/// Long enough that many cuts find bytes under way in every place.
const LONGEST: usize = 1 << 20;

#[test]
fn a_download_cut_by_the_upstream_never_looks_complete() {
    for way in THROUGH {
        let mut lengths = Pattern::new(21);
        let all: Vec<Vec<u8>> = (0..CUTS).map(|seed| pattern(seed, lengths.below(LONGEST))).collect();
        let upstream = peer::resets_after(all.clone());
        let route = way.to(upstream.address, &[]);
        for sent in all {
            let received = read_to_end(&mut route.connect());
            assert_eq!(received.end, End::Reset, "{way:?}: {} of {}", received.bytes.len(), sent.len());
            assert!(sent.starts_with(&received.bytes), "{way:?}: other bytes");
        }
    }
}

#[test]
fn an_upload_cut_by_the_client_never_looks_complete() {
    for way in THROUGH {
        let mut lengths = Pattern::new(22);
        let upstream = peer::takes_all();
        let route = way.to(upstream.address, &[]);
        for seed in 0..CUTS {
            let sent = pattern(seed, lengths.below(LONGEST));
            let mut client = route.connect();
            upstream.await_reached();
            client.write_all(&sent).unwrap();
            reset(client);
            let received = upstream.await_received();
            assert_eq!(received.end, End::Reset, "{way:?}: {} of {}", received.bytes.len(), sent.len());
            assert!(sent.starts_with(&received.bytes), "{way:?}: other bytes");
        }
    }
}
