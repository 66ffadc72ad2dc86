//! Runs that come to nothing, each with one line that says why, and a code.

use super::run;
use crate::support::{
    fake::unreachable::{self, UNRESOLVABLE},
    server::Server,
};

#[track_caller]
fn assert_refused(arguments: &[&str], code: i32, words: &str) {
    let run = run(arguments);
    assert_eq!((run.code, run.out.as_str()), (Some(code), ""), "{run:?}");
    assert!(run.notes.contains(words), "{words:?} is not said: {run:?}");
    assert_eq!(run.notes.lines().count(), 1, "{run:?}");
}

#[test]
fn without_a_server_there_is_no_load() {
    let (address, _held) = unreachable::refuses();
    for arguments in [&[][..], &["--mode", "churn"], &["--threads", "2"], &["--rate", "5"], &["-c", "500"]] {
        let target = format!("tcp://{address}");
        let words = format!("cannot connect to {address}: connection refused");
        assert_refused(&[&[&*target, "--duration", "20s"], arguments].concat(), 7, &words);
    }
    let target = format!("http://{address}/");
    assert_refused(&[&target], 7, "cannot connect to 127.0.0.1");
    assert_refused(&["unix:/nowhere/at/all"], 7, "cannot connect to unix:/nowhere/at/all: no such file");
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let silent = unreachable::never_accepts();
    let target = format!("tcp://{}", silent.address);
    let words = format!("cannot connect to {}: it does not answer", silent.address);
    assert_refused(&[&target, "--timeout", "300ms"], 7, &words);
}

#[test]
fn a_name_without_an_address_cannot_be_loaded() {
    assert_refused(&[&format!("tcp://{UNRESOLVABLE}")], 6, "cannot resolve ");
}

#[test]
fn a_wrong_command_line_is_refused() {
    for (arguments, words) in [
        (&[][..], "a target is missing"),
        (&["tcp://127.0.0.1"], "it names no port"),
        (&["tcp://a:1", "b"], "unexpected argument 'b'"),
        (&["tcp://a:1", "--size", "x"], "write 64, 16k or 1m"),
        (&["tcp://a:1", "--rates", "5"], "did you mean '--rate'?"),
        (&["http://a/", "--expect", "5"], "is for tcp targets"),
    ] {
        assert_refused(arguments, 2, words);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_wrong_command_line() {
    assert_refused(&["tcp://127.0.0.1:1", "--file", "/nowhere"], 2, "cannot read '/nowhere': no such file");
    assert_refused(&["tcp://127.0.0.1:1", "--file", "/dev/null"], 2, "cannot read '/dev/null': it is empty");
}

#[test]
fn a_page_that_cannot_be_written_is_told() {
    let server = Server::echo(&[]);
    let target = format!("tcp://{}", server.address());
    let arguments = [target.as_str(), "--requests", "1", "--html", "/nowhere/page.html"];
    assert_refused(&arguments, 23, "cannot write '/nowhere/page.html': no such file");
}
