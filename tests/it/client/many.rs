//! Many clients at once.

use super::{Client, run, run_with};
use crate::support::{
    fake::http::{Then, answers},
    server::Server,
    terminal::Terminal,
};
use std::process::Stdio;

#[test]
fn every_run_is_counted_and_no_answer_is_printed() {
    let origin = Server::start("origin", &[]);
    let target = format!("{}/bytes/1000", origin.addresses[0]);
    let fleet = run(&[&target, "--parallel", "20", "--repeat", "5"]);
    assert_eq!((fleet.code, fleet.answer.as_slice()), (Some(0), &b""[..]), "{fleet:?}");
    assert!(fleet.notes.starts_with("100 runs by 20 clients at once in "), "{fleet:?}");
    assert!(fleet.notes.contains(": 100 ok, 0 failed\n") && fleet.notes.contains("p99 "), "{fleet:?}");
    let closes = origin.await_closes(100);
    assert!(closes.iter().all(|close| close["cause"] == "done" && close["first_closer"] == "upstream"));
}

#[test]
fn all_clients_send_the_same_input() {
    let echo = Server::echo(&[]);
    let input = vec![b'x'; 100_000];
    let fleet = run_with(&[&format!("tcp://{}", echo.address()), "--parallel", "3", "--repeat", "2"], &input);
    assert_eq!(fleet.code, Some(0), "{fleet:?}");
    assert!(fleet.notes.contains("received  586 KiB: "), "{fleet:?}");
    assert!(echo.await_closes(6).iter().all(|close| close["client_bytes"] == 100_000));
}

#[test]
fn the_exit_code_is_that_of_the_most_frequent_failure() {
    let web = answers("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", Then::Fin);
    let fleet = run(&[&web.address.to_string(), "--repeat", "3"]);
    assert_eq!(fleet.code, Some(18), "{fleet:?}");
    assert!(fleet.notes.contains("  failed    3 truncated, the first: "), "{fleet:?}");
    let last = fleet.notes.lines().last().unwrap();
    assert!(last.starts_with("switchboard: 3 of 3 runs failed: "), "{fleet:?}");
}

#[test]
fn progress_is_shown_on_a_terminal() {
    let web = answers("HTTP/1.1 200 OK\r\n\r\nabc", Then::Stay);
    let terminal = Terminal::open();
    let arguments = [&web.address.to_string(), "--parallel", "2", "--idle-timeout", "500ms"];
    let mut client = Client::start(&arguments, Stdio::null(), terminal.stdio());
    assert_eq!(client.await_exit(), Some(28));
    let shown = String::from_utf8(terminal.read_to_end()).unwrap();
    assert!(shown.contains("\r\x1b[K0 of 2 done, 0 failed\r\x1b[K"), "{shown:?}");
    assert!(shown.contains("\r\x1b[K2 runs by 2 clients at once"), "{shown:?}");
}
