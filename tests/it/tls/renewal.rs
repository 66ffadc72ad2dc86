//! Certificates that are replaced while the program runs.

use crate::support::{
    fake::peer,
    operator::Operated,
    stream::exchange,
    tls::{Authority, Wire, WireStream, certificate},
    wait::{LIMIT, within},
};
use rustix::process::Signal;
use std::{
    fs,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

/// How long it may take until a new file is taken.
const WITHIN: Duration = Duration::from_secs(10);

fn listener(authority: &Authority, name: &str, upstream: SocketAddr) -> String {
    format!(
        "[listener.{name}]\nlisten = \"127.0.0.1:0\"\n[[listener.{name}.route]]\ntls = \"{name}\"\nupstream = \"{upstream}\"\n\
         [tls.{name}]\ncert = {:?}\nkey = {:?}\n",
        authority.file(&format!("{name}.pem")),
        authority.file(&format!("{name}.key"))
    )
}

fn connect(authority: &Authority, address: &str, wire: Wire) -> WireStream {
    WireStream::connect(address.parse().unwrap(), Some(authority.client(wire, None))).unwrap()
}

#[test]
fn a_certificate_that_is_replaced_is_used_and_one_that_does_not_fit_is_not() {
    let (authority, upstream) = (Authority::new(), peer::echoes());
    authority.sign("good", certificate(&["a.test"]));
    authority.sign("bad", certificate(&["a.test"]));
    let text =
        listener(&authority, "good", upstream.address) + &listener(&authority, "bad", upstream.address);
    let operated = Operated::run(&text, 2);
    let both = &operated.server.addresses;
    let certificate_at = |address: &str| connect(&authority, address, Wire::Tls13).peer_certificate();
    let [good_before, bad_before] = ["good", "bad"].map(|name| authority.leaf(name));
    let (good, bad) = if certificate_at(&both[0]) == good_before { (0, 1) } else { (1, 0) };
    assert_eq!(
        (certificate_at(&both[good]), certificate_at(&both[bad])),
        (good_before.clone(), bad_before.clone())
    );
    let mut live = connect(&authority, &both[good], Wire::Tls13);
    exchange(&mut live, b"before");
    authority.sign("good", certificate(&["a.test"]));
    let key = authority.file("bad.key");
    fs::write(&key, fs::read_to_string(authority.file("a.key")).unwrap()).unwrap();
    let begin = Instant::now();
    within(LIMIT, "the new certificate", || {
        thread::sleep(Duration::from_millis(200));
        (certificate_at(&both[good]) != good_before).then_some(())
    });
    assert!(begin.elapsed() < WITHIN + Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!(certificate_at(&both[good]), authority.leaf("good"));
    operated.server.await_warning("tls good: certificates renewed: ");
    let refused = operated.server.await_warning("tls bad: the new certificates are not taken: ");
    assert!(refused.contains(&key) || refused.contains("key"), "{refused}");
    assert_eq!(certificate_at(&both[bad]), bad_before);
    exchange(&mut live, b"goes on");
}

#[test]
fn a_reload_with_a_pair_that_does_not_fit_is_refused_and_changes_nothing() {
    let (authority, upstream) = (Authority::new(), peer::echoes());
    authority.sign("good", certificate(&["a.test"]));
    let operated = Operated::run(&listener(&authority, "good", upstream.address), 1);
    let before = authority.leaf("good");
    fs::copy(authority.path("a.key"), authority.path("good.key")).unwrap();
    operated.server.signal(Signal::HUP);
    let refused = operated.server.await_warning("error: ");
    assert!(refused.contains("good."), "{refused}");
    operated.server.await_event("config", |event| event["state"] == "refused");
    let mut client = connect(&authority, &operated.server.addresses[0], Wire::Tls12);
    assert_eq!(client.peer_certificate(), before);
    exchange(&mut client, b"hello");
    // Once the pair fits, a reload takes it at once.
    authority.sign("good", certificate(&["a.test"]));
    operated.server.signal(Signal::HUP);
    within(Duration::from_secs(5), "the new certificate", || {
        let now = connect(&authority, &operated.server.addresses[0], Wire::Tls12).peer_certificate();
        (now == authority.leaf("good")).then_some(())
    });
}
