//! Which sessions are spliced and which are copied, told by the count of spliced bytes.

use super::{BOTH, tap};
use crate::support::{
    fake::peer,
    operator::Operated,
    scrape,
    wait::{LIMIT, within},
};
use std::{io::Write, net::TcpStream};

/// Sends bulk through the session and waits until all of it is delivered; returns how many bytes were spliced meanwhile.
fn spliced_by_bulk(operated: &Operated, client: &mut TcpStream) -> f64 {
    const BULK: u64 = 8 << 20;
    let spliced =
        || scrape::scrape(scrape::address(&operated.server)).value("switchboard_spliced_bytes_total", &[]);
    let before = spliced();
    let total = BULK + operated.only_session()["client_bytes"].as_u64().unwrap();
    client.write_all(&vec![b'b'; BULK as usize]).unwrap();
    within(LIMIT, "all is delivered", || {
        let session = operated.only_session();
        (session["client_bytes"] == total && session["client_waiting"] == 0).then_some(())
    });
    spliced() - before
}

#[test]
fn a_session_is_copied_while_it_is_tapped_and_spliced_again_after_its_last_tap() {
    let upstream = peer::takes_all();
    let operated = Operated::proxy(upstream.address, &["--metrics", "0"]);
    let mut client = operated.server.connect();
    upstream.await_reached();
    let taps = |count: usize| {
        within(LIMIT, "the taps", || (operated.json(&["show", "1"])[0]["taps"] == count).then_some(()));
    };
    assert!(spliced_by_bulk(&operated, &mut client) > 0.0, "spliced before");
    let (first, last) = (tap(&operated, BOTH), tap(&operated, BOTH));
    taps(2);
    assert_eq!(spliced_by_bulk(&operated, &mut client), 0.0, "copied for two");
    drop(first);
    taps(1);
    assert_eq!(spliced_by_bulk(&operated, &mut client), 0.0, "copied for one");
    drop(last);
    taps(0);
    assert!(spliced_by_bulk(&operated, &mut client) > 0.0, "spliced again");
}

#[test]
fn a_dumped_session_is_never_spliced_and_without_splice_none_is() {
    let upstream = peer::takes_all();
    for flags in [["--dump", "text"], ["--splice", "off"]] {
        let operated = Operated::proxy(upstream.address, &[&flags[..], &["--metrics", "0"]].concat());
        let mut client = operated.server.connect();
        upstream.await_reached();
        assert_eq!(spliced_by_bulk(&operated, &mut client), 0.0, "{flags:?}");
    }
}
