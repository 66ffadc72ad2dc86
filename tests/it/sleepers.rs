//! Clients that take nothing leave something for those that do.

use crate::support::{
    fake::peer,
    scrape::{address, scrape},
    server::{Launch, Output},
    stream::read_exactly,
    wait::{LIMIT, within},
};
use std::net::TcpStream;

#[test]
fn clients_that_take_nothing_leave_pipes_for_those_that_do() {
    // With 1024 descriptors there are 29 pipes; a direction may hold three.
    const SLEEPERS: usize = 12;
    let upstream = peer::pushes_without_end();
    let flags = ["--upstream", &upstream.address.to_string(), "--metrics", "0"];
    let shell = Some("ulimit -n 1024; exec \"$0\" \"$@\"");
    let server = Launch { mode: "proxy", flags: &flags, shell, output: Output::Read }.start();
    let admin = address(&server);
    let metric = |name: &str| scrape(admin).value(name, &[]);
    let spliced = || metric("switchboard_spliced_bytes_total");
    let bytes = || scrape(admin).value("switchboard_bytes_total", &[("direction", "upstream")]);
    let sleeping: Vec<TcpStream> = (0..SLEEPERS).map(|_| server.connect()).collect();
    let (mut last, mut still) = (0.0, 0);
    within(LIMIT, "every stream stands still", || {
        let now = bytes();
        still = if now == last && now > 0.0 { still + 1 } else { 0 };
        last = now;
        (still == 50).then_some(())
    });
    assert!(metric("switchboard_pipes_limit") <= (3 * SLEEPERS) as f64);
    let used = metric("switchboard_pipes_open") - metric("switchboard_pipes_spare");
    assert!(used < metric("switchboard_pipes_limit"), "{used} pipes are used");
    let before = spliced();
    read_exactly(&mut server.connect(), 64 << 20);
    assert!(spliced() - before > f64::from(32 << 20), "{} bytes were spliced", spliced() - before);
    drop(sleeping);
}
