//! Files, right and wrong.

use super::*;
use crate::{
    cli::config_file::{form::KeyForm, keys::repeats},
    net::{endpoint::Endpoint, proxy_header::ProxyVersion},
    server::{
        diff,
        plan::{Lead, PlannedTarget, ServerSource},
    },
    session::{
        faults::{
            fault::{FaultPlan, FaultStream, Schedule, Scope, Toxicity},
            kind::FaultKind,
        },
        group::Balance,
    },
    text::topics,
};
use jiff::{Span, Timestamp, tz::TimeZone};
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use std::{collections::BTreeSet, fs, num::NonZeroUsize, time::Duration};
use tempfile::TempDir;

/// A file that is valid, to which tests add.
const BASE: &str =
    "[listener.a]\nlisten = \":8080\"\nupstream = \"db\"\n[upstream.db]\nservers = [\"10.0.0.1:80\"]\n";

fn reading(text: &str) -> Reading {
    Reading::of_text("f.toml", text.to_owned(), None, &GivenOptions::new())
}

/// Each mistake as `LINE:COLUMN: error: text`.
fn told(text: &str) -> Vec<String> {
    let Reading { source, mistakes, .. } = reading(text);
    let line = |mistake: &Mistake| source.first_line(mistake).strip_prefix("f.toml:").unwrap().to_owned();
    mistakes.iter().map(line).collect()
}

#[track_caller]
fn plan(text: &str) -> Plan {
    let Reading { source, mistakes, plan } = reading(text);
    plan.unwrap_or_else(|| panic!("{}", rendered(&source, &mistakes, false)))
}

/// The one mistake of a text.
#[track_caller]
fn assert_tells(text: &str, wanted: &str) {
    assert_eq!(told(text), [wanted], "{text}");
}

#[test]
fn a_key_that_is_none_is_told_with_what_was_meant() {
    for (text, wanted) in [
        (
            "max-sesions = 1\n",
            "1:1: error: 'max-sesions' is no key of the top of the file; did you mean 'max-sessions'?",
        ),
        ("frobnicate = 1\n", "1:1: error: 'frobnicate' is no key of the top of the file"),
        (
            "listen = \":1\"\n",
            "1:1: error: 'listen' is no key of the top of the file; it belongs in [listener.NAME]",
        ),
    ] {
        assert_tells(&format!("{text}{BASE}"), wanted);
    }
    for (text, wanted) in [
        ("weihgt = 2", "'weihgt' is no key of [upstream.NAME]"),
        ("blance = \"source\"", "'blance' is no key of [upstream.NAME]; did you mean 'balance'?"),
        ("weight = 2", "'weight' is no key of [upstream.NAME]; it belongs in a server of an upstream"),
    ] {
        assert_tells(&format!("{BASE}{text}\n"), &format!("6:1: error: {wanted}"));
    }
    let text = BASE.replace("upstream = ", "threads = 2\nupstream = ");
    assert_tells(&text, "3:1: error: 'threads' belongs at the top of the file");
}

#[test]
fn a_certificate_that_each_reload_would_make_is_told_with_what_makes_one() {
    let wanted = "error: 'tls-self-signed' is no key of a file: each reload would make another certificate";
    let key = "tls-self-signed = true\n";
    let texts = [
        (1, format!("{key}{BASE}")),
        (2, format!("[defaults]\n{key}{BASE}")),
        (3, BASE.replace("upstream = ", &format!("{key}upstream = "))),
    ];
    for (line, text) in texts {
        assert_tells(&text, &format!("{line}:1: {wanted}"));
        let mistakes = reading(&text).mistakes;
        let help = mistakes[0].help.as_deref().unwrap();
        for part in ["[tls.NAME] with cert and key", "openssl req -x509 ", "-keyout own.key -out own.pem"] {
            assert!(help.contains(part), "{help}");
        }
        let topic = include_str!("../../text/topics/tls.md");
        let line =
            help.split("; ").nth(1).and_then(|line| line.strip_suffix(" makes a certificate and its key"));
        assert!(topic.contains(line.unwrap()), "the topic has the same line");
    }
}

#[test]
fn a_wrong_value_is_told_with_its_key_where_it_stands() {
    for (text, wanted) in [
        (
            "idle-timeout = 10",
            "1:16: error: 'idle-timeout' cannot be 10: it needs a unit; write 10s for seconds",
        ),
        (
            "idle-timeout = true",
            "1:16: error: 'idle-timeout' cannot be true: it is not a duration; write 250ms, 10s, 1m30s, 1h or off",
        ),
        ("threads = 0", "1:11: error: 'threads' cannot be 0: it must be at least 1"),
        (
            "max-sessions = 1.5",
            "1:16: error: 'max-sessions' cannot be 1.5: it is not a whole number; write one from 1 to 1000000000",
        ),
        (
            "max-sessions = [1]",
            "1:16: error: 'max-sessions' cannot be [1]: it must be a text in quotes, or a number",
        ),
        (
            "max-sessions = 1979-05-27",
            "1:16: error: 'max-sessions' cannot be 1979-05-27: it must be a text in quotes, or a number",
        ),
        (
            "log = \"xml\"",
            "1:7: error: 'log' cannot be \"xml\": it is none of the choices; write text or json or off",
        ),
        (
            "splice = \"perhaps\"",
            "1:10: error: 'splice' cannot be \"perhaps\": it is none of the choices; write auto or off",
        ),
        ("metrics = \"x\"", "1:11: error: 'metrics' cannot be \"x\": it names no port; write host:port"),
        (
            "accept-rate = \"2000\"",
            "1:15: error: 'accept-rate' cannot be \"2000\": it needs its unit; write 2000/s, or off for no limit",
        ),
        (
            "allow = [\"10.0.0.0/8\", \"10.0.0.0/33\"]",
            "1:24: error: 'allow' cannot be \"10.0.0.0/33\": the bits after the slash are a number from 0 to 32",
        ),
        ("deny = []", "1:8: error: 'deny' cannot be []: it is empty"),
        (
            "group = \"adm\"",
            "1:1: error: 'group' needs a 'control' path: the user's own folder is closed to groups",
        ),
        ("defaults = 5", "1:12: error: 'defaults' cannot be 5: it must be a table"),
        (
            "accept-proxy = \"10.0.0.0/40\"",
            "1:16: error: 'accept-proxy' cannot be \"10.0.0.0/40\": the bits after the slash are a number from 0 to 32",
        ),
    ] {
        let text = format!("{text}\n{BASE}");
        assert_tells(&text, wanted);
    }
}

#[test]
fn a_wrong_value_of_an_upstream_is_told() {
    for (text, column, wanted) in [
        (
            "balance = \"random\"",
            11,
            "'balance' cannot be \"random\": it is none of the choices; write round-robin or least-sessions or source or two-choices",
        ),
        ("balance = 5", 11, "'balance' cannot be 5: it must be a text in quotes"),
        ("retries = -1", 11, "'retries' cannot be -1: it must be from 0 to 1000"),
        ("retries = \"2\"", 11, "'retries' cannot be \"2\": it must be a whole number from 0 to 1000"),
        (
            "slow-start = \"soon\"",
            14,
            "'slow-start' cannot be \"soon\": it is not a duration; write 250ms, 10s, 1m30s, 1h or off",
        ),
        (
            "on-down = \"kill\"",
            11,
            "'on-down' cannot be \"kill\": it is none of the choices; write keep or cut",
        ),
        (
            "send-proxy = \"v3\"",
            14,
            "'send-proxy' cannot be \"v3\": it is none of the choices; write v1 or v2 or off",
        ),
        ("send-proxy = 2", 14, "'send-proxy' cannot be 2: it must be a text in quotes"),
        ("check = \"yes\"", 9, "'check' cannot be \"yes\": it must be a table, or true or false"),
        (
            "check = { every = \"off\" }",
            19,
            "'every' cannot be \"off\": it cannot be off; write a duration, as in 2s",
        ),
        ("check = { fall = 0 }", 18, "'fall' cannot be 0: it must be from 1 to 1000"),
        (
            "check = { send = 'a\\q' }",
            18,
            "'send' cannot be 'a\\q': a backslash begins \\r \\n \\t \\0 \\xNN or \\\\; write \\\\ for itself",
        ),
        ("eject = 7", 9, "'eject' cannot be 7: it must be a table, or \"off\""),
        (
            "eject = { failures = \"3\" }",
            22,
            "'failures' cannot be \"3\": it must be a whole number from 1 to 1000",
        ),
        ("refresh = \"5s\"", 1, "'refresh' goes with 'discover', which the upstream does not have"),
        ("resolver = \"127.0.0.1\"", 1, "'resolver' goes with 'discover', which the upstream does not have"),
        (
            "discover = \"dns:a.test:80\"",
            1,
            "'discover' does not go with 'servers': an upstream has one of them",
        ),
    ] {
        assert_tells(&format!("{BASE}{text}\n"), &format!("6:{column}: error: {wanted}"));
    }
}

#[test]
fn a_wrong_list_of_servers_is_told() {
    for (servers, column, wanted) in [
        ("[]", 1, "'servers' cannot be []: the upstream has no server"),
        ("\"a:1\"", 11, "'servers' cannot be \"a:1\": it must be a list of addresses; put it in [ and ]"),
        ("[\"a:1\", \"a:1\"]", 19, "'servers' has \"a:1\" twice"),
        ("[\"a:1\", { address = \"a:1\" }]", 31, "'servers' has \"a:1\" twice"),
        (
            "[\"a:0\"]",
            12,
            "'servers' cannot be \"a:0\": port 0 takes no connections; write a port from 1 to 65535",
        ),
        ("[{ weight = 2 }]", 12, "'address' is missing: the server is nowhere"),
        ("[{ address = \"a:1\", weight = 0 }]", 40, "'weight' cannot be 0: it must be from 1 to 65535"),
        ("[{ address = \"a:1\", backup = 1 }]", 40, "'backup' cannot be 1: it must be true or false"),
        ("[true]", 12, "'servers' cannot be true: it must be a text in quotes"),
    ] {
        let text = BASE.replace("[\"10.0.0.1:80\"]", servers);
        assert_tells(&text, &format!("5:{column}: error: {wanted}"));
    }
}

#[test]
fn a_wrong_discovery_is_told() {
    for (discover, wanted) in [
        ("dns:a.test", "it names no port; write host:port"),
        ("dns:10.0.0.1:80", "\"10.0.0.1:80\" is no name; list an address in servers"),
        ("dns:a.test:0", "port 0 takes no connections; write a port from 1 to 65535"),
        ("srv:a.test:80", "an SRV record brings the port; leave it out"),
        ("http:a", "it is no way to learn servers; write dns:NAME:PORT or srv:NAME"),
    ] {
        let text = BASE.replace("servers = [\"10.0.0.1:80\"]", &format!("discover = \"{discover}\""));
        assert_tells(&text, &format!("5:12: error: 'discover' cannot be \"{discover}\": {wanted}"));
    }
    let text =
        BASE.replace("servers = [\"10.0.0.1:80\"]", "discover = \"srv:a.test\"\nresolver = \"ns.test\"");
    assert_tells(
        &text,
        "6:12: error: 'resolver' cannot be \"ns.test\": it is no address of a name server; write 127.0.0.1 or 127.0.0.1:8600",
    );
}

#[test]
fn what_is_missing_is_told_at_its_table() {
    for (text, wanted) in [
        ("", "1:1: error: 'listener' is missing: the file has no listener"),
        (
            "[listener.a]\nupstream = \"a:1\"\n",
            "1:1: error: 'listen' is missing: listener 'a' has no address",
        ),
        ("[listener.a]\nlisten = 80\n", "1:1: error: 'upstream' is missing: listener 'a' leads nowhere"),
        (
            "[listener.a]\nlisten = 80\n[[listener.a.route]]\nfrom = \"::1\"\n",
            "3:1: error: 'upstream' is missing: the route leads nowhere",
        ),
        (
            "[listener.a]\nlisten = 80\nupstream = \"b\"\n[upstream.b]\nretries = 1\n",
            "4:1: error: 'servers' is missing: upstream 'b' has no server",
        ),
    ] {
        assert_tells(text, wanted);
    }
    // What is misspelt is not missing too.
    assert_tells(
        "[listener.a]\nlissten = 80\nupstream = \"a:1\"\n",
        "2:1: error: 'lissten' is no key of [listener.NAME]; did you mean 'listen'?",
    );
}

#[test]
fn what_names_something_else_must_find_it() {
    for (upstream, wanted) in [
        ("\"dbb\"", "'upstream' cannot be \"dbb\": there is no [upstream.dbb]"),
        (
            "\"two words\"",
            "'upstream' cannot be \"two words\": it is neither the name of an upstream nor an address; write host:80 for an address",
        ),
        (
            "\"www.a.test\"",
            "'upstream' cannot be \"www.a.test\": it is neither the name of an upstream nor an address; write www.a.test:80 for an address",
        ),
        (
            "\"a:99999\"",
            "'upstream' cannot be \"a:99999\": \"99999\" is not a port; a port is a number from 0 to 65535",
        ),
    ] {
        let text = BASE.replace("\"db\"", upstream);
        let told: Vec<_> = told(&text).into_iter().filter(|line| line.contains("error")).collect();
        assert_eq!(told, [format!("3:12: error: {wanted}")]);
    }
    let text = BASE.replace("upstream = \"db\"\n", "[[listener.a.route]]\ntls = \"x\"\nupstream = \"db\"\n");
    assert_eq!(told(&text)[0], "4:7: error: 'tls' cannot be \"x\": there is no [tls.x]");
}

#[test]
fn an_address_that_is_listened_on_twice_is_told_at_the_second() {
    for (second, wanted) in [
        ("\":8080\"", "'listen' cannot be \":8080\": 'a' listens on it already"),
        ("8080", "'listen' cannot be \"8080\": 'a' listens on it already as :8080"),
        ("\"10.0.0.1:8080\"", "'listen' cannot be \"10.0.0.1:8080\": 'a' listens on it already as :8080"),
    ] {
        let text = format!("{BASE}[listener.b]\nlisten = {second}\nupstream = 80\n");
        assert_tells(&text, &format!("7:10: error: {wanted}"));
    }
    let twice = |one: &str, other: &str| {
        let listen = format!("[\"{one}\", \"{other}\"]");
        !told(&BASE.replace("\":8080\"", &listen)).is_empty()
    };
    assert!(twice("unix:/a", "unix:/a") && twice("fd:web", "fd:web") && twice("0.0.0.0:1", "127.0.0.1:1"));
    assert!(!twice("127.0.0.1:0", "127.0.0.1:0") && !twice("127.0.0.1:1", "127.0.0.2:1"));
    assert!(!twice("0.0.0.0:1", "[::1]:1") && !twice("unix:/a", "unix:@a"));
    let metrics = format!("metrics = \":8080\"\n{BASE}");
    assert_tells(&metrics, "1:11: error: 'metrics' cannot be \":8080\": 'a' listens on it already");
    let control = format!("control = \"/run/c\"\n{}", BASE.replace("\":8080\"", "\"unix:/run/c\""));
    assert_tells(&control, "1:11: error: 'control' cannot be \"unix:/run/c\": 'a' listens on it already");
    let agent = format!("metrics = \":9100\"\nagent = \":9100\"\n{BASE}");
    assert_tells(&agent, "2:9: error: 'agent' cannot be \":9100\": 'metrics' listens on it already");
}

#[test]
fn a_key_given_twice_is_told_at_the_second() {
    assert_tells(&format!("{BASE}servers = []\n"), "6:1: error: 'servers' is given twice: 'servers = []'");
    assert_tells(&format!("{BASE}[upstream.db]\n"), "6:11: error: 'db' is given twice: '[upstream.db]'");
    let text = BASE.replace("[\"10.0.0.1:80\"]", "[{ address = \"a:1\", address = \"b:1\" }]");
    assert!(told(&text)[0].starts_with("5:31: error: 'address' is given twice"), "{:?}", told(&text));
}

#[test]
fn a_name_has_letters_digits_and_two_signs() {
    let text = BASE.replace("listener.a", "listener.\"a b\"");
    assert_tells(
        &text,
        "1:11: error: 'listener' cannot be named \"a b\": a name has letters, digits, - and _",
    );
    let text = BASE.replace("\"db\"", "\"a:1\"").replace("upstream.db", "upstream.80");
    assert!(told(&text)[0].starts_with("4:1: error: 'upstream' cannot be named 80:"), "{:?}", told(&text));
    assert_tells(
        &BASE.replace("[upstream.db]\nservers = [\"10.0.0.1:80\"]", "[upstream]\ndb = 80"),
        "5:6: error: 'db' of 'upstream' is no table",
    );
}

#[test]
fn what_is_no_toml_is_told_once_a_line_and_the_rest_is_judged_too() {
    for (text, wanted) in [
        ("log = json\n", "1:7: error: string values must be quoted, expected literal string: 'log = json'"),
        ("log: json\n", "1:4: error: invalid unquoted key, expected letters, numbers, '-', '_': 'log: json'"),
        ("log =\n", "1:6: error: string values must be quoted, expected literal string: 'log ='"),
        ("log = \"json\n", "1:12: error: invalid basic string, expected '\"': 'log = \"json'"),
    ] {
        let file = format!("{text}lgo = 1\n{BASE}");
        let found = told(&file);
        assert_eq!(found[0], wanted, "{found:?}");
        assert_eq!(found[1..], ["2:1: error: 'lgo' is no key of the top of the file; did you mean 'log'?"]);
    }
    // A header that is broken has what seems to be missing.
    let found = told(&BASE.replace("[upstream.db]", "[upstream.db"));
    assert!(found[0].starts_with("4:13: error: unclosed table"), "{found:?}");
    // A list that is not closed swallows the rest.
    let found =
        told("[listener.a]\nlisten = [\":1\"\nupstream = \"db\"\n[upstream.db]\nservers = [\"a:1\"]\n");
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn what_is_legal_and_probably_wrong_is_a_warning() {
    let routes = "[[listener.a.route]]\nfrom = \"10.0.0.0/8\"\nupstream = \"db\"\n[[listener.a.route]]\nfrom = \"10.1.0.0/16\"\nrefuse = true\n";
    for (text, wanted) in [
        (
            format!("{BASE}{routes}"),
            "9:1: warning: no connection takes route a#2: a#1 comes first, and fits all of them",
        ),
        (
            format!("{BASE}[upstream.x]\nservers = [\"a:1\"]\n"),
            "6:1: warning: upstream 'x' is not used: no route leads to it",
        ),
        (
            format!("{BASE}check = {{ every = \"1s\", timeout = \"2s\" }}\n"),
            "6:35: warning: 'check' is slower than its interval: it may take 2s, and 'every' is 1s",
        ),
        (
            format!("allow = \"10.1.0.0/16\"\ndeny = [\"10.0.0.0/8\"]\n{BASE}")
                .replace("upstream = \"db\"", "allow = [\"10.1.0.0/16\", \"::1\"]\nupstream = \"db\""),
            "5:10: warning: 'allow' has 10.1.0.0/16, and 'deny' has 10.0.0.0/8, which counts first",
        ),
        (
            BASE.replace("upstream = ", "mode = \"0660\"\nupstream = "),
            "3:1: warning: 'mode' is for UNIX sockets with a file, and the listener has none",
        ),
        (
            BASE.replace("servers = [\"10.0.0.1:80\"]", "discover = \"srv:a.test\"\nrefresh = \"100ms\""),
            "6:11: warning: 'refresh' is \"100ms\", which is taken as 1s, the least",
        ),
    ] {
        assert_tells(&text, wanted);
        assert!(reading(&text).plan.is_some());
    }
    let text = format!("{BASE}tls = {{ verify = false }}\n");
    assert!(told(&text)[0].starts_with("6:9: warning: 'verify' is false:"), "{:?}", told(&text));
}

/// A folder with certificates `a` and `b`, each with its key; `soon` ends in three days, `late` has ended.
fn certificates() -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, days) in [("a", 1000), ("b", 1000), ("soon", 3), ("late", -3)] {
        let mut params = CertificateParams::new(vec![format!("{name}.test")]).unwrap();
        // It ends as this day begins.
        let end = Timestamp::now().to_zoned(TimeZone::UTC).date() + Span::new().days(days + 1);
        let number = |number: i8| u8::try_from(number).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(end.year().into(), number(end.month()), number(end.day()));
        let key = KeyPair::generate().unwrap();
        let path = |end: &str| folder.path().join(format!("{name}.{end}"));
        fs::write(path("pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(path("key"), key.serialize_pem()).unwrap();
    }
    folder
}

/// The lines of a file in which `DIR` is the folder of certificates, and in what is told.
fn told_in(folder: &TempDir, text: &str) -> Vec<String> {
    let folder = folder.path().to_str().unwrap();
    told(&text.replace("DIR", folder)).into_iter().map(|line| line.replace(folder, "DIR")).collect()
}

#[test]
fn a_wrong_table_of_tls_is_told_where_it_is_wrong() {
    let folder = certificates();
    let base = BASE.replace("upstream = \"db\"\n", "[[listener.a.route]]\ntls = \"t\"\nupstream = \"db\"\n");
    let pair = "cert = \"DIR/a.pem\"\nkey = \"DIR/a.key\"\n";
    let of_pair = |more: &str| format!("{pair}{more}");
    for (table, wanted) in [
        ("".to_owned(), &["8:1: error: 'cert' is missing: tls 't' needs a certificate and its key", "8:1: error: 'key' is missing: tls 't' needs a certificate and its key"][..]),
        ("cert = \"DIR/a.pem\"\n".to_owned(), &["8:1: error: 'key' is missing: tls 't' needs a certificate and its key"]),
        ("cert = \"DIR/no.pem\"\n".to_owned(), &["8:1: error: 'key' is missing: tls 't' needs a certificate and its key", "9:8: error: 'cert' cannot be \"DIR/no.pem\": no such file or directory"]),
        ("cert = \"DIR/no.pem\"\nkey = \"DIR/no.key\"\n".to_owned(), &["9:8: error: 'cert' cannot be \"DIR/no.pem\": no such file or directory", "10:7: error: 'key' cannot be \"DIR/no.key\": no such file or directory"]),
        ("cert = \"DIR/a.pem\"\nkey = \"DIR/b.key\"\n".to_owned(), &["10:7: error: 'key' cannot be \"DIR/b.key\": the key in DIR/b.key does not fit the certificate in DIR/a.pem"]),
        ("cert = \"DIR/a.key\"\nkey = \"DIR/a.key\"\n".to_owned(), &["9:8: error: 'cert' cannot be \"DIR/a.key\": DIR/a.key has no certificate"]),
        ("cert = \"DIR\"\nkey = \"DIR/a.key\"\n".to_owned(), &["9:8: error: 'cert' cannot be \"DIR\": it is no file"]),
        (of_pair("client-ca = \"DIR/no.pem\"\n"), &["11:13: error: 'client-ca' cannot be \"DIR/no.pem\": no such file or directory"]),
        (of_pair("client-ca = \"DIR/a.key\"\n"), &["11:13: error: 'client-ca' cannot be \"DIR/a.key\": DIR/a.key has no certificate"]),
        (of_pair("client-cert = \"optional\"\n"), &["11:1: error: 'client-cert' goes with 'client-ca', which tls 't' does not have"]),
        (of_pair("client-ca = \"DIR/a.pem\"\nclient-cert = \"maybe\"\n"), &["12:15: error: 'client-cert' cannot be \"maybe\": it is none of the choices; write required or optional"]),
        (of_pair("alpn = [\"\"]\n"), &["11:9: error: 'alpn' cannot be \"\": a protocol has from 1 to 255 bytes, as in h2"]),
        ("certs = []\n".to_owned(), &["9:1: error: 'certs' cannot be []: tls 't' needs a certificate"]),
        (of_pair("certs = [{ cert = \"DIR/b.pem\", key = \"DIR/b.key\" }]\n"), &["9:1: error: 'cert' does not go with 'certs': the certificates stand in one of them", "10:1: error: 'key' does not go with 'certs': the certificates stand in one of them"]),
        ("certs = [{ cert = \"DIR/a.pem\", key = \"DIR/a.key\" }, { cert = \"DIR/b.pem\" }]\n".to_owned(), &["9:COLUMN: error: 'key' is missing: tls 't' needs a certificate and its key"]),
        ("[[tls.t.certs]]\ncert = \"DIR/a.pem\"\nkey = \"DIR/a.key\"\n[[tls.t.certs]]\ncert = \"DIR/b.pem\"\nkey = \"DIR/a.key\"\n".to_owned(), &["14:7: error: 'key' cannot be \"DIR/a.key\": the key in DIR/a.key does not fit the certificate in DIR/b.pem"]),
        (of_pair(""), &[]),
        ("certs = [{ cert = \"DIR/a.pem\", key = \"DIR/a.key\" }, { cert = \"DIR/b.pem\", key = \"DIR/b.key\" }]\nclient-ca = \"DIR/b.pem\"\nclient-cert = \"optional\"\nalpn = \"h2\"\n".to_owned(), &[]),
    ] {
        let column = folder.path().to_str().unwrap().len() * 2 + 47;
        let wanted: Vec<_> = wanted.iter().map(|line| line.replace("COLUMN", &column.to_string())).collect();
        assert_eq!(told_in(&folder, &format!("{base}[tls.t]\n{table}")), wanted, "{table}");
    }
}

#[test]
fn tls_to_an_upstream_that_cannot_be_spoken_is_told() {
    let folder = certificates();
    for (text, wanted) in [
        (
            "tls = { ca = \"DIR/no.pem\" }",
            "6:14: error: 'ca' cannot be \"DIR/no.pem\": no such file or directory",
        ),
        (
            "tls = { ca = \"DIR/a.key\" }",
            "6:14: error: 'ca' cannot be \"DIR/a.key\": DIR/a.key has no certificate",
        ),
        (
            "tls = { ca = \"DIR/a.pem\", cert = \"DIR/a.pem\" }",
            "6:7: error: 'key' is missing: a certificate is shown with its key",
        ),
        (
            "tls = { ca = \"DIR/a.pem\", key = \"DIR/a.key\" }",
            "6:7: error: 'cert' is missing: a certificate is shown with its key",
        ),
        (
            "[upstream.db.tls]\nca = \"DIR/a.pem\"\ncert = \"DIR/a.pem\"\nkey = \"DIR/b.key\"",
            "9:7: error: 'key' cannot be \"DIR/b.key\": the key in DIR/b.key does not fit the certificate in DIR/a.pem",
        ),
        ("tls = { name = \"a:1\" }", "6:16: error: 'name' cannot be \"a:1\": it is no host name"),
        ("tls = \"yes\"", "6:7: error: 'tls' cannot be \"yes\": it must be a table, or true or false"),
    ] {
        assert_eq!(told_in(&folder, &format!("{BASE}{text}\n")), [wanted], "{text}");
    }
    for (servers, tls, wanted) in [
        (
            "[\"tls://a:1\", \"b:1\"]",
            "",
            "5:25: error: 'servers' cannot have \"b:1\": another one begins with tls://, and an upstream speaks TLS to all of its servers or to none",
        ),
        (
            "[\"tls://a:1\", { address = \"b:1\" }]",
            "",
            "5:37: error: 'servers' cannot have \"b:1\": another one begins with tls://, and an upstream speaks TLS to all of its servers or to none",
        ),
        (
            "[\"b:1\", \"tls://a:1\"]",
            "tls = false\n",
            "5:19: error: 'servers' cannot have \"tls://a:1\": 'tls' is false",
        ),
        (
            "[\"unix:/a\"]",
            "tls = { ca = \"DIR/a.pem\" }\n",
            "5:12: error: TLS cannot be spoken to \"unix:/a\": its certificate must have a name",
        ),
        (
            "[\":1\"]",
            "tls = { ca = \"DIR/a.pem\" }\n",
            "5:12: error: TLS cannot be spoken to \":1\": its certificate must have a name",
        ),
    ] {
        let text = BASE.replace("[\"10.0.0.1:80\"]", servers);
        assert_eq!(told_in(&folder, &format!("{text}{tls}")), [wanted], "{servers}");
    }
    let text = BASE.replace("\"db\"", "\"tls://unix:/a\"");
    assert_eq!(
        told(&text)[0],
        "3:12: error: TLS cannot be spoken to \"tls://unix:/a\": its certificate must have a name"
    );
    let named = format!(
        "{}tls = {{ ca = \"DIR/a.pem\", name = \"a.test\" }}\n",
        BASE.replace("10.0.0.1:80", "unix:/a")
    );
    assert_eq!(told_in(&folder, &named), [""; 0]);
}

#[test]
fn a_certificate_that_ends_soon_and_a_table_that_is_not_used_are_warnings() {
    let folder = certificates();
    let table = |name: &str| format!("[tls.{name}]\ncert = \"DIR/{name}.pem\"\nkey = \"DIR/{name}.key\"\n");
    let told = told_in(&folder, &format!("{BASE}{}{}{}", table("soon"), table("late"), table("a")));
    let day = |days| Timestamp::now().to_zoned(TimeZone::UTC).date() + Span::new().days(days);
    let wanted = [
        "6:1: warning: tls 'soon' is not used: no route names it".to_owned(),
        format!(
            "7:8: warning: 'cert' is \"DIR/soon.pem\": a certificate of it ends on {}, in 3 days",
            day(4)
        ),
        "9:1: warning: tls 'late' is not used: no route names it".to_owned(),
        format!("10:8: warning: 'cert' is \"DIR/late.pem\": a certificate of it ended on {}", day(-2)),
        "12:1: warning: tls 'a' is not used: no route names it".to_owned(),
    ];
    assert_eq!(told, wanted);
}

#[test]
fn what_a_file_says_of_tls_and_proxy_is_in_the_plan() {
    let folder = certificates();
    let text = "handshake-timeout = \"5s\"\n[defaults]\naccept-proxy = [\"10.0.0.0/8\", \"::1\"]\n\
        [listener.a]\nlisten = 1\nupstream = \"plain\"\naccept-proxy = \"10.1.0.0/16\"\nhandshake-timeout = false\n\
        [[listener.a.route]]\nsni = \"a.test\"\ntls = \"t\"\nupstream = \"db\"\n\
        [listener.b]\nlisten = 2\nupstream = \"web\"\n\
        [tls.t]\ncert = \"DIR/a.pem\"\nkey = \"DIR/a.key\"\nalpn = [\"h2\", \"http/1.1\"]\n\
        [upstream.db]\nservers = [\"tls://a.test:1\"]\ntls = { ca = \"DIR/a.pem\" }\ncheck = true\n\
        [upstream.web]\ndiscover = \"srv:_line._tcp.web.test\"\ntls = { ca = \"DIR/a.pem\" }\ncheck = { tls = false }\n\
        [upstream.plain]\nservers = [\"a:1\"]\nsend-proxy = \"v2\"\ncheck = { tls = true }\n";
    let text = text.replace("DIR", folder.path().to_str().unwrap());
    let plan = plan(&text);
    let [a, b] = &plan.listeners[..] else { panic!("{plan:?}") };
    assert_eq!((a.deadlines.handshake, b.deadlines.handshake), (None, Some(Duration::from_secs(5))));
    assert_eq!(
        (a.accept_proxy.len(), b.accept_proxy.len(), a.accept_proxy[0].to_string()),
        (1, 2, "10.1.0.0/16".to_owned())
    );
    let PlannedTarget::Routes(routes) = &a.target else { panic!("{plan:?}") };
    let ended: Vec<_> = routes.iter().map(|route| route.tls.as_deref()).collect();
    assert_eq!(ended, [Some("t"), None]);
    let [tls] = &plan.tls[..] else { panic!("{plan:?}") };
    assert_eq!((tls.name.as_str(), tls.files.as_ref().unwrap().alpn.len()), ("t", 2));
    let [db, web, plain] = &plan.upstreams[..] else { panic!("{plan:?}") };
    let speaks = |upstream: &PlannedUpstream| {
        (upstream.settings.tls.is_some(), upstream.check.as_ref().unwrap().tls.is_some())
    };
    assert_eq!([speaks(db), speaks(web), speaks(plain)], [(true, true), (true, false), (false, true)]);
    assert_eq!((db.settings.send_proxy, plain.settings.send_proxy), (None, Some(ProxyVersion::V2)));
    let asked = |upstream: &PlannedUpstream, host: &str| {
        upstream.settings.tls.as_ref().unwrap().asks_for(host).unwrap()
    };
    assert_eq!((asked(db, "a.test"), asked(web, "10-1.node.test")), ("a.test".into(), "web.test".into()));
    assert_eq!(db.servers[0].destination.endpoint.to_string(), "a.test:1");
    // The same files make the same plan; others with the same names another one.
    assert_eq!(super::tests::plan(&text), plan);
    for end in ["pem", "key"] {
        fs::copy(folder.path().join(format!("b.{end}")), folder.path().join(format!("a.{end}"))).unwrap();
    }
    let renewed = super::tests::plan(&text);
    assert_ne!(renewed, plan);
    let lines = diff::changes(&plan, &renewed);
    assert_eq!(
        lines,
        [
            "tls t: certificates renewed",
            "upstream db: tls: another one, or other certificates",
            "upstream web: tls: another one, or other certificates"
        ]
    );
}

/// What a reload from one text to another says, in which `DIR` is the folder of certificates.
#[track_caller]
fn changed_in(folder: &TempDir, old: &str, new: &str) -> Vec<String> {
    let folder = folder.path().to_str().unwrap();
    let of = |text: &str| plan(&text.replace("DIR", folder));
    diff::changes(&of(old), &of(new)).into_iter().map(|line| line.replace(folder, "DIR")).collect()
}

#[test]
fn a_reload_tells_how_the_address_of_a_listener_is_spoken_to_otherwise() {
    let folder = certificates();
    let listener = "[listener.a]\nlisten = 1\nupstream = \"a.test:1\"\n";
    let tls = "upstream-tls = true\nupstream-ca = \"DIR/a.pem\"\n";
    let tls = |more: &str| format!("{tls}{more}");
    for (old, new, wanted) in [
        ("send-proxy = \"v1\"".to_owned(), "send-proxy = \"v2\"".to_owned(), &["send-proxy: v1 to v2"][..]),
        ("send-proxy = \"v2\"".to_owned(), String::new(), &["send-proxy: v2 to off"]),
        (String::new(), tls(""), &["upstream-tls: off to on"]),
        (tls(""), tls("").replace("a.pem", "b.pem"), &["upstream-ca: DIR/a.pem to DIR/b.pem"]),
        (
            tls("upstream-name = \"one.test\""),
            tls("upstream-name = \"two.test\""),
            &["upstream-name: one.test to two.test"],
        ),
        (
            tls(""),
            tls("send-proxy = \"v1\"\nupstream-name = \"one.test\""),
            &["send-proxy: off to v1", "upstream-name: the server's to one.test"],
        ),
    ] {
        let wanted: Vec<_> = wanted.iter().map(|line| format!("listener a: {line}")).collect();
        for place in [
            |keys: &str, listener: &str| format!("{listener}{keys}\n"),
            |keys: &str, listener: &str| format!("{keys}\n{listener}"),
            |keys: &str, listener: &str| format!("[defaults]\n{keys}\n{listener}"),
        ] {
            let told = changed_in(&folder, &place(&old, listener), &place(&new, listener));
            assert_eq!(told, wanted, "{old} to {new}");
        }
    }
    let moved = [format!("{listener}send-proxy = \"v1\"\n"), format!("send-proxy = \"v1\"\n{listener}")];
    assert_eq!(changed_in(&folder, &moved[0], &moved[1]), [""; 0], "another place for the same");
    let other = moved[0].replace("a.test", "b.test").replace("v1", "v2");
    let wanted = ["listener a: upstream a.test:1 to b.test:1", "listener a: send-proxy: v1 to v2"];
    assert_eq!(changed_in(&folder, &moved[0], &other), wanted);
    let renamed = moved[0].replace("listener.a", "listener.b");
    assert_eq!(changed_in(&folder, &moved[0], &renamed), ["listener a: renamed to b"]);
}

#[test]
fn a_reload_tells_how_tables_are_spoken_to_otherwise_by_a_key_of_the_top() {
    let folder = certificates();
    let text = "send-proxy = \"v1\"\nupstream-tls = true\nupstream-ca = \"DIR/a.pem\"\nupstream-name = \"one.test\"\n\
        [listener.a]\nlisten = 1\nupstream = \"g\"\n\
        [[listener.a.route]]\nfrom = \"::1\"\nupstream = \"a.test:1\"\n\
        [[listener.a.route]]\nfrom = \"::2\"\nupstream = \"b.test:1\"\n\
        [upstream.g]\nservers = [\"c.test:1\"]\n";
    for (old, new, wanted) in [
        ("v1", "v2", ["listener a: send-proxy: v1 to v2", "upstream g: send-proxy: v1 to v2"]),
        (
            "one.test",
            "two.test",
            ["listener a: upstream-name: one.test to two.test", "upstream g: tls.name: one.test to two.test"],
        ),
        (
            "a.pem",
            "b.pem",
            ["listener a: upstream-ca: DIR/a.pem to DIR/b.pem", "upstream g: tls.ca: DIR/a.pem to DIR/b.pem"],
        ),
    ] {
        assert_eq!(changed_in(&folder, text, &text.replace(old, new)), wanted);
    }
    let plain = text
        .split_once("[listener")
        .map(|(_, rest)| format!("send-proxy = \"v1\"\n[listener{rest}"))
        .unwrap();
    let wanted = ["listener a: upstream-tls: on to off", "upstream g: tls: on to off"];
    assert_eq!(changed_in(&folder, text, &plain), wanted);
}

/// How each upstream of a plan is spoken to, in its order: its name, the PROXY header, and whether by TLS.
fn manners(plan: &Plan) -> Vec<(&str, Option<ProxyVersion>, bool)> {
    let of = |one| {
        let PlannedUpstream { name, settings, .. }: &PlannedUpstream = one;
        (name.as_str(), settings.send_proxy, settings.tls.is_some())
    };
    plan.upstreams.iter().map(of).collect()
}

/// What ends TLS on each route of a listener.
fn endings(listener: &PlannedListener) -> Vec<Option<&str>> {
    let PlannedTarget::Routes(routes) = &listener.target else { panic!("{listener:?}") };
    routes.iter().map(|route| route.tls.as_deref()).collect()
}

#[test]
fn flags_of_the_proxy_hold_for_all_listeners_unless_a_nearer_place_or_a_table_says_other() {
    let folder = certificates();
    let text = "tls-cert = \"DIR/a.pem\"\ntls-key = \"DIR/a.key\"\nsend-proxy = \"v1\"\nupstream-ca = \"DIR/a.pem\"\n\
        [defaults]\nsend-proxy = \"v2\"\nupstream-tls = true\n\
        [listener.a]\nlisten = 1\nupstream = \"a.test:1\"\n\
        [[listener.a.route]]\nsni = \"x.test\"\ntls = \"t\"\nupstream = \"db\"\n\
        [[listener.a.route]]\nsni = \"y.test\"\nupstream = \"web\"\n[[listener.a.route]]\nsni = \"z.test\"\nrefuse = true\n\
        [listener.b]\nlisten = 2\nupstream = \"a.test:1\"\ntls-cert = \"off\"\n\
        [listener.c]\nlisten = 3\nupstream = \"a.test:1\"\nsend-proxy = \"off\"\nupstream-tls = false\n\
        tls-cert = \"DIR/b.pem\"\ntls-key = \"DIR/b.key\"\nclient-ca = \"DIR/a.pem\"\n\
        [listener.d]\nlisten = 4\nupstream = \"10.0.0.1:1\"\nupstream-name = \"n.test\"\n\
        [tls.t]\ncert = \"DIR/a.pem\"\nkey = \"DIR/a.key\"\n\
        [upstream.db]\nservers = [\"a:1\"]\nsend-proxy = \"off\"\ntls = false\n\
        [upstream.web]\nservers = [\"a:1\"]\ncheck = true\n";
    let text = text.replace("DIR", folder.path().to_str().unwrap());
    let plan = plan(&text);
    let v2 = Some(ProxyVersion::V2);
    assert_eq!(
        manners(&plan),
        [
            ("db", None, false),
            ("web", v2, true),
            ("tls://a.test:1", v2, true),
            ("a.test:1 of listener c", None, false),
            ("tls://10.0.0.1:1 of listener d", v2, true),
        ]
    );
    assert!(plan.upstreams[1].check.as_ref().unwrap().tls.is_some());
    let asked = plan.upstreams[4].settings.tls.as_ref().unwrap().asks_for("10.0.0.1");
    assert_eq!(asked.as_deref(), Some("n.test"));
    let [a, b, c, d] = &plan.listeners[..] else { panic!("{plan:?}") };
    let (top, own) = (Some("tls-cert of the top"), Some("tls-cert of listener c"));
    assert_eq!(endings(a), [Some("t"), top, None, top]);
    assert_eq!([endings(b), endings(c), endings(d)], [[None], [own], [top]]);
    let ended: Vec<_> = plan.tls.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(ended, ["t", "tls-cert of listener c", "tls-cert of the top"]);
    let with_ca = plan.tls.iter().filter(|one| one.files.as_ref().unwrap().client_ca.is_some());
    assert_eq!(with_ca.map(|one| one.name.as_str()).collect::<Vec<_>>(), ["tls-cert of listener c"]);
    assert_eq!(super::tests::plan(&text), plan);
}

#[test]
fn what_is_wrong_with_a_flag_of_the_proxy_is_told_once_where_it_stands() {
    let folder = certificates();
    let two = "[listener.a]\nlisten = 1\nupstream = \"a:1\"\n[listener.b]\nlisten = 2\nupstream = \"b:1\"\n";
    for (top, wanted) in [
        (
            "tls-cert = \"DIR/a.pem\"\n",
            "1:1: error: 'tls-key' is missing: TLS ends with a certificate and its key",
        ),
        (
            "client-ca = \"DIR/a.pem\"\ntls-key = \"DIR/a.key\"\n",
            "1:1: error: 'tls-cert' is missing: TLS ends with a certificate and its key",
        ),
        (
            "tls-cert = \"DIR/a.pem\"\ntls-key = \"/no/such\"\n",
            "2:11: error: 'tls-key' cannot be \"/no/such\": no such file or directory",
        ),
        ("tls-cert = \"DIR/soon.pem\"\ntls-key = \"DIR/soon.key\"\n", "1:12: warning: 'tls-cert' is "),
        (
            "upstream-tls = true\nupstream-ca = \"/no/such\"\n",
            "2:15: error: 'upstream-ca' cannot be \"/no/such\": no such file or directory",
        ),
        (
            "upstream-tls = \"yes\"\n",
            "1:16: error: 'upstream-tls' cannot be \"yes\": it must be true or false",
        ),
        ("upstream-name = \"a b\"\n", "1:17: error: 'upstream-name' cannot be \"a b\""),
    ] {
        let told = told_in(&folder, &format!("{top}{two}"));
        assert!(told.len() == 1 && told[0].starts_with(wanted), "{top}: {told:?}");
    }
    let nameless = "upstream-tls = true\nupstream-ca = \"DIR/a.pem\"\n[listener.a]\nlisten = 1\nupstream = \"unix:/a\"\n";
    let wanted = "5:12: error: TLS cannot be spoken to \"unix:/a\": its certificate must have a name";
    assert_eq!(told_in(&folder, nameless), [wanted]);
}

#[test]
fn what_would_drop_tls_without_a_word_is_refused() {
    let folder = certificates();
    let to = |upstream: &str| format!("[listener.a]\nlisten = 1\nupstream = \"{upstream}\"\n");
    let table = "[upstream.g]\nservers = [\"a.test:1\"]\n";
    let not_spoken = "is about TLS, which is not spoken to the addresses of listener 'a'";
    let not_used = "is about TLS, which is not spoken: no listener and no table uses it";
    let off = "goes with a certificate, and 'tls-cert' is \"off\": TLS does not end";
    let (ca, name) = ("upstream-ca = \"DIR/a.pem\"\n", "upstream-name = \"a.test\"\n");
    let (key, client_ca) = ("tls-key = \"DIR/a.key\"\n", "client-ca = \"DIR/a.pem\"\n");
    for (text, wanted) in [
        (to("a:1") + ca, format!("4:1: error: 'upstream-ca' {not_spoken}")),
        (to("a:1") + name, format!("4:1: error: 'upstream-name' {not_spoken}")),
        (to("a:1") + ca + "upstream-tls = false\n", format!("4:1: error: 'upstream-ca' {not_spoken}")),
        (
            format!("upstream-tls = true\n{}upstream-tls = false\n{ca}", to("a:1")),
            format!("6:1: error: 'upstream-ca' {not_spoken}"),
        ),
        (ca.to_owned() + &to("a:1"), format!("1:1: error: 'upstream-ca' {not_used}")),
        (name.to_owned() + &to("g") + table, format!("1:1: error: 'upstream-name' {not_used}")),
        (
            ca.to_owned() + &to("g") + table + "tls = { ca = \"DIR/a.pem\" }\n",
            format!("1:1: error: 'upstream-ca' {not_used}"),
        ),
        (format!("[defaults]\n{name}{}", to("a:1")), format!("2:1: error: 'upstream-name' {not_used}")),
        (to("a:1") + "tls-cert = \"off\"\n" + key, format!("5:1: error: 'tls-key' {off}")),
        (to("a:1") + "tls-cert = \"off\"\n" + client_ca, format!("5:1: error: 'client-ca' {off}")),
        (format!("tls-cert = \"off\"\n{client_ca}{}", to("a:1")), format!("2:1: error: 'client-ca' {off}")),
    ] {
        assert_eq!(told_in(&folder, &text), [wanted], "{text}");
    }
    for text in [
        to("tls://a:1") + ca,
        to("a:1") + ca + "upstream-tls = true\n",
        ca.to_owned() + &to("a:1") + "upstream-tls = true\n",
        ca.to_owned() + &to("g") + &table.replace("a.test", "tls://a.test"),
        ca.to_owned() + &to("g") + table + "check = { tls = true }\n",
        to("a:1") + "[[listener.a.route]]\nfrom = \"::1\"\nupstream = \"tls://b:1\"\n[defaults]\n" + ca,
    ] {
        assert_eq!(told_in(&folder, &text), [""; 0], "{text}");
    }
    // The table of TLS is no misspelt key.
    let text = client_ca.to_owned()
        + &to("a:1")
        + "[[listener.a.route]]\nfrom = \"::1\"\ntls = \"t\"\nupstream = \"a:1\"\n[tls.t]\ncert = \"DIR/a.pem\"\nkey = \"DIR/a.key\"\n";
    let wanted = ["tls-cert", "tls-key"]
        .map(|key| format!("1:1: error: '{key}' is missing: TLS ends with a certificate and its key"));
    assert_eq!(told_in(&folder, &text), wanted);
}

#[test]
fn what_a_listener_says_of_servers_that_have_a_table_is_a_warning() {
    let folder = certificates();
    let base = "[listener.a]\nlisten = 1\nupstream = \"g\"\n";
    let table = "[upstream.g]\nservers = [\"a.test:1\"]\n";
    let why = "is not used: it is for addresses, and listener 'a' leads only to [upstream.g]";
    for (key, value, instead) in [
        ("upstream-tls", "true", "tls = true"),
        ("upstream-ca", "\"a.pem\"", "tls = { ca = \"a.pem\" }"),
        ("upstream-name", "\"b.test\"", "tls = { name = \"b.test\" }"),
        ("send-proxy", "\"v2\"", "send-proxy = \"v2\""),
    ] {
        let text = format!("{base}{key} = {value}\n{table}");
        assert_eq!(told_in(&folder, &text), [format!("4:1: warning: '{key}' {why}")]);
        let help = format!("write {instead} in [upstream.g], or leave it out");
        assert_eq!(reading(&text).mistakes[0].help.as_deref(), Some(help.as_str()));
        assert!(reading(&text).plan.is_some());
    }
    let both = format!(
        "{base}send-proxy = \"v2\"\n[[listener.a.route]]\nfrom = \"::1\"\nupstream = \"a:1\"\n{table}"
    );
    assert_eq!(told(&both), [""; 0], "one route leads to an address");
}

#[test]
fn all_faults_are_found_in_one_run() {
    let text = "thread = 1\nlog = xml\n[listener.a]\nlisten = \":x\"\nupstream = \"nope\"\n[upstream.b]\nservers = []\n[tls.t]\ncert = \"/no/such\"\nkey = \"/no/such\"\n";
    let lines: Vec<String> = told(text)
        .iter()
        .filter(|line| line.contains("error"))
        .map(|line| line.split(':').next().unwrap().to_owned())
        .collect();
    assert_eq!(lines, ["1", "2", "4", "5", "7", "9", "10"]);
}

#[test]
fn a_fault_is_shown_with_its_place() {
    let text = BASE.replace("upstream = ", "\tidle-timeout = \"ten\" # ü\nupstream = ");
    let Reading { source, mistakes, .. } = reading(&text);
    let shown = rendered(&source, &mistakes, false);
    let wanted = "f.toml:3:17: error: 'idle-timeout' cannot be \"ten\": it is not a duration; write 250ms, 10s, 1m30s, 1h or off
  |
3 |     idle-timeout = \"ten\" # ü
  |                    ^^^^^
  |
  = help: write 250ms, 10s, 1m30s, 1h or off

";
    assert_eq!(shown, wanted);
    assert!(rendered(&source, &mistakes, true).contains("\x1b["));
}

#[test]
fn nothing_in_a_file_controls_a_terminal() {
    let text = format!("\"\\u001b[31m\" = 1\n\"\x1b]0;x\x07\" = '\x1b[2J'\n{BASE}");
    let Reading { source, mistakes, .. } = reading(&text);
    let shown = rendered(&source, &mistakes, false);
    assert!(shown.len() > 100 && shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
}

#[test]
fn options_hold_for_all_listeners_unless_a_nearer_place_says_other() {
    let text = "idle-timeout = \"1h\"\nsplice = \"off\"\nmax-sessions = 50_000\nmax-per-source = 9\nallow = [\"10.0.0.0/8\"]\nmetrics = false\ndrain-delay = 0\n
        [defaults]\nidle-timeout = \"2h\"\nmax-per-source = 5\nbacklog = 0x10\n
        [listener.a]\nlisten = 8080\nupstream = 80\nidle-timeout = false\nallow = \"::1\"\nmax-per-source = 7\n
        [listener.b]\nlisten = [\"unix:/a\", \"unix:@b\", \"fd:web\"]\nmode = \"0660\"\nupstream = \"unix:/c\"\n";
    let plan = plan(text);
    assert_eq!((plan.max_sessions, plan.max_per_source.map(|limit| limit.sessions)), (Some(50_000), Some(9)));
    let [a, b] = &plan.listeners[..] else { panic!("{plan:?}") };
    assert_eq!((a.name.as_deref(), b.name.as_deref()), (Some("a"), Some("b")));
    assert_eq!((a.deadlines.idle, b.deadlines.idle), (None, Some(Duration::from_secs(7200))));
    assert_eq!(
        (a.max_per_source.map(|limit| limit.sessions), b.max_per_source.map(|limit| limit.sessions)),
        (Some(7), Some(5))
    );
    assert_eq!((a.splice, a.backlog, b.mode), (false, 16, Some(0o660)));
    assert_eq!(
        (
            a.access.allow.len(),
            a.access.allow[0].to_string().as_str(),
            b.access.allow[0].to_string().as_str()
        ),
        (1, "::1", "10.0.0.0/8")
    );
    assert_eq!(
        b.endpoints.iter().map(Endpoint::to_string).collect::<Vec<_>>(),
        ["unix:/a", "unix:@b", "fd:web"]
    );
    let names: Vec<&str> = plan.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    assert_eq!(names, ["127.0.0.1:80", "unix:/c"]);
}

#[test]
fn the_command_line_wins_over_the_file() {
    let typed = [("idle-timeout", "3h"), ("threads", "2"), ("allow", "::1"), ("max-per-source", "3")];
    let typed: GivenOptions =
        typed.iter().map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()])).collect();
    let text = format!("threads = 8\nallow = \"10.0.0.0/8\"\n[defaults]\nmax-per-source = 5\n{BASE}")
        .replace("upstream = ", "idle-timeout = \"1h\"\nupstream = ");
    let plan = Reading::of_text("f", text, None, &typed).plan.unwrap();
    let [a] = &plan.listeners[..] else { panic!("{plan:?}") };
    assert_eq!(
        (plan.threads.map(NonZeroUsize::get), a.deadlines.idle),
        (Some(2), Some(Duration::from_secs(10_800)))
    );
    assert_eq!(a.access.allow[0].to_string(), "::1");
    // That of the whole program is another limit than that of a listener.
    assert_eq!((plan.max_per_source.unwrap().sessions, a.max_per_source.unwrap().sessions), (3, 5));
}

#[test]
fn an_upstream_has_what_its_table_says_and_defaults() {
    let text = "[listener.a]\nlisten = 1\nupstream = \"one\"\n[[listener.a.route]]\nfrom = \"::1\"\nupstream = \"two\"\n[upstream.one]\nservers = [\"a:1\", { address = \"b:1\", weight = 3, backup = true }]\nbalance = \"source\"\nretries = 0\nconnect-timeout = \"2s\"\neject = \"off\"\nslow-start = \"30s\"\non-down = \"cut\"\ncheck = { every = \"5s\", send = 'PING\\r\\n', expect = \"PONG\\u0000\" }\n[upstream.two]\ndiscover = \"dns:web.test:8443\"\nresolver = \"127.0.0.1\"\n";
    let plan = plan(text);
    let [one, two] = &plan.upstreams[..] else { panic!("{plan:?}") };
    assert_eq!(
        (one.servers[1].weight, one.servers[1].backup, one.settings.balance),
        (3, true, Balance::Source)
    );
    assert_eq!((one.settings.retries, one.settings.eject, one.settings.cut_on_down), (Some(0), None, true));
    let check = one.check.as_ref().unwrap();
    assert_eq!(
        (check.every, check.fall, &check.send[..], &check.expect[..]),
        (Duration::from_secs(5), 3, &b"PING\r\n"[..], &b"PONG\0"[..])
    );
    let discover = two.discover.as_ref().unwrap();
    assert_eq!(discover.source, ServerSource::Dns { name: "web.test".into(), port: 8443 });
    assert_eq!(
        (discover.refresh, discover.resolver.unwrap().to_string()),
        (Duration::from_secs(5), "127.0.0.1:53".into())
    );
    assert_eq!(
        (two.settings.eject, two.settings.retries, &two.check),
        (Some(crate::session::group::EJECT), None, &None)
    );
    // Routes come before what is left.
    let PlannedTarget::Routes(routes) = &plan.listeners[0].target else { panic!("{plan:?}") };
    let leads: Vec<_> = routes.iter().map(|route| route.lead.clone()).collect();
    assert_eq!(leads, [Lead::Upstream("two".into()), Lead::Upstream("one".into())]);
}

#[test]
fn faults_of_a_large_file_are_bounded() {
    let text = "x = 1\n".repeat(300) + BASE;
    let Reading { source, mistakes, .. } = reading(&text);
    assert!(mistakes.len() > 290);
    assert!(rendered(&source, &mistakes, false).ends_with("which are not shown\n"));
}

/// A file with a fault of these lines.
fn with_fault(lines: &str) -> String {
    BASE.replace("[upstream.db]", &format!("[[listener.a.fault]]\n{lines}\n[upstream.db]"))
}

#[test]
fn a_fault_has_what_its_table_says() {
    let text = format!(
        "seed = 7\n{}",
        with_fault(
            "type = \"slicer\"\nname = \"slow\"\nstream = \"upstream\"\ntoxicity = 0.25\n\
             attributes = { average_size = 100, size_variation = 0x10, delay = 5 }\n\
             clients = \"10.0.0.0/8\"\nsessions = [4, 5]\nskip = 1\ncount = 2\nevery = 3\n\
             after_ms = 4\nexpires_ms = 500\non_ms = 6\noff_ms = 7\n[[listener.a.fault]]\ntype = \"noop\""
        )
    );
    let plan = plan(&text);
    assert_eq!(plan.seed, Some(7));
    let [slow, noop] = &plan.listeners[0].faults[..] else { panic!("{plan:?}") };
    let wanted = FaultPlan {
        name: "slow".into(),
        kind: FaultKind::Slicer,
        stream: FaultStream::Upstream,
        values: [100, 16, 5],
        toxicity: Toxicity::new(0.25).unwrap(),
        scope: Scope {
            clients: vec!["10.0.0.0/8".parse().unwrap()],
            sessions: vec![4, 5],
            skip: 1,
            count: 2,
            every: 3,
        },
        schedule: Schedule { after_ms: 4, expires_ms: 500, on_ms: 6, off_ms: 7 },
    };
    assert_eq!(*slow, wanted);
    assert_eq!(*noop, FaultPlan::sample(FaultKind::Noop, [0; 3]));
    assert!(judge().is_valid(&as_json(&text)));
}

#[test]
fn a_wrong_kind_or_key_of_a_fault_is_told_where_it_stands() {
    for (lines, wanted) in [
        ("name = \"x\"", "4:1: error: 'type' is missing: the fault does nothing"),
        (
            "type = \"latncy\"",
            "5:8: error: 'type' cannot be \"latncy\": it is no kind of fault; did you mean \"latency\"?",
        ),
        (
            "type = \"packet_loss\"",
            "5:8: error: 'type' cannot be \"packet_loss\": packet loss is invisible above TCP; use hiccup",
        ),
        (
            "type = \"noop\"\nlatency = 5",
            "6:1: error: 'latency' is no key of [[listener.NAME.fault]]; it belongs in its attributes",
        ),
        (
            "type = \"noop\"\ntoxcity = 1",
            "6:1: error: 'toxcity' is no key of [[listener.NAME.fault]]; did you mean 'toxicity'?",
        ),
        (
            "type = \"noop\"\ntoxicity = 1.5",
            "6:12: error: 'toxicity' cannot be 1.5: it must be a number from 0 to 1",
        ),
        (
            "type = \"noop\"\ntoxicity = nan",
            "6:12: error: 'toxicity' cannot be nan: it must be a number from 0 to 1",
        ),
        (
            "type = \"noop\"\nstream = \"both\"",
            "6:10: error: 'stream' cannot be \"both\": it is none of the choices; write upstream or downstream",
        ),
    ] {
        assert_tells(&with_fault(lines), wanted);
    }
}

#[test]
fn a_wrong_value_of_a_fault_is_told_where_it_stands() {
    for (lines, wanted) in [
        (
            "type = \"latency\"\nattributes = { lateny = 5 }",
            "6:16: error: 'lateny' is no attribute of latency",
        ),
        (
            "type = \"latency\"\nattributes = { latency = \"5s\" }",
            "6:26: error: 'latency' cannot be \"5s\": it must be a whole number of ms from 0 to 3155760000000",
        ),
        (
            "type = \"latency\"\nattributes = { jitter = -1 }",
            "6:25: error: 'jitter' cannot be -1: it must be a whole number of ms from 0 to 3155760000000",
        ),
        (
            "type = \"latency\"\nattributes = 5",
            "6:14: error: 'attributes' cannot be 5: it must be a table, as { latency = 120 }",
        ),
        (
            "type = \"noop\"\non_ms = 5",
            "6:1: error: fault 'noop_downstream' cannot be: on_ms and off_ms go together: a cycle has both",
        ),
        (
            "type = \"flap\"\ntoxicity = 0.5\nattributes = { up = 1, down = 1 }",
            "6:1: error: fault 'flap_downstream' cannot be: flap is of the listener as a whole: it takes no share and no scope",
        ),
        (
            "type = \"noop\"\n[[listener.a.fault]]\ntype = \"noop\"",
            "6:1: error: 'fault' has 'noop_downstream' twice in listener 'a'",
        ),
        ("type = \"noop\"\nname = \"\"", "6:8: error: 'name' cannot be \"\": it is empty"),
        (
            "type = \"noop\"\nsessions = [1, -2]",
            "6:16: error: 'sessions' cannot be -2: it must be from 1 to 9223372036854775807",
        ),
        (
            "type = \"noop\"\nskip = \"5\"",
            "6:8: error: 'skip' cannot be \"5\": it must be a whole number from 0 to 9223372036854775807",
        ),
    ] {
        assert_tells(&with_fault(lines), wanted);
    }
    assert_tells(
        &format!("seed = -1\n{BASE}"),
        "1:8: error: 'seed' cannot be -1: it must be from 0 to 9223372036854775807",
    );
}

/// The schema, ready to judge a file.
fn judge() -> jsonschema::Validator {
    let schema: serde_json::Value = serde_json::from_str(&schema::text()).unwrap();
    jsonschema::draft202012::options().build(&schema).unwrap()
}

fn as_json(text: &str) -> serde_json::Value {
    serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()
}

#[test]
fn the_schema_takes_the_sample_and_refuses_what_the_reader_refuses() {
    let validator = judge();
    let sample = as_json(SAMPLE);
    let errors: Vec<String> = validator.iter_errors(&sample).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(validator.is_valid(&as_json(BASE)));
    for wrong in [
        "lisen = 1",
        "threads = []",
        "log = \"xml\"",
        "idle-timeout = \"soon\"",
        "[upstream.x]\nbalance = \"y\"",
        "[upstream.x]\nretries = -1",
        "[listener.\"a b\"]",
        "[[listener.a.fault]]\ntype = \"lag\"",
        "[[listener.a.fault]]\ntype = \"noop\"\nattributes = { lag = 1 }",
        "[[listener.a.fault]]\ntoxicity = 2",
    ] {
        assert!(!validator.is_valid(&as_json(wrong)), "{wrong}");
        assert!(told(wrong).iter().any(|line| line.contains("error")), "{wrong}");
    }
}

#[test]
fn every_key_is_in_the_topic_and_no_other() {
    let text = topics::find("configuration").unwrap().text;
    let options = FileOptions::new();
    let mut known: BTreeSet<String> = options.names().map(str::to_owned).collect();
    known
        .extend(Kind::ALL.into_iter().flat_map(|kind| kind.own().into_iter().map(|key| key.name.to_owned())));
    let cells = text.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let documented: BTreeSet<String> = cells
        .flat_map(|cell| cell.split('`').filter(|part| part.len() > 1 && !part.contains(", ")))
        .map(str::to_owned)
        .collect();
    assert_eq!(documented, known);
    // Each table lists its own.
    for kind in Kind::ALL.into_iter().filter(|kind| ![Kind::Top, Kind::Defaults].contains(kind)) {
        let section = text
            .split("\n## ")
            .find(|section| section.lines().next().is_some_and(|title| title.contains(kind.title())));
        let section = section.unwrap_or_else(|| panic!("no section of {}", kind.title()));
        for key in kind.own() {
            assert!(section.contains(&format!("`{}`", key.name)), "{} of {}", key.name, kind.title());
        }
    }
}

#[test]
fn options_of_the_program_are_options() {
    let options = FileOptions::new();
    for name in keys::OF_THE_PROGRAM {
        assert!(options.find(name).is_some(), "{name}");
        assert!(!Kind::Listener.takes(name) && Kind::Top.takes(name));
    }
    assert!(repeats(options.find("allow").unwrap()) && !repeats(options.find("log").unwrap()));
    assert!(matches!(Kind::Upstream.own()[0].form, KeyForm::Servers));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*") {
        told(&text);
    }

    #[test]
    fn no_change_of_the_sample_makes_the_reader_panic(at in 0..SAMPLE.len(), cut in 0..40_usize, put in "[\\[\\]=\"{},.#a0\\n-]{0,3}") {
        let begin = mistakes::floor(SAMPLE, at);
        let end = mistakes::ceil(SAMPLE, at + cut);
        let text = format!("{}{put}{}", &SAMPLE[..begin], &SAMPLE[end..]);
        let Reading { source, mistakes, plan } = reading(&text);
        rendered(&source, &mistakes, false);
        prop_assert!(plan.is_none() || mistakes.iter().all(|mistake| mistake.severity == Severity::Warning));
    }
}
