//! What is refused, and in which words.

use super::*;
use std::os::unix::ffi::OsStringExt;

#[test]
fn a_wrong_command_line_is_answered_with_what_to_do() {
    for (line, parts) in [
        (
            "",
            &[
                "a command is missing; the commands are echo, proxy, client, origin, ctl, top, audit, load; try 'switchboard --help'",
            ][..],
        ),
        ("prox", &["unrecognized command 'prox'; did you mean 'proxy'?; try 'switchboard --help'"]),
        ("serve", &["unrecognized command 'serve'; the commands are echo,"]),
        ("help serve", &["unrecognized command 'serve'"]),
        ("--listen 1 echo", &["option '--listen' comes before a command"]),
        ("proxy --frobnicate", &["unrecognized option '--frobnicate'; try 'switchboard proxy --help'"]),
        ("proxy --upstrem a", &["unrecognized option '--upstrem'; did you mean '--upstream'?"]),
        ("echo --upstream a", &["unrecognized option '--upstream'; try 'switchboard echo --help'"]),
        ("echo -l", &["unrecognized option '-l'"]),
        ("echo 8001", &["unexpected argument '8001'"]),
        ("client a b", &["unexpected argument 'b'"]),
        ("echo --listen", &["option '--listen' needs a value; write --listen VALUE"]),
        ("proxy --listen --upstream a", &["option '--listen' needs a value", "write --listen=--upstream"]),
        ("client --body=yes", &["option '--body' takes no value", "'yes'"]),
        (
            "echo --listen nowhere",
            &["option '--listen' cannot be 'nowhere': it names no port; write host:port"],
        ),
        ("proxy --upstream http://a:1/", &["'http://a:1/'", "it is a URL"]),
        ("proxy --upstream a:0", &["'--upstream' cannot be 'a:0'", "port 0"]),
        ("client --via a:0", &["'--via' cannot be 'a:0'", "port 0"]),
        ("client --body tcp://a:1", &["option '--body' is for http targets, and 'tcp://a:1' is none"]),
        ("client --send x http://a/b", &["option '--send' is for tcp targets, and 'http://a/b' is none"]),
        ("client --file x", &["option '--file' is for tcp targets", "'http://www.google.com/'"]),
        ("client --file x --send y tcp://a:1", &["'--send' and '--file' exclude each other"]),
        ("load", &["a target is missing; write tcp://host:port"]),
        ("load tcp://a", &["target cannot be 'tcp://a': it names no port"]),
        ("load tcp://a:1 -c 0", &["option '--connections' cannot be '0': it must be at least 1"]),
        ("load tcp://a:1 --size 1.5k", &["'--size' cannot be '1.5k'", "write 64, 16k or 1m"]),
        ("load tcp://a:1 --size 2g", &["it must be at most 1g"]),
        ("load tcp://a:1 --mode slow", &["write pingpong or bulk or churn"]),
        ("load tcp://a:1 --expect all", &["write echo, until-close, or a number of bytes"]),
        ("load tcp://a:1 --send \\q", &["'--send' cannot be '\\q'", "write \\\\ for itself"]),
        ("load tcp://a:1 --rate 0", &["'--rate' cannot be '0'", "at least 1"]),
        ("load tcp://a:1 --duration 0s", &["it is zero; write off"]),
        ("load tcp://a:1 --size 1 --send x", &["'--size', '--send' and '--file' exclude each other"]),
        ("load tcp://a:1 --size 0", &["a request of no bytes has no answer to wait for"]),
        ("load tcp://a:1 --mode bulk --expect until-close", &["write --mode churn, not bulk"]),
        ("load http://a/ --size 5", &["option '--size' is for tcp targets, and 'http://a/' is none"]),
        ("load http://a/ --mode bulk", &["option '--mode=bulk' is for tcp targets"]),
        ("load http://a/ --half-close", &["option '--half-close' is for tcp targets"]),
        ("load https://a/", &["TLS is not spoken here"]),
        ("client https://a/", &["target cannot be 'https://a/': TLS is not spoken here"]),
    ] {
        assert_refused(&line.split_whitespace().collect::<Vec<_>>(), parts);
    }
}

#[test]
fn a_value_that_makes_no_sense_is_refused_with_its_option_and_the_reason() {
    for (option, value, reason) in [
        ("--idle-timeout", "5", "it needs a unit; write 5s"),
        ("--idle-timeout", "1.5", "write 1.5s"),
        ("--idle-timeout", "0", "write off"),
        ("--idle-timeout", "0.0", "write off"),
        ("--drain-timeout", "0s", "it is zero; write off"),
        ("--busy-poll", "0us", "write off"),
        ("--stall-timeout", "11years", "more than ten years"),
        ("--stall-timeout", "18446744073709551615s1000ms", "too long"),
        ("--stall-timeout", "never", "not a duration; write 250ms"),
        ("--stall-timeout", "-5s", "not a duration"),
        ("--stall-timeout", "", "not a duration"),
        ("--max-sessions", "0", "at least 1"),
        ("--max-sessions", "off", "not a whole number"),
        ("--max-per-source", "0", "write off for no limit"),
        ("--backlog", "0", "at least 1"),
        ("--backlog", "+5", "not a whole number"),
        ("--backlog", "99999999999999999999", "at most"),
        ("--dump-limit", "1k", "not a whole number"),
        ("--congestion", "a b", "write auto"),
        ("--keepalive", "60s", "three parts"),
        ("--keepalive", "60s/10s/0", "\"0\" as probes: it must be at least 1"),
        ("--keepalive", "60s/10s/128", "at most 127"),
        ("--keepalive", "60s/500ms/6", "\"500ms\" must be whole seconds"),
        ("--keepalive", "10h/10s/6", "\"10h\" must be whole seconds"),
        ("--log", "xml", "write text or json or off"),
        ("--dump", "on", "write off or text or hex"),
        ("--splice", "on", "write auto or off"),
        ("--metrics", "nowhere", "it names no port; write host:port"),
        ("--metrics", "http://127.0.0.1:1/", "it is a URL"),
        ("--resolve", "a:80", "fewer than three parts"),
        ("--resolve", "a:80:", "is not an IP address"),
        ("--resolve", "a:0:::1", "port 0"),
        ("--resolve", "1.2.3.4:80:::1", "does not begin with a host name"),
    ] {
        assert_refused(
            &["proxy", option, value],
            &[&format!("option '{option}' cannot be '{value}': "), reason],
        );
    }
    for option in ["--parallel", "--repeat"] {
        assert_refused(&["client", option, "0"], &[option, "'0'", "at least 1"]);
    }
    assert_eq!(server("proxy --max-per-source off").max_per_source, None);
    assert_eq!(server("proxy --metrics off").metrics, None);
}

#[test]
fn an_echoed_value_cannot_control_a_terminal_or_flood_it() {
    let Usage(line) = parse_words(&["proxy", "--log", "\u{1b}[2J\n\u{202e}\u{9b}"]).unwrap_err();
    assert!(line.contains(r"'\u{1b}[2J\n\u{202e}\u{9b}'"), "{line}");
    let Usage(line) = parse_words(&["proxy", "--log", &"x".repeat(100_000)]).unwrap_err();
    assert!(
        line.contains("'--log' cannot be 'xxx") && line.contains('…') && line.contains("write text"),
        "{line}"
    );
    assert!(line.chars().count() < 600);
}

#[test]
fn an_argument_that_is_not_utf_8_is_refused() {
    let words = ["client".into(), "--file".into(), OsString::from_vec(b"a\xff\n".to_vec())];
    let Usage(line) = parse(words).unwrap_err();
    assert!(line.contains("argument 'a\u{fffd}\\n' is not UTF-8"), "{line}");
}
