//! What a command line means, from its words to the settings.

mod documentation;

use super::*;
use crate::{
    control::place::Control,
    net::{dial::Override, options::KEEPALIVE},
    net::{
        endpoint::Endpoint,
        network::Access,
        options::{Congestion, Keepalive},
        proxy_header::ProxyVersion,
    },
    report::format::DUMP_LIMIT_BYTES,
    report::format::{Dump, Log},
    server::plan::{self, Plan, PlannedListener, PlannedTarget, PlannedUpstream},
    session::{deadline::Deadlines, sources::SourceLimit},
    tools::client::settings::{Client, Input, Target},
    tools::{
        audit::settings::{Audit, IDLE, Subject},
        findings::Form,
        load::settings::{Body, Expect, Http, Load, Message, Mode, TIMEOUT},
    },
};
use proptest::prelude::*;
use std::{
    num::{NonZeroU32, NonZeroUsize},
    os::unix::ffi::OsStringExt,
    time::Duration,
};

const COMMANDS: [&str; 5] = ["echo", "proxy", "client", "origin", "top"];

fn parse_words(words: &[&str]) -> Result<Parsed, Usage> {
    parse(words.iter().map(OsString::from), [])
}

/// Splits at spaces; a test with a space inside a value calls [`parse_words`].
fn parse_line(line: &str) -> Result<Parsed, Usage> {
    parse_words(&line.split_whitespace().collect::<Vec<_>>())
}

#[track_caller]
fn server(line: &str) -> Plan {
    match parse_line(line) {
        Ok(Parsed::Run(Config::Server { plan, .. })) => *plan,
        other => panic!("{line}: {other:?}"),
    }
}

/// A listener with every default.
fn planned(endpoint: Endpoint, target: PlannedTarget) -> PlannedListener {
    PlannedListener {
        name: None,
        endpoints: vec![endpoint],
        mode: None,
        target,
        access: Access::default(),
        accept_proxy: Vec::new(),
        tls: None,
        faults: Vec::new(),
        enabled: true,
        is_down: false,
        accept_rate: None,
        max_per_source: None,
        backlog: 4096,
        deadlines: Deadlines::default(),
        keepalive: Some(KEEPALIVE),
        congestion: Congestion::System,
        splice: true,
        dump: Dump::Off,
        dump_limit: DUMP_LIMIT_BYTES,
    }
}

#[track_caller]
fn client(words: &[&str]) -> Client {
    match parse_words(words) {
        Ok(Parsed::Run(Config::Client(client))) => *client,
        other => panic!("{words:?}: {other:?}"),
    }
}

#[track_caller]
fn printed(line: &str) -> String {
    match parse_line(line) {
        Ok(Parsed::Print(text)) => text,
        other => panic!("{line}: {other:?}"),
    }
}

/// What a command line means where the environment has these variables.
fn parse_where(variables: &[(&str, &str)], line: &str) -> Result<Parsed, Usage> {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    parse(line.split_whitespace().map(OsString::from), variables)
}

#[track_caller]
fn notes(variables: &[(&str, &str)], line: &str) -> Vec<String> {
    match parse_where(variables, line) {
        Ok(Parsed::Run(Config::Server { notes, .. })) => notes,
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn assert_refused(words: &[&str], parts: &[&str]) {
    match parse_words(words) {
        Err(Usage(line)) => {
            for part in parts {
                assert!(line.contains(part), "{words:?}: {line:?} lacks {part:?}");
            }
        }
        Ok(parsed) => panic!("{words:?}: {parsed:?}"),
    }
}

#[test]
fn a_bare_command_means_the_defaults() {
    let echo = Plan {
        listeners: vec![planned(Endpoint::loopback(8001), PlannedTarget::Echo)],
        upstreams: Vec::new(),
        tls: Vec::new(),
        max_sessions: None,
        max_per_source: None,
        drain_timeout: Some(plan::DRAIN_TIMEOUT),
        drain_delay: Duration::ZERO,
        log: Log::Text,
        seed: None,
        scenario: None,
        threads: None,
        busy_poll: plan::BUSY_POLL,
        control: Control::Default,
        group: None,
        remember: plan::REMEMBER,
        metrics: None,
        agent: None,
        api: None,
    };
    let upstream = PlannedUpstream::address("www.google.com:80".parse().unwrap(), [].into());
    let target = PlannedTarget::to("www.google.com:80".into());
    let listeners = vec![planned(Endpoint::loopback(8002), target)];
    let proxy = Plan { listeners, upstreams: vec![upstream], ..echo.clone() };
    let listeners = vec![planned(Endpoint::loopback(8003), PlannedTarget::Origin)];
    let origin = Plan { listeners, ..echo.clone() };
    assert_eq!(server("echo"), echo);
    assert_eq!(server("proxy"), proxy);
    assert_eq!(server("origin"), origin);
    let target = Target::Http {
        endpoint: "www.google.com:80".parse().unwrap(),
        host: "www.google.com".into(),
        path: "/".into(),
        over_tls: false,
    };
    let expected = Client {
        target,
        tls: None,
        via: None,
        send_proxy: None,
        verbose: false,
        body: false,
        input: Input::Stdin,
        parallel: 1,
        repeat: 1,
        connect_timeout: Some(Duration::from_secs(10)),
        idle_timeout: Some(Duration::from_secs(60)),
        overrides: [].into(),
    };
    assert_eq!(client(&["client"]), expected);
}

#[test]
fn every_option_of_a_server_reaches_its_setting() {
    let proxy = server(
        "proxy --listen :1 --listen unix:/a --upstream b --resolve b:80:::1,[::2],1.2.3.4 --max-sessions 2 \
         --max-per-source 3 --source-prefix 48 --backlog 4 --connect-timeout 5ms --idle-timeout off --half-close-timeout 1m30s \
         --stall-timeout 7s --handshake-timeout 15s --max-lifetime 8h --drain-timeout off --drain-delay 6s --allow 10.0.0.0/8,::1 \
         --allow 192.0.2.1 --deny 10.1.0.0/16 --accept-rate 14/s --keepalive 9s/10s/11 --log json --dump hex \
         --dump-limit 12 --splice off --threads 3 --busy-poll off --metrics 13 --agent 14 \
         --control /run/a.sock --group ops --remember 13 --congestion cubic",
    );
    let addresses = ["::1", "::2", "1.2.3.4"].map(|address| address.parse().unwrap()).to_vec();
    let overrides = [Override { host: "b".into(), port: 80, addresses }].into();
    let networks = |text: &str| text.split(' ').map(|one| one.parse().unwrap()).collect();
    let listener = |address: &str| PlannedListener {
        access: Access { allow: networks("10.0.0.0/8 ::1 192.0.2.1"), deny: networks("10.1.0.0/16") },
        accept_rate: NonZeroU32::new(14),
        backlog: 4,
        deadlines: Deadlines {
            connect: Some(Duration::from_millis(5)),
            handshake: Some(Duration::from_secs(15)),
            idle: None,
            half_close: Some(Duration::from_secs(90)),
            stall: Some(Duration::from_secs(7)),
            lifetime: Some(Duration::from_secs(8 * 3600)),
        },
        keepalive: Some(Keepalive {
            idle: Duration::from_secs(9),
            interval: Duration::from_secs(10),
            probes: 11,
        }),
        congestion: "cubic".parse().unwrap(),
        splice: false,
        dump: Dump::Hex,
        dump_limit: 12,
        ..planned(address.parse().unwrap(), PlannedTarget::to("b:80".into()))
    };
    let expected = Plan {
        listeners: [":1", "unix:/a"].map(listener).into(),
        upstreams: vec![PlannedUpstream::address("b:80".parse().unwrap(), overrides)],
        tls: Vec::new(),
        max_sessions: Some(2),
        max_per_source: Some(SourceLimit { sessions: 3, prefix: 48 }),
        drain_timeout: None,
        drain_delay: Duration::from_secs(6),
        log: Log::Json,
        seed: None,
        scenario: None,
        threads: NonZeroUsize::new(3),
        busy_poll: None,
        control: Control::At("/run/a.sock".into()),
        group: Some("ops".to_owned()),
        remember: 13,
        metrics: Some(Endpoint::loopback(13)),
        agent: Some(Endpoint::loopback(14)),
        api: None,
    };
    assert_eq!(proxy, expected);
}

#[test]
fn options_of_tls_and_proxy_reach_their_settings() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(path("pem"), certificate.pem()).unwrap();
    std::fs::write(path("key"), key.serialize_pem()).unwrap();
    let line = format!(
        "proxy 1=tls://b.test:2 3=c.test:4 --tls-cert {pem} --tls-key {key} --client-ca {pem} --upstream-ca {pem} \
         --upstream-name a.test --accept-proxy 10.0.0.0/8,::1 --accept-proxy 192.0.2.1 --handshake-timeout off --send-proxy v1",
        pem = path("pem"),
        key = path("key"),
    );
    let plan = server(&line);
    let [tls] = &plan.tls[..] else { panic!("{plan:?}") };
    let files = tls.files.as_ref().unwrap();
    assert_eq!((files.pairs.len(), files.client_ca.clone()), (1, Some(path("pem").into())));
    for (listener, upstream) in plan.listeners.iter().zip(["tls://b.test:2", "c.test:4"]) {
        assert_eq!(listener.target, PlannedTarget::ending_tls(Some(tls.name.clone()), upstream.into()));
        assert_eq!((listener.accept_proxy.len(), listener.deadlines.handshake), (3, None));
    }
    let [over_tls, plain] = &plan.upstreams[..] else { panic!("{plan:?}") };
    assert_eq!(over_tls.settings.tls.as_ref().unwrap().asks_for("b.test").as_deref(), Some("a.test"));
    assert_eq!(
        (&plain.settings.tls, over_tls.servers[0].destination.endpoint.to_string()),
        (&None, "b.test:2".into())
    );
    assert!(plan.upstreams.iter().all(|upstream| upstream.settings.send_proxy == Some(ProxyVersion::V1)));
    // The switch is for all.
    let plan = server(&format!("{line} --upstream-tls"));
    assert_eq!(plan.upstreams[1].name, "tls://c.test:4");
    assert!(plan.upstreams.iter().all(|upstream| upstream.settings.tls.is_some()));
    let origin = server("origin --listen 1 --listen a.test:2 --tls-self-signed");
    assert_eq!(origin.tls.len(), 1);
    assert!(origin.listeners.iter().all(|listener| listener.tls.as_ref() == Some(&origin.tls[0].name)));
    let proxy = server("proxy 1=b:2 3=c:4 --tls-self-signed");
    let [tls] = &proxy.tls[..] else { panic!("{proxy:?}") };
    let ended = |upstream: &str| PlannedTarget::ending_tls(Some(tls.name.clone()), upstream.into());
    assert!(proxy.listeners.iter().zip(["b:2", "c:4"]).all(|(listener, to)| listener.target == ended(to)));
    assert_eq!(server("echo --accept-proxy ::1").listeners[0].accept_proxy.len(), 1);
}

#[test]
fn a_file_that_cannot_be_used_is_no_usage_error() {
    for (line, wanted) in [
        (
            "proxy --tls-cert /no/a.pem --tls-key /no/a.key",
            "switchboard: option '--tls-cert': cannot read /no/a.pem: no such file or directory; option '--tls-key': \
             cannot read /no/a.key: no such file or directory\n",
        ),
        (
            "proxy 1=tls://a.test --upstream-ca /no/ca.pem",
            "switchboard: option '--upstream-ca': cannot read /no/ca.pem: no such file or directory\n",
        ),
    ] {
        match parse_line(line) {
            Ok(Parsed::Answer(Answer { answer, notes, is_good: false })) => {
                assert_eq!((answer.as_str(), notes.as_str()), ("", wanted));
            }
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn several_ports_come_from_one_command() {
    let pair = |listen: &str, to: &str| PlannedListener {
        deadlines: Deadlines { idle: Some(Duration::from_secs(5)), ..Deadlines::default() },
        ..planned(listen.parse().unwrap(), PlannedTarget::to(to.into()))
    };
    let plan =
        server("proxy 5432=db:5432 :6379=redis unix:/a=b=tcp://host:1 --idle-timeout 5s [::1]:7=unix:/c");
    let expected = [
        pair("5432", "db:5432"),
        pair(":6379", "redis:80"),
        pair("unix:/a=b", "host:1"),
        pair("[::1]:7", "unix:/c"),
    ];
    assert_eq!(plan.listeners, expected);
    let upstreams: Vec<_> = plan.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    assert_eq!(upstreams, ["db:5432", "redis:80", "host:1", "unix:/c"]);
    let plan = server("proxy --listen 1 -l 2 -u a:3 --idle-timeout 5s");
    assert_eq!(plan.listeners, [pair("1", "a:3"), pair("2", "a:3")]);
    assert_eq!(plan.upstreams.len(), 1);
}

#[test]
fn an_upstream_that_is_chosen_for_the_user_is_told() {
    let told = notes(&[], "proxy");
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("www.google.com:80 is the default") && told[0].contains("--upstream ADDR"),
        "{told:?}"
    );
    assert_eq!(notes(&[], "proxy --upstream a"), [""; 0]);
    assert_eq!(notes(&[], "echo"), [""; 0]);
}

#[test]
fn the_environment_gives_options_to_servers_and_the_start_says_which() {
    let variables = [
        ("SWITCHBOARD_MAX_SESSIONS", "10"),
        ("SWITCHBOARD_LISTEN", "1 :2"),
        ("SWITCHBOARD_LOG", "json"),
        ("SWITCHBOARD_SPLICE", ""),
        ("SWITCHBOARD_UPSTREAM", "a:1"),
        ("HOME", "/"),
    ];
    let from = |line| match parse_where(&variables, line) {
        Ok(Parsed::Run(Config::Server { plan, .. })) => *plan,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(from("echo"), server("echo --max-sessions 10 --listen 1 --listen :2 --log json"));
    // What is typed counts more, and pairs give both of their sides.
    assert_eq!(from("echo --listen 3 -c 4").max_sessions, Some(4));
    assert_eq!(from("proxy 8=b:9"), server("proxy 8=b:9 --max-sessions 10 --log json"));
    let told =
        "from the environment: SWITCHBOARD_LISTEN=1 :2 SWITCHBOARD_LOG=json SWITCHBOARD_MAX_SESSIONS=10";
    // Echo has no upstream, and another server may have set it.
    assert_eq!(notes(&variables, "echo"), [told]);
    assert_eq!(
        notes(&[("SWITCHBOARD_MAX_SESSION", "1")], "echo"),
        ["SWITCHBOARD_MAX_SESSION names no option; did you mean SWITCHBOARD_MAX_SESSIONS?"]
    );
    // Tools take none.
    assert_eq!(
        parse_where(&[("SWITCHBOARD_IDLE_TIMEOUT", "x")], "client").unwrap(),
        parse_line("client").unwrap()
    );
}

#[test]
fn a_bad_value_in_the_environment_is_a_usage_error_that_names_the_variable() {
    let refused = parse_where(&[("SWITCHBOARD_IDLE_TIMEOUT", "5")], "echo").unwrap_err().to_string();
    assert!(
        refused.starts_with("SWITCHBOARD_IDLE_TIMEOUT cannot be '5': it needs a unit; write 5s"),
        "{refused}"
    );
}

#[test]
fn every_long_option_of_a_server_has_a_variable() {
    for command in ["echo", "proxy", "origin"].map(|name| find(name).unwrap()) {
        for flag in &command.flags[1..] {
            let name = environment::variable(flag.long);
            // It is refused by its name, or taken, and told at the start.
            match parse_where(&[(&name, &"/".repeat(200))], command.name) {
                Err(usage) => assert!(usage.to_string().starts_with(&name), "{name}: {usage}"),
                Ok(Parsed::Run(Config::Server { notes, .. })) => assert!(notes[0].contains(&name), "{name}"),
                Ok(other) => panic!("{name}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_short_option_takes_its_number_at_once() {
    assert_eq!(load("tcp://a:1 -c50 -n100 -z5s -q7"), load("tcp://a:1 -c 50 -n 100 -z 5s -q 7"));
    assert_eq!(server("echo -l:8 -v"), server("echo --listen :8 --dump text"));
    assert_eq!(server("echo -v --dump hex").listeners[0].dump, Dump::Hex);
    assert_eq!(server("echo --dump hex -v").listeners[0].dump, Dump::Text);
    assert_refused(&["echo", "-listen", "8"], &["unrecognized option '-listen'; did you mean '--listen'?"]);
}

#[test]
fn every_option_of_a_server_stands_in_a_group_of_the_help() {
    for command in ["echo", "proxy", "origin", "client", "load", "audit"].map(|name| find(name).unwrap()) {
        let titles: Vec<&str> = help::groups(&command).into_iter().map(|(title, _)| title).collect();
        assert!(!titles.contains(&"Options"), "{}: {titles:?}", command.name);
    }
    let names = |command: &str| {
        let command = find(command).unwrap();
        command.flags.iter().map(|flag| flag.long).collect::<Vec<_>>()
    };
    // Only what the mode uses.
    assert!(names("proxy").contains(&"--connect-timeout") && !names("echo").contains(&"--connect-timeout"));
}

#[test]
fn every_option_of_a_client_reaches_its_setting() {
    let words = "client --via 9 --send-proxy v2 --parallel 2 --repeat 3 --connect-timeout 4s --idle-timeout off \
                 --resolve a:1:::1 tcp://a:1 --file /f";
    let client = client(&words.split_whitespace().collect::<Vec<_>>());
    assert_eq!(client.target, Target::Tcp("a:1".parse().unwrap()));
    assert_eq!((client.via, client.send_proxy), (Some(Endpoint::loopback(9)), Some(ProxyVersion::V2)));
    assert_eq!((client.parallel, client.repeat), (2, 3));
    assert_eq!((client.connect_timeout, client.idle_timeout), (Some(Duration::from_secs(4)), None));
    assert_eq!(client.overrides[0].host, "a");
    assert_eq!(client.input, Input::File("/f".into()));
}

#[test]
fn a_value_may_follow_an_equals_sign() {
    assert_eq!(server("proxy --upstream=a:1 --log=json"), server("proxy --upstream a:1 --log json"));
    for text in ["a=b", "-x", "--body", "--", "", "=", "two words", "--help"] {
        let word = format!("--send={text}");
        assert_eq!(client(&["client", "tcp://a:1", &word]).input, Input::Text(text.into()), "{text}");
    }
    for text in ["a=b", "-x", "--x=y", "--", "", "-"] {
        let words = ["client", "--send", text, "tcp://a:1"];
        assert_eq!(client(&words).input, Input::Text(text.into()), "{text}");
    }
}

#[test]
fn what_follows_two_dashes_is_no_option() {
    let target = client(&["client", "--", "a/?b=c"]).target;
    assert!(matches!(target, Target::Http { path, .. } if path == "/?b=c"));
    assert_refused(&["client", "--", "--send=x"], &["target cannot be '--send=x'", "not a host name"]);
    assert_refused(&["echo", "--", "--help"], &["unexpected argument '--help'"]);
}

#[test]
fn the_last_of_equal_options_counts() {
    assert_eq!(server("echo --dump text --dump=hex").listeners[0].dump, Dump::Hex);
    assert_eq!(server("echo --listen 1 --listen 2").listeners.len(), 2);
    assert!(client(&["client", "--body", "--body"]).body);
}

#[test]
fn help_names_as_a_target_is_a_host() {
    assert!(matches!(client(&["client", "help"]).target, Target::Http { host, .. } if host == "help"));
}

#[track_caller]
fn audit(line: &str) -> Audit {
    match parse_line(line) {
        Ok(Parsed::Run(Config::Audit(audit))) => *audit,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn an_audit_is_of_our_own_proxy_or_of_one_that_runs() {
    let own = Audit {
        subject: Subject::Own,
        tls: None,
        send_proxy: None,
        idle: Some(IDLE),
        json: false,
        checks: vec![],
        report: vec![],
    };
    assert_eq!(audit("audit --self"), own);
    assert_eq!(audit("audit --self --idle=10s"), own);
    let running = Subject::Running { via: "a:1".parse().unwrap(), origin: ":0".parse().unwrap() };
    let all = Audit {
        subject: running,
        tls: None,
        send_proxy: Some(ProxyVersion::V1),
        idle: None,
        json: true,
        checks: vec!["reset".into(), "idle".into(), "half-close-5s".into()],
        report: vec![Form::Junit("a".into()), Form::Markdown("b=c".into()), Form::Github],
    };
    assert_eq!(
        audit(
            "audit --via a:1 --origin :0 --send-proxy v1 --idle off --json --report junit=a md=b=c --report=github reset idle half-close-5s"
        ),
        all
    );
    assert!(audit("audit --self --via-tls").tls.is_some());
    assert!(audit("audit --self --via-tls --tls-max 1.2").tls != audit("audit --self --via-tls").tls);
    assert!(audit("audit --self --via-tls --tls-max 1.3").tls == audit("audit --self --via-tls").tls);
    assert!(audit("audit --via a:1 --origin 1 --via-tls --insecure --tls-name b.test").tls.is_some());
}

#[test]
fn only_a_listener_can_be_a_passed_socket() {
    let endpoints =
        |line| server(line).listeners.into_iter().map(|mut one| one.endpoints.remove(0)).collect::<Vec<_>>();
    let passed = |name: &str| Endpoint::Passed(name.into());
    assert_eq!(endpoints("echo --listen fd:web -l fd:3"), [passed("web"), passed("3")]);
    assert_eq!(endpoints("proxy fd:web=8003"), [passed("web")]);
    for line in [
        "proxy --upstream fd:web",
        "proxy 8002=fd:web",
        "echo --metrics fd:web",
        "client tcp://fd:web",
        "client --via fd:web x",
        "audit --via 1 --origin fd:web",
        "load tcp://fd:3",
    ] {
        assert_refused(&line.split_whitespace().collect::<Vec<_>>(), &["only a listener can have one"]);
    }
    assert_refused(&["echo", "--control", "@name"], &["write a path in place of the name"]);
}

#[test]
fn what_no_audit_can_be_made_of_is_refused() {
    for (line, part) in [
        ("audit", "write --via ADDR --origin ADDR, or --self"),
        ("audit --via 1", "option '--origin' is missing"),
        ("audit --origin 1", "option '--via' is missing"),
        ("audit --self --via 1", "leave out '--via' and '--origin'"),
        ("audit --via a:0 --origin 1", "port 0 takes no connections"),
        ("audit --via unix:/a --origin 1", "a UNIX socket knows no RST"),
        ("audit --via 1 --origin unix:/a", "a UNIX socket knows no RST"),
        ("audit --self hal", "'hal' is no check; the checks are half-close-0s,"),
        ("audit --self --idle 0s", "write off"),
        ("audit --self --idle off idle", "option '--idle off' leaves no check"),
    ] {
        assert_refused(&line.split_whitespace().collect::<Vec<_>>(), &[part]);
    }
}

#[test]
fn the_help_names_every_check() {
    let help = printed("audit --help");
    for name in crate::tools::audit::names() {
        assert!(help.contains(name), "{name}");
    }
}

#[track_caller]
fn load(words: &str) -> Load {
    match parse_line(&format!("load {words}")) {
        Ok(Parsed::Run(Config::Load(load))) => *load,
        other => panic!("{words}: {other:?}"),
    }
}

#[test]
fn a_target_alone_means_the_defaults() {
    let expected = Load {
        target: Target::Tcp("a:1".parse().unwrap()),
        tls: None,
        send_proxy: None,
        mode: Mode::Pingpong,
        message: Message::Pattern(64),
        expect: Expect::Echo,
        half_close: false,
        connections: Some(10),
        threads: 1,
        duration: Some(Duration::from_secs(10)),
        requests: None,
        rate: None,
        connect_rate: None,
        warm_up: Duration::ZERO,
        timeout: Some(TIMEOUT),
        json: false,
        html: None,
        report: vec![],
        fail_if: vec![],
        compare: None,
        http: Http::default(),
        overrides: [].into(),
    };
    assert_eq!(load("tcp://a:1"), expected);
    assert_eq!(load("tcp://a:1 --mode bulk").message, Message::Pattern(1 << 20));
    assert_eq!(load("tcp://a:1 --expect until-close").mode, Mode::Churn);
    assert_eq!(load("tcp://a:1 --requests 5").duration, None);
    assert!(matches!(load("a/b").target, Target::Http { path, .. } if path == "/b"));
    assert_eq!(load("unix:/a").target, Target::Tcp("unix:/a".parse().unwrap()));
}

#[test]
fn every_option_of_a_load_reaches_its_setting() {
    let expected = Load {
        target: Target::Tcp("a:1".parse().unwrap()),
        tls: None,
        send_proxy: Some(ProxyVersion::V1),
        mode: Mode::Churn,
        message: Message::Text(b"PING\r\n".to_vec()),
        expect: Expect::Bytes(7),
        half_close: true,
        connections: Some(2),
        threads: 3,
        duration: Some(Duration::from_secs(4)),
        requests: Some(5),
        rate: Some(6),
        connect_rate: Some(7),
        warm_up: Duration::from_secs(8),
        timeout: None,
        json: true,
        html: Some("/h".into()),
        report: vec![Form::Html("/p".into()), Form::Github],
        fail_if: vec!["p99>5ms".parse().unwrap(), "errors>0".parse().unwrap()],
        compare: Some("/o".into()),
        http: Http::default(),
        overrides: [Override { host: "a".into(), port: 1, addresses: vec!["::1".parse().unwrap()] }].into(),
    };
    let words = r"tcp://a:1 --send-proxy v1 --mode churn --send PING\r\n --expect 7 --half-close -c 2 --threads 3 --duration 4s --requests 5 --rate 6 --connect-rate 7 --warmup 8s --timeout off --json --html /h --report html=/p github --fail-if p99>5ms --fail-if errors>0 --compare /o --resolve a:1:::1";
    assert_eq!(load(words), expected);
    let http = load("http://a/ -X PUT -H Accept:x -H Host:b -d a=b --data @/f").http;
    let expected = Http {
        method: Some("PUT".into()),
        fields: vec!["Accept: x".into(), "Host: b".into()],
        body: Some(Body::File("/f".into())),
    };
    assert_eq!(http, expected);
    assert_eq!(load("http://a/ -d x").http.method(), "POST");
    assert_eq!(load("tcp://a:1 --connections=max --duration off").connections, None);
    assert_eq!(load("tcp://a:1 --duration off --file /f").message, Message::File("/f".into()));
    assert_eq!(load("tcp://a:1 --duration off").duration, None);
    assert_eq!(load("tcp://a:1 --size 16k").message, Message::Pattern(16 << 10));
}

#[test]
fn help_and_version_are_printed_wherever_they_are_asked_for() {
    for line in ["--version", "-V", "proxy --version", "client a --version"] {
        assert_eq!(printed(line), help::version());
    }
    assert_eq!(printed("--help"), printed("help"));
    assert_eq!(printed("-h"), printed("help"));
    for command in COMMANDS {
        let help = printed(&format!("{command} --help"));
        for line in
            ["help CMD", "--help CMD", "CMD -h", "CMD --log off --help --no-such", "CMD --help --listen"]
        {
            // A topic comes before a command of its name.
            let is_topic = topics::find(command).is_some() && line.starts_with(['h', '-']);
            if !is_topic && (!["client", "top"].contains(&command) || !line.contains("--log")) {
                assert_eq!(printed(&line.replace("CMD", command)), help, "{line}");
            }
        }
    }
}

#[test]
fn a_help_fits_a_screen_and_ends_in_examples_that_work() {
    let help = |command: &str| format!("{command} --help");
    for line in [
        "", "echo", "proxy", "run", "faults", "check", "explain", "client", "origin", "ctl", "top", "audit",
        "load", "print",
    ]
    .map(help)
    {
        let help = printed(line.trim());
        // A proxy has what a file says of listeners and upstreams.
        let most = match line.split(' ').next() {
            // Each command and each topic has a line.
            Some("") => 70,
            Some("proxy") => 72,
            // Its verbs stand above its options.
            Some("ctl") => 68,
            Some("load") => 66,
            _ => 60,
        };
        assert!(help.lines().count() <= most, "{line}: {} lines", help.lines().count());
        let widest = help.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 80, "{line}: {widest} columns");
        let examples = help.split("Examples:\n").nth(1).expect("a help has examples");
        let mut ours =
            examples.lines().filter_map(|line| line.trim().strip_prefix("switchboard ")).peekable();
        assert!(ours.peek().is_some(), "{line}");
        // What the shell does with it is not ours.
        let ours = ours.map(|example| example.split(['|', '>']).next().unwrap());
        ours.for_each(|example| assert!(parse_line(&example.replace('\'', "")).is_ok(), "{example}"));
    }
}

#[test]
fn an_operand_is_in_brackets_where_it_may_be_left_out() {
    for (command, usage, is_needed) in [
        ("client", "[TARGET]", false),
        ("proxy", "[LISTEN=UPSTREAM...]", false),
        ("load", "TARGET", true),
        ("ctl", "COMMAND...", true),
        ("audit", "[CHECK...]", false),
    ] {
        let help = printed(&format!("{command} --help"));
        let line = format!("Usage: switchboard {command} [OPTIONS] {usage}\n");
        assert!(help.contains(&line), "{help}");
        // What an audit needs are options.
        let left_out = if command == "audit" { "audit --self" } else { command };
        assert_eq!(parse_line(left_out).is_err(), is_needed, "{left_out}");
    }
}

/// What is run, without what is said about it.
fn silent(parsed: Result<Parsed, Usage>) -> Parsed {
    let mut parsed = parsed.unwrap();
    if let Parsed::Run(Config::Server { notes, .. }) = &mut parsed {
        notes.clear();
    }
    parsed
}

#[test]
fn the_defaults_that_a_help_states_are_the_defaults() {
    let mut stated = 0;
    for command in COMMANDS {
        let info = find(command).unwrap();
        let flags = info.flags.iter().map(|flag| (flag.long, flag.description));
        for (name, description) in
            flags.chain(info.positionals.iter().map(|operand| (operand.name, operand.description)))
        {
            let Some((_, default)) = description.rsplit_once("(default ") else { continue };
            let Some(default) = default.strip_suffix(')').filter(|default| !default.starts_with("from "))
            else {
                continue;
            };
            let option = if name == "TARGET" { default.into() } else { format!("{name}={default}") };
            let with_default = parse_line(&format!("{command} {option}"));
            assert_eq!(silent(with_default), silent(parse_line(command)), "{command} {option}");
            stated += 1;
        }
    }
    assert!(stated > 40, "{stated} defaults found");
}

#[test]
fn a_wrong_command_line_is_answered_with_what_to_do() {
    for (line, parts) in [
        (
            "",
            &[
                "a command is missing; the commands are echo, proxy, run, faults, check, explain, client, origin, ctl, top, audit, load, print; try 'switchboard --help'",
            ][..],
        ),
        ("prox", &["unrecognized command 'prox'; did you mean 'proxy'?; try 'switchboard --help'"]),
        ("serve", &["unrecognized command 'serve'; the commands are echo,"]),
        ("ctl lst", &["ctl does not know 'lst'; did you mean 'list'?; try"]),
        ("ctl serve", &["ctl does not know 'serve'; did you mean 'servers'?"]),
        ("ctl frobnicate", &["ctl does not know 'frobnicate'; write servers, list"]),
        ("help serve", &["there is no topic 'serve'; did you mean 'service'?"]),
        ("--listen 1 echo", &["option '--listen' comes before a command"]),
        ("proxy --frobnicate", &["unrecognized option '--frobnicate'; try 'switchboard proxy --help'"]),
        ("proxy --upstrem a", &["unrecognized option '--upstrem'; did you mean '--upstream'?"]),
        ("echo --upstream a", &["unrecognized option '--upstream'; try 'switchboard echo --help'"]),
        ("echo -l", &["option '-l' needs a value; write -l VALUE"]),
        ("echo -u a", &["unrecognized option '-u'"]),
        ("echo 8001", &["unexpected argument '8001'"]),
        ("proxy 8080 9090", &["did you mean 8080=9090?"]),
        ("proxy 8080", &["'8080' does not say where it leads to; write 8080=UPSTREAM, as in 8080=db:5432"]),
        ("proxy db:5432", &["'db:5432' is one address; did you mean 5432=db:5432?"]),
        ("proxy nonsense", &["'nonsense' is no LISTEN=UPSTREAM"]),
        ("proxy x=db:1", &["'x' in 'x=db:1' is no address to listen on: it names no port"]),
        ("proxy 1=db:x", &["'db:x' in '1=db:x' is no upstream: \"x\" is not a port"]),
        ("proxy 1=udp:a:1", &["UDP is out of scope"]),
        ("proxy --upstream udp:a:1", &["'--upstream' cannot be 'udp:a:1': UDP is out of scope"]),
        ("echo --listen udp://:53", &["UDP is out of scope"]),
        ("proxy --upstream tls:a:1", &["TLS is spoken to a target or an upstream, as in tls://host:443"]),
    ] {
        assert_refused(&line.split_whitespace().collect::<Vec<_>>(), parts);
    }
}

#[test]
fn an_option_of_tls_or_of_proxy_headers_that_cannot_be_is_answered_with_what_to_do() {
    for (line, parts) in [
        (
            "proxy --upstream a:1 --tls-cert x",
            &["option '--tls-cert' needs another one; write --tls-key FILE"][..],
        ),
        (
            "proxy --upstream a:1 --tls-key x",
            &["option '--tls-key' needs another one; write --tls-cert FILE"],
        ),
        (
            "proxy --upstream a:1 --client-ca x",
            &["'--client-ca' needs another one; write --tls-cert FILE --tls-key FILE"],
        ),
        (
            "proxy --upstream a:1 --upstream-ca x",
            &["option '--upstream-ca' is about TLS, which is not spoken; write --upstream-tls"],
        ),
        ("proxy 1=a:1 --upstream-name x", &["option '--upstream-name' is about TLS", "--upstream-tls"]),
        ("proxy 1=tls://a:1 --upstream-name x:1", &["'--upstream-name' cannot be 'x:1': it is no host name"]),
        (
            "proxy 1=tls://unix:/a",
            &["the certificate of 'tls://unix:/a' must have a name", "write --upstream-name HOST"],
        ),
        ("proxy 1=:1 --upstream-tls", &["the certificate of ':1' must have a name"]),
        ("proxy 1=tls://", &["'tls://' in '1=tls://' is no upstream: it names no host"]),
        (
            "proxy --accept-proxy 10.0.0.0/33",
            &["'--accept-proxy' cannot be '10.0.0.0/33': the bits after the slash"],
        ),
        (
            "proxy --handshake-timeout 10",
            &["'--handshake-timeout' cannot be '10': it needs a unit; write 10s"],
        ),
        (
            "proxy --send-proxy v3",
            &["option '--send-proxy' cannot be 'v3': it is none of the choices; write v1 or v2"],
        ),
        ("echo --tls-self-signed", &["unrecognized option '--tls-self-signed'"]),
        ("proxy --tls-self-signed --tls-cert a", &["makes a certificate; leave out '--tls-cert'"]),
        (
            "proxy --tls-self-signed --client-ca a",
            &["'--client-ca' needs another one; write --tls-cert FILE"],
        ),
        ("echo --tls-cert a", &["unrecognized option '--tls-cert'"]),
        ("origin --tls-self-signed=yes", &["option '--tls-self-signed' takes no value"]),
    ] {
        assert_refused(&line.split_whitespace().collect::<Vec<_>>(), parts);
    }
}

#[test]
fn an_option_that_is_given_twice_or_without_its_value_is_answered_with_what_to_do() {
    for (line, parts) in [
        (
            "proxy --upstream a --upstream b",
            &["option '--upstream' is given 2 times", "write proxy LISTEN=UPSTREAM"][..],
        ),
        (
            "proxy --listen 1 --listen :2 --upstream a:3 --upstream b:4",
            &["write proxy 127.0.0.1:1=a:3 :2=b:4"],
        ),
        ("proxy --upstream a 1=b", &["'--upstream' does not go with '1=b'", "LISTEN=UPSTREAM"]),
        ("proxy -l 1 -l 2 3=b", &["'--listen' does not go with '3=b'", "LISTEN=UPSTREAM"]),
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
    ] {
        assert_refused(&line.split_whitespace().collect::<Vec<_>>(), parts);
    }
}

#[test]
fn what_a_client_or_an_audit_cannot_do_is_answered_with_what_to_do() {
    for (line, parts) in [
        ("client --via a:0", &["'--via' cannot be 'a:0'", "port 0"][..]),
        ("client --body tcp://a:1", &["option '--body' is for http targets, and 'tcp://a:1' is none"]),
        ("client --send x http://a/b", &["option '--send' is for tcp targets, and 'http://a/b' is none"]),
        ("client --file x", &["option '--file' is for tcp targets", "'http://www.google.com/'"]),
        ("audit --self --insecure", &["'--insecure' is about TLS, which is not spoken; write --via-tls"]),
        ("audit --self --tls-max 1.2", &["'--tls-max' is about TLS, which is not spoken; write --via-tls"]),
        ("audit --self --via-tls --tls-max 1.1", &["'--tls-max' cannot be '1.1'", "write 1.2 or 1.3"]),
        ("audit --self --via-tls --tls-name a", &["a certificate of its own; leave out '--tls-name'"]),
        (
            "audit --via 1 --origin 2 --via-tls --cacert a --insecure",
            &["'--cacert' and '--insecure' exclude"],
        ),
        ("audit --via 1 --origin 2 --via-tls --cacert /does/not/exist", &["option '--cacert': cannot read"]),
        ("audit --via 1 --origin 2 --tls-name a.b", &["'--tls-name' is about TLS, which is not spoken"]),
        ("audit --self --via-tls urgent", &["'urgent' cannot be made over TLS"]),
        ("audit --self truncated", &["'truncated' is one of TLS, which is not spoken; write --via-tls"]),
        ("client --send-proxy 2 a", &["'--send-proxy' cannot be '2'", "write v1 or v2"]),
        ("client --file x --send y tcp://a:1", &["'--send' and '--file' exclude each other"]),
        ("client https://a/ --cacert a --insecure", &["'--cacert' and '--insecure' exclude each other"]),
        ("client http://a/ --insecure", &["option '--insecure' is about TLS", "'http://a/'"]),
        ("client tcp://a:1 --cacert b", &["option '--cacert' is about TLS", "'tcp://a:1'"]),
        ("client https://a/ --send b", &["'--send' is for tcp targets", "'https://a/'"]),
        ("client tls://a --body --insecure", &["'--body' is for http targets", "'tls://a:443'"]),
        ("client https://a/ --cacert /does/not/exist", &["option '--cacert': ", "/does/not/exist"]),
    ] {
        assert_refused(&line.split_whitespace().collect::<Vec<_>>(), parts);
    }
}

#[test]
fn a_load_that_cannot_be_made_is_answered_with_what_to_do() {
    for (line, parts) in [
        ("load udp:a:1", &["target cannot be 'udp:a:1': UDP is out of scope"][..]),
        ("load", &["a target is missing; write tcp://host:port"]),
        ("load tcp://a", &["target cannot be 'tcp://a': it names no port"]),
        ("load tcp://a:1 -c 0", &["option '--connections' cannot be '0': it must be at least 1"]),
        ("load tcp://a:1 --size 1.5k", &["'--size' cannot be '1.5k'", "write 64, 16k or 1m"]),
        ("load tcp://a:1 --size 2g", &["it must be at most 1g"]),
        ("load tcp://a:1 --mode slow", &["write pingpong or bulk or churn"]),
        ("load tcp://a:1 --expect all", &["write echo, until-close, or a number of bytes"]),
        ("load tcp://a:1 --send \\q", &["'--send' cannot be '\\q'", "write \\\\ for itself"]),
        ("load http://a/ -X HEAD", &["'--method' cannot be 'HEAD': its answer has no body"]),
        ("load http://a/ -H x", &["'--header' cannot be 'x': write a name and a value"]),
        ("load http://a/ -H Content-Length:5", &["the length of the body is ours to say"]),
        ("load tcp://a:1 -d x", &["option '--data' is for http targets, and 'tcp://a:1' is none"]),
        ("load tcp://a:1 --report pdf=x", &["'--report' cannot be 'pdf=x'", "write junit=FILE"]),
        ("load tcp://a:1 --report junit=", &["it names no file"]),
        ("load tcp://a:1 --fail-if p98>1ms", &["'--fail-if' cannot be 'p98>1ms': 'p98' is no figure"]),
        (
            "load tcp://a:1 --fail-if p99>110%",
            &["'--fail-if p99>110%' needs an older run; write --compare FILE"],
        ),
        ("load tcp://a:1 --rate 0", &["'--rate' cannot be '0'", "at least 1"]),
        ("load tcp://a:1 --duration 0s", &["it is zero; write off"]),
        ("load tcp://a:1 --size 1 --send x", &["'--size', '--send' and '--file' exclude each other"]),
        ("load tcp://a:1 --size 0", &["a request of no bytes has no answer to wait for"]),
        ("load tcp://a:1 --mode bulk --expect until-close", &["write --mode churn, not bulk"]),
        ("load http://a/ --size 5", &["option '--size' is for tcp targets, and 'http://a/' is none"]),
        ("load http://a/ --mode bulk", &["option '--mode=bulk' is for tcp targets"]),
        ("load http://a/ --half-close", &["option '--half-close' is for tcp targets"]),
        ("load https://a/ --size 1", &["'--size' is for tcp targets", "'https://a/'"]),
        ("load tls://a -X PUT", &["'--method' is for http targets", "'tls://a:443'"]),
        ("load tcp://a:1 --tls-resume", &["option '--tls-resume' is about TLS", "'tcp://a:1'"]),
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
        ("--stall-timeout", "101years", "more than 100 years"),
        ("--stall-timeout", "18446744073709551615s1000ms", "too long"),
        ("--stall-timeout", "never", "not a duration; write 250ms"),
        ("--stall-timeout", "-5s", "not a duration"),
        ("--stall-timeout", "", "not a duration"),
        ("--max-sessions", "0", "at least 1"),
        ("--max-sessions", "off", "not a whole number"),
        ("--max-per-source", "0", "write off for no limit"),
        ("--source-prefix", "0", "at least 1"),
        ("--source-prefix", "129", "at most 128"),
        ("--source-prefix", "/64", "write one from 1 to 128"),
        ("--backlog", "0", "at least 1"),
        ("--backlog", "+5", "not a whole number"),
        ("--backlog", "99999999999999999999", "at most"),
        ("--dump-limit", "1k", "not a whole number"),
        ("--dump-limit", "1048577", "at most 1048576"),
        ("--remember", "1000001", "at most 1000000"),
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
    let limit = SourceLimit { sessions: 1, prefix: 64 };
    assert_eq!(server("proxy --max-per-source 1").max_per_source, Some(limit));
    assert_eq!(server("proxy --metrics off").metrics, None);
    assert_eq!(server("proxy --agent off").agent, None);
}

#[test]
fn an_echoed_value_cannot_control_a_terminal_or_flood_it() {
    let Usage(line) = parse_words(&["proxy", "--log", "\u{1b}[2J\n\u{202e}\u{9b}"]).unwrap_err();
    assert!(line.contains(r"'\x1b[2J\n\u{202e}\u{9b}'"), "{line}");
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
    let Usage(line) = parse(words, []).unwrap_err();
    assert!(line.contains("argument 'a\u{fffd}\\n' is not UTF-8"), "{line}");
}

/// A word that comes close to a right one, or anything.
fn word() -> impl Strategy<Value = OsString> {
    let flags: Vec<&str> = COMMANDS
        .iter()
        .chain([&"audit", &"load"])
        .flat_map(|name| find(name).unwrap().flags.iter().map(|flag| flag.long))
        .chain(["--", "-", "-h", "help", "off"])
        .collect();
    let flag = prop::sample::select(flags).boxed();
    let value = prop_oneof![
        "[0-9]{1,22}(ns|us|ms|s|m|h|d|y|M|w)?([0-9.]{1,12}(ms|s|y))?",
        "(http://|tcp://|unix:|\\[)?[a-z0-9:.\\[\\]/?#@ %é\"<>^`{}|\\\\]{0,30}",
        "[0-9s/]{0,12}",
        ".{0,20}",
    ]
    .boxed();
    prop_oneof![
        flag.clone().prop_map(OsString::from),
        value.clone().prop_map(OsString::from),
        (flag, value).prop_map(|(flag, value)| format!("{flag}={value}").into()),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(OsString::from_vec),
    ]
}

proptest! {
    #[test]
    fn no_command_line_panics_and_what_is_refused_fits_one_line(
        command in prop::sample::select([&COMMANDS[..], &["audit", "load"]].concat()),
        mut words in prop::collection::vec(word(), 0..6),
        named in prop::bool::weighted(0.9),
    ) {
        if named {
            words.insert(0, command.into());
        }
        match parse(words, []) {
            Err(Usage(line)) => {
                prop_assert!(!line.contains(char::is_control) && safe(&line) == line, "{line:?}");
                prop_assert!(line.contains("; try 'switchboard"), "{line:?}");
            }
            Ok(Parsed::Run(Config::Client(client))) => {
                if let Target::Http { host, path, .. } = client.target {
                    prop_assert!(path.parse::<hyper::Uri>().is_ok_and(|uri| uri.path().starts_with('/')), "{path:?}");
                    prop_assert!(hyper::header::HeaderValue::from_str(&host).is_ok(), "{host:?}");
                }
            }
            Ok(_) => {}
        }
    }

    #[test]
    fn every_way_to_write_an_option_means_the_same(value in "[ -~]{0,20}") {
        let joined = parse_words(&["client", "tcp://a:1", &format!("--send={}", value.replace('\\', r"\\"))]);
        let expected = Input::Text(value.into());
        prop_assert!(matches!(joined, Ok(Parsed::Run(Config::Client(client))) if client.input == expected));
    }
}
