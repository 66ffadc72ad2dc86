//! A configuration file, as the built binary checks, explains and serves it.

use crate::support::{
    fake::peer,
    lines::Lines,
    program::{Program, Run, binary, binary_in_shell, run_binary, run_text},
    stream::{connect, exchange, read_exactly},
    wait::{LIMIT, within},
};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    process::Stdio,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A file in a folder that ends with the test.
struct Written {
    folder: TempDir,
    path: String,
}

impl Written {
    fn new(content: impl AsRef<[u8]>) -> Written {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("switchboard.toml");
        fs::write(&path, content).unwrap();
        let path = path.to_str().unwrap().to_owned();
        Written { folder, path }
    }

    /// The sample of the documentation, with the files that it names.
    fn sample() -> Written {
        let written = Written::new("");
        let folder = written.folder.path().to_str().unwrap();
        for name in ["www", "people", "inside"] {
            written.certificate(name);
        }
        fs::write(&written.path, run_binary(&["print", "config"]).stdout.replace("/etc/ssl", folder))
            .unwrap();
        written
    }

    /// Puts a certificate and its key beside it: `NAME.pem` and `NAME.key`.
    fn certificate(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![format!("{name}.test")]).unwrap().self_signed(&key).unwrap();
        fs::write(self.folder.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(self.folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn check(&self) -> Run {
        run_binary(&["check", &self.path])
    }
}

const VALID: &str = "[listener.web]\nlisten = \"127.0.0.1:0\"\nupstream = \"db\"\n[upstream.db]\nservers = [\"127.0.0.1:9\"]\n";

/// It is refused, with a fault that begins `FILE:LINE:COLUMN: error: ` at this place.
#[track_caller]
fn assert_refused(path: &str, place: &str, part: &str) {
    let begin = Instant::now();
    let checked = run_binary(&["check", path]);
    let first = checked.stderr.lines().next().unwrap_or_default();
    assert_eq!(checked.code, Some(1), "{}", checked.stderr);
    assert_eq!(checked.stdout, "");
    assert!(first.starts_with(&format!("{path}:{place}: error: ")) && first.contains(part), "{first}");
    assert!(!checked.stderr.contains("panicked"), "{}", checked.stderr);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    // A server refuses it with the same words.
    let served = run_binary(&["run", path, "--control", "off"]);
    assert_eq!((served.code, served.stdout.as_str()), (Some(1), ""));
    assert_eq!(served.stderr.lines().next(), Some(first));
}

#[test]
fn a_valid_file_is_told_in_one_line() {
    let file = Written::new(VALID);
    let checked = file.check();
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""));
    assert_eq!(checked.stdout, format!("{}: valid: 1 listener, 1 upstream, 1 server\n", file.path));
}

#[test]
fn the_sample_is_valid_to_the_letter() {
    let file = Written::sample();
    let checked = file.check();
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(checked.stdout.contains(": valid: 2 listeners, 4 upstreams, 4 servers; "), "{}", checked.stdout);
    let about = |line: &&str| line.starts_with(&file.path);
    for line in checked.stderr.lines().filter(about) {
        assert!(line.contains(": warning: ") && line.contains("(ulimit -n)"), "{line}");
    }
    // A server does what it says, once it has the socket that the service manager passes.
    let served = run_binary(&["run", &file.path, "--control", "off"]);
    assert_eq!(served.code, Some(1));
    assert!(served.stderr.contains("fd:web"), "{}", served.stderr);
    assert_eq!(served.stderr.lines().find(about), None);
}

#[test]
fn a_pair_that_does_not_fit_refuses_the_file_and_the_command() {
    let file = Written::new("");
    ["a", "b"].iter().for_each(|name| file.certificate(name));
    let folder = file.folder.path().to_str().unwrap();
    let table = |key: &str| {
        format!(
            "{}[[listener.web.route]]\nsni = \"a.test\"\ntls = \"x\"\nupstream = \"db\"\n[tls.x]\ncert = \"{folder}/a.pem\"\nkey = \"{folder}/{key}\"\n",
            VALID
        )
    };
    fs::write(&file.path, table("b.key")).unwrap();
    assert_refused(&file.path, "12:7", "'key' cannot be");
    assert!(file.check().stderr.contains("does not fit the certificate in"), "{}", file.check().stderr);
    fs::write(&file.path, table("a.key")).unwrap();
    let checked = file.check();
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""));
    let command = |key: &str| {
        let [cert, key] = ["a.pem", key].map(|name| format!("{folder}/{name}"));
        run_binary(&[
            "proxy",
            "--listen",
            "unix:/no/such/folder/a",
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
            "--control",
            "off",
        ])
    };
    let refused = command("b.key");
    assert_eq!((refused.code, refused.stdout.as_str(), refused.stderr.lines().count()), (Some(1), "", 1));
    assert!(refused.stderr.starts_with("switchboard: option '--tls-key': the key in "), "{}", refused.stderr);
    // The pair that fits gets as far as its listener.
    let begun = command("a.key");
    assert!(begun.code == Some(1) && begun.stderr.contains("/no/such/folder/a"), "{}", begun.stderr);
}

#[test]
fn a_certificate_that_ends_soon_is_a_warning_of_the_check_and_of_the_start() {
    let file = Written::new("");
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2021, 1, 1);
    let folder = file.folder.path();
    fs::write(folder.join("a.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(folder.join("a.key"), key.serialize_pem()).unwrap();
    let [cert, key] = ["a.pem", "a.key"].map(|name| folder.join(name).display().to_string());
    let route = "[[listener.web.route]]\ntls = \"x\"\nsni = \"a.test\"\nupstream = \"db\"\n";
    fs::write(&file.path, format!("{VALID}{route}[tls.x]\ncert = \"{cert}\"\nkey = \"{key}\"\n")).unwrap();
    let warning =
        format!("{}:11:8: warning: 'cert' is \"{cert}\": a certificate of it ended on 2021-01-01", file.path);
    let checked = file.check();
    assert_eq!((checked.code, checked.stderr.lines().next()), (Some(0), Some(warning.as_str())));
    let mut command = binary();
    command.args(["run", &file.path, "--control", "off"]).stdin(Stdio::null()).stdout(Stdio::null());
    let mut program = Program::start(command.stderr(Stdio::piped()));
    let errors = Lines::of(program.stderr.take().unwrap());
    within(LIMIT, "the warning", || errors.all().into_iter().find(|line| line.contains(&warning)));
    program.signal(Signal::TERM);
    assert_eq!(program.await_exit(), 0, "{:?}", errors.all());
}

#[test]
fn the_check_and_the_start_count_the_same_descriptors() {
    let listener =
        "[listener.web]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\nupstream = \"127.0.0.1:9\"\n";
    let file = Written::new(format!("max-sessions = 5000\nthreads = 3\n{listener}"));
    // Of each session two, and beside the first shard's part those of two more with two listeners each.
    let warning = "max-sessions 5000 needs 10112 descriptors, but the limit is 400 (ulimit -n)";
    let command = |words: &[&str]| {
        let mut command = binary_in_shell("ulimit -n 400; exec \"$0\" \"$@\"");
        command.args(words);
        command
    };
    let checked = run_text(command(&["check", &file.path]));
    assert!(checked.stderr.contains(warning), "{}", checked.stderr);
    let mut command = command(&["run", &file.path, "--control", "off"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut program = Program::start(command.stderr(Stdio::piped()));
    let errors = Lines::of(program.stderr.take().unwrap());
    let told =
        within(LIMIT, "the warning", || errors.all().into_iter().find(|line| line.contains(" needs ")));
    assert!(told.contains(warning), "{told}");
    program.signal(Signal::TERM);
    assert_eq!(program.await_exit(), 0, "{:?}", errors.all());
}

#[test]
fn a_certificate_that_is_not_there_is_told_even_if_no_route_uses_it() {
    let file =
        Written::new(format!("{VALID}[tls.x]\ncert = \"/no/such/cert.pem\"\nkey = \"/no/such/key.pem\"\n"));
    let checked = file.check();
    assert_eq!(checked.code, Some(1));
    let errors: Vec<&str> = checked.stderr.lines().filter(|line| line.contains(": error: ")).collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(
        errors[0].starts_with(&format!("{}:7:8: error: 'cert' cannot be \"/no/such/cert.pem\"", file.path))
    );
}

#[test]
fn a_fault_is_told_with_its_line_for_machines_too() {
    let file = Written::new(VALID.replace("upstream = \"db\"", "upsteam = \"db\""));
    assert_refused(&file.path, "3:1", "'upsteam' is no key of [listener.NAME]; did you mean 'upstream'?");
    let checked = run_binary(&["check", &file.path, "--json"]);
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(1), ""));
    let told: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!((&told["valid"], &told["file"]), (&Value::Bool(false), &Value::from(file.path.as_str())));
    let fault = &told["faults"][0];
    let place = (fault["line"].as_u64(), fault["column"].as_u64(), fault["severity"].as_str());
    assert_eq!(place, (Some(3), Some(1), Some("error")));
    let told: Value =
        serde_json::from_str(&run_binary(&["check", "--json", &Written::new(VALID).path]).stdout).unwrap();
    assert_eq!((&told["valid"], &told["listeners"]), (&Value::Bool(true), &Value::from(1)));
}

#[test]
fn what_is_not_a_file_of_text_is_refused_at_its_place() {
    assert_refused(&Written::new("").path, "1:1", "the file has no listener");
    assert_refused("/no/such/file.toml", "1:1", "no such file or directory");
    let file = Written::new(VALID);
    assert_refused(file.folder.path().to_str().unwrap(), "1:1", "is a directory");
    let link = file.folder.path().join("loop.toml");
    symlink(&link, &link).unwrap();
    assert_refused(link.to_str().unwrap(), "1:1", "too many levels of symbolic links");
    let mut foreign = VALID.as_bytes().to_vec();
    foreign.extend(b"# caf\xe9\n");
    assert_refused(&Written::new(foreign).path, "6:6", "not UTF-8");
    assert_refused(&Written::new([0_u8; 64]).path, "1:1", "");
    assert_refused("/dev/zero", "1:1", "more than 4 MiB");
}

#[test]
fn a_large_file_takes_a_moment() {
    let comment = "# 0123456789abcdef\n".repeat(200_000);
    assert_eq!(Written::new(comment.clone() + VALID).check().code, Some(0));
    assert_refused(&Written::new(comment.repeat(3) + VALID).path, "1:1", "more than 4 MiB");
    // All in one line, and many faults.
    let line = format!("x = [{}]\n", "1,".repeat(500_000));
    assert_refused(&Written::new(line + VALID).path, "1:1", "'x' is no key");
    let faults: String = (0..100_000).map(|number| format!("key{number} = 1\n")).collect();
    assert_refused(&Written::new(faults + VALID).path, "1:1", "'key0' is no key");
}

#[test]
fn a_file_that_is_half_written_is_judged_wherever_it_ends() {
    let sample = run_binary(&["print", "config"]).stdout;
    let mut refused = 0;
    for part in 1..24 {
        let checked = Written::new(&sample.as_bytes()[..sample.len() * part / 24]).check();
        assert!(checked.code.is_some_and(|code| code < 2), "{:?}: {}", checked.code, checked.stderr);
        assert!(!checked.stderr.contains("panicked"), "{}", checked.stderr);
        refused += usize::from(checked.code == Some(1));
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn usage_is_another_fault_than_the_files() {
    let file = Written::new(VALID);
    for words in [
        &["check"][..],
        &["check", &file.path, "superfluous"],
        &["check", &file.path, "--jso"],
        &["run"],
        &["run", &file.path, "--idle-timeout", "10"],
        &["explain", &file.path, "listener=nope"],
        &["explain", &file.path, "from=nowhere"],
        &["explain", &file.path, "colour=red"],
        &["explain", &file.path, "listener"],
    ] {
        let ran = run_binary(words);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{words:?}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{words:?}: {}", ran.stderr);
    }
    assert_eq!(run_binary(&["explain", "/no/such/file", "listener=web"]).code, Some(1));
}

#[test]
fn explain_says_where_a_connection_would_lead_and_why() {
    let file = Written::new(
        "[listener.web]\nlisten = \":8443\"\ndeny = \"192.0.2.0/24\"\nallow = [\"10.0.0.0/8\", \"192.0.2.0/24\"]\n\
         [[listener.web.route]]\nsni = \"a.test\"\nupstream = \"db\"\n\
         [[listener.web.route]]\nfrom = \"10.1.0.0/16\"\nalpn = [\"h2\", \"x\"]\nupstream = \"db\"\n\
         [[listener.web.route]]\nfrom = \"10.2.0.0/16\"\nrefuse = true\n\
         [upstream.db]\nservers = [\"10.9.0.1:1\", { address = \"10.9.0.2:1\", weight = 2 }, { address = \"10.9.0.3:1\", backup = true }]\ncheck = true\n\
         [listener.mail]\nlisten = \":8025\"\nupstream = \"10.0.0.7:25\"\n",
    );
    let ask = |question: &str| {
        let ran = run_binary(&["explain", &file.path, question]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{question}");
        ran.stdout
    };
    assert_eq!(
        ask("listener=web from=10.1.2.3 sni=b.test alpn=h2"),
        "route web#1 no: sni b.test is not a.test\nroute web#2 yes\nroute web#3 no: from 10.1.2.3 is not 10.2.0.0/16\n\
         upstream db: 10.9.0.2:1, 10.9.0.1:1, 10.9.0.3:1\n"
    );
    assert_eq!(
        ask("listener=web from=10.1.2.3 sni=A.test alpn=x,y"),
        "route web#1 yes\nroute web#2 no: web#1 comes first\nroute web#3 no: from 10.1.2.3 is not 10.2.0.0/16\n\
         upstream db: 10.9.0.2:1, 10.9.0.1:1, 10.9.0.3:1\n"
    );
    assert!(
        ask("listener=web from=10.2.2.3").ends_with("route web#3 yes\nrefused: no route, as web#3 says\n")
    );
    assert!(ask("listener=web from=10.3.2.3").ends_with("\nrefused: no route\n"));
    assert_eq!(ask("listener=web from=::ffff:192.0.2.7"), "refused: deny has 192.0.2.0/24\n");
    assert_eq!(ask("listener=web from=203.0.113.7"), "refused: allow does not have it\n");
    assert_eq!(ask("listener=mail"), "route mail#1 yes\nupstream 10.0.0.7:25: 10.0.0.7:25\n");
}

#[test]
fn a_file_is_served_and_the_command_line_wins() {
    let (first, second) = (peer::echoes(), peer::speaks_and_closes(b"bye".to_vec()));
    let file = Written::new(format!(
        "log = \"text\"\ncontrol = \"off\"\nthreads = 1\n[listener.one]\nlisten = \"127.0.0.1:0\"\nupstream = \"echo\"\n\
         [listener.two]\nlisten = \"127.0.0.1:0\"\nupstream = \"{}\"\n[upstream.echo]\nservers = [\"{}\"]\n",
        second.address, first.address
    ));
    let mut command = binary();
    command.args(["run", &file.path, "--log", "json"]).env("SWITCHBOARD_DRAIN_TIMEOUT", "5s");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = Program::start(&mut command);
    let (out, errors) =
        (Lines::of(program.stdout.take().unwrap()), Lines::of(program.stderr.take().unwrap()));
    let lines = within(LIMIT, "both start lines", || {
        let lines = errors.all();
        let lines: Vec<_> = lines.into_iter().filter(|line| line.starts_with("listening on ")).collect();
        Some(lines).filter(|lines| lines.len() == 2)
    });
    let address = |line: &str| -> SocketAddr {
        let (address, _) = line.strip_prefix("listening on ").unwrap().split_once(", ").unwrap();
        address.parse().unwrap()
    };
    exchange(&mut connect(address(&lines[0])), b"to the first");
    assert_eq!(read_exactly(&mut connect(address(&lines[1])), 3), b"bye");
    within(LIMIT, "an event", || Some(()).filter(|()| out.all().iter().any(|line| line.starts_with("{"))));
    program.signal(Signal::TERM);
    assert_eq!(program.await_exit(), 0, "{:?}", errors.all());
}

#[test]
fn what_editors_need_is_printed() {
    let schema: Value = serde_json::from_str(&run_binary(&["print", "schema"]).stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for key in ["idle-timeout", "listener", "upstream", "defaults"] {
        assert!(schema["properties"][key]["description"].is_string(), "{key}");
    }
}

#[test]
fn accept_stall_at_a_unix_socket_is_a_mistake_where_it_stands() {
    let text = VALID.replace("127.0.0.1:0", "unix:/tmp/switchboard-it-stall");
    let fault = "[[listener.web.fault]]\ntype = \"accept_stall\"\n";
    let file = Written::new(text.replace("[upstream", &format!("{fault}[upstream")));
    assert_refused(&file.path, "5:1", "accept_stall is of TCP");
}
