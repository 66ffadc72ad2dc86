//! The topics of the help and the code, in both directions: what there is is documented, and nothing else.

use super::{find, parse_words, printed};
use crate::{
    cli::{Parsed, commands},
    control::protocol::{Named, Setting},
    report::format::{Dump, Format, Log},
    server::plan,
    session::{
        cause::Cause,
        event::{Close, Event, FaultEvent, What},
        faults::{
            fault::FaultStream,
            kind::{AttributeUnit, FaultKind},
        },
        group::Change,
        health::Health,
        introduction::Introduced,
        record::{Record, Selection, Tried},
        target::Target,
    },
    text::topics::{self, TOPICS},
    tools::{audit, failure::Fault},
};
use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};
use strum::VariantArray;

fn text(topic: &str) -> &'static str {
    topics::find(topic).unwrap_or_else(|| panic!("there is no topic {topic}")).text
}

/// What stands between backticks in a text, blocks of code left out.
fn code(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|prose| prose.split('`').skip(1).step_by(2)).collect()
}

/// The first cells of the tables of a text, each with its row.
fn rows(text: &str) -> Vec<(&str, &str)> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    rows.filter_map(|row| Some((row.split(" |").next()?, row)))
        .filter(|(cell, _)| cell.contains('`'))
        .collect()
}

/// The words of a text that look like long options.
fn options(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let words = text.split(|c: char| !is_part(c));
    words
        .filter(|word| word.len() > 3 && word.starts_with("--") && !word.starts_with("---"))
        .map(str::to_owned)
        .collect()
}

/// The topic that documents the options of a command.
fn topic_of_options(command: &str) -> &'static str {
    match command {
        "echo" | "proxy" | "run" | "faults" | "origin" | "client" => "flags",
        "check" | "explain" => "configuration",
        "ctl" => "control",
        "top" => "top",
        "audit" => "audit",
        "load" => "load",
        _ => "print",
    }
}

#[test]
fn every_option_is_documented() {
    for command in commands::commands() {
        let documented = options(text(topic_of_options(command.name)));
        for flag in command.flags {
            let is_general = flag.long == "--help";
            assert!(documented.contains(flag.long) || is_general, "{} {}", command.name, flag.long);
        }
    }
    assert!(["--help", "--version"].iter().all(|flag| options(text("flags")).contains(*flag)));
}

#[test]
fn a_documented_option_exists() {
    let commands = commands::commands();
    let mut known: BTreeSet<&str> =
        commands.iter().flat_map(|command| command.flags.iter().map(|flag| flag.long)).collect();
    // `--flag` stands for any.
    known.extend(["--version", "--flag"]);
    // Of other programs, in recipes.
    known.extend(["--network", "--now", "--fdname"]);
    for topic in TOPICS {
        for option in options(topic.text) {
            assert!(known.contains(&*option), "{option} of topic {}", topic.name);
        }
    }
}

#[test]
fn the_documented_default_of_an_option_is_its_default() {
    let proxy = find("proxy").unwrap();
    let mut stated = 0;
    for (cell, row) in rows(text("flags")) {
        let Some((_, default)) = row.rsplit_once("(default ") else { continue };
        let default = default.split(')').next().unwrap();
        for name in options(cell) {
            let Some(flag) = proxy.flags.iter().find(|flag| flag.long == name) else { continue };
            let declared =
                flag.description.rsplit_once("(default ").map_or("", |(_, rest)| rest.trim_end_matches(')'));
            if declared.starts_with("from ") || name == "--listen" {
                continue;
            }
            assert_eq!(default.split(',').next(), Some(declared), "{name}");
            stated += 1;
        }
    }
    assert!(stated > 12, "{stated} defaults found");
}

#[test]
fn every_cause_is_documented_and_no_other() {
    let known: BTreeSet<&str> = Cause::VARIANTS.iter().map(|cause| cause.name()).collect();
    let table = text("closing").lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what"));
    let cells = table.filter_map(|line| line.split(" | ").nth(1));
    let documented: BTreeSet<&str> = cells.flat_map(code).collect();
    assert_eq!(documented, known);
}

#[test]
fn every_exit_code_is_documented_and_no_other() {
    let faults = [
        Fault::Input,
        Fault::Resolve,
        Fault::Connect,
        Fault::Malformed,
        Fault::Truncated,
        Fault::Output,
        Fault::Timeout,
        Fault::Reset,
        Fault::Handshake,
        Fault::Untrusted,
        Fault::Internal,
    ];
    // 0: it went well; 3: cut, or the proxy to audit cannot be reached.
    let known: BTreeSet<u8> = faults.map(Fault::code).into_iter().chain([0, 3]).collect();
    let rows = text("exit-codes").lines().filter_map(|line| line.strip_prefix("| "));
    let documented: BTreeSet<u8> = rows.filter_map(|row| row.split(' ').next()?.parse().ok()).collect();
    assert_eq!(documented, known);
    // A help states those of its command.
    for (command, column) in
        [("echo", 1), ("proxy", 1), ("origin", 1), ("client", 2), ("load", 3), ("audit", 4)]
    {
        let help = find(command).unwrap().notes.join(" ");
        let (_, stated) = help.split_once("Exit: ").unwrap();
        let rows =
            text("exit-codes").lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |"));
        let documented = rows.filter_map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            (!cells[column].is_empty()).then(|| cells[0].to_owned())
        });
        for number in documented {
            // 1 of a client is a fault in this program, which no user plans for; 28 and 56 of a load are errors it counts.
            let is_stated = stated.split([' ', ',']).any(|word| word == number);
            assert!(is_stated || number == "1", "{command}: {number} is not in {stated:?}");
        }
    }
}

/// The keys of the events that `format` makes of `what`.
fn keys(dump: Dump, what: What) -> Vec<String> {
    let mut line = String::new();
    let format = Format { log: Log::Json, dump, ..Format::default() };
    format.line(&Event { at: SystemTime::now(), what }, &mut line);
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
    object.keys().cloned().collect()
}

#[test]
fn every_key_of_an_event_is_documented_and_no_other() {
    let record = Record::sample(1, Target::Origin);
    let (client, listener) = (record.client.clone(), record.local.clone());
    let data = || What::Data {
        session: 1,
        from: crate::session::event::Side::Client,
        offset: 0,
        bytes: 9,
        shown: b"a"[..].into(),
    };
    let mut made: BTreeSet<String> = BTreeSet::from(["lines".to_owned()]);
    made.extend(keys(
        Dump::Off,
        What::Open {
            session: 1,
            mode: record.mode(),
            listener,
            client: client.clone(),
            name: Some("a".into()),
            source: Some(client.clone()),
        },
    ));
    let connect = What::Connect {
        session: 1,
        upstream: client,
        upstream_name: "a:1".into(),
        resolve: None,
        connect: Duration::ZERO,
        choice: Some(Box::new(Selection {
            route: Some("a".into()),
            upstream_group: Some("a".into()),
            server: Some("a".into()),
            why: Some("a".into()),
            tried: vec![Tried { server: "a".into(), error: "a".into(), ms: 0.0 }],
        })),
        introduced: Some(Box::new(Introduced {
            source: Some("a".into()),
            sni: Some("a".into()),
            alpn: Some("a".into()),
            tls: Some("a".into()),
        })),
    };
    let server = What::Server { group: "a".into(), server: "a".into(), change: Change::Up };
    made.extend(keys(Dump::Off, server));
    made.extend(keys(Dump::Off, connect));
    made.extend(keys(Dump::Text, data()));
    made.extend(keys(Dump::Hex, data()));
    let fault = FaultEvent {
        session: Some(1),
        listener: "a".into(),
        fault: "a".into(),
        kind: FaultKind::Latency,
        stream: FaultStream::Upstream,
        did: "hit",
    };
    made.extend(keys(Dump::Off, What::Fault(Box::new(fault))));
    let step = What::Step { step: 1, listener: None, did: "reset".into(), error: None };
    made.extend(keys(Dump::Off, step));
    let close = Close { fault: Some("a".into()), ..record.close() };
    made.extend(keys(Dump::Off, What::Close(Box::new(close))));
    let documented: BTreeSet<String> =
        rows(text("events")).into_iter().flat_map(|(cell, _)| code(cell)).map(str::to_owned).collect();
    assert_eq!(documented, made);
}

/// The verbs of `ctl` that its topic lists: the first word of a row.
fn documented_verbs() -> BTreeSet<&'static str> {
    let (_, table) = text("control").split_once("| command |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let cells = rows(table).into_iter().flat_map(|(cell, _)| code(cell));
    cells
        .filter_map(|code| code.split(' ').next())
        .filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()))
        .collect()
}

/// The verbs that `ctl` says it knows.
fn known_verbs() -> BTreeSet<String> {
    let refused = parse_words(&["ctl", "no-such-verb"]).unwrap_err().to_string();
    let (_, list) = refused.split_once("; write ").unwrap();
    let (list, _) = list.split_once("; try").unwrap();
    list.replace(" or ", ", ").split(", ").map(str::to_owned).collect()
}

#[test]
fn every_verb_of_ctl_is_documented_and_no_other() {
    let documented: BTreeSet<String> = documented_verbs().into_iter().map(str::to_owned).collect();
    assert_eq!(documented, known_verbs());
    let help = find("ctl").unwrap().notes.join("\n");
    for verb in known_verbs() {
        assert!(help.contains(&verb), "{verb} is not in the help of ctl");
    }
    // What can be set are options of a server.
    let proxy = find("proxy").unwrap();
    for setting in Setting::VARIANTS {
        let option = format!("--{}", Named::Known(setting));
        assert!(proxy.flags.iter().any(|flag| flag.long == option), "{option}");
    }
}

#[test]
fn every_health_is_documented_and_no_other() {
    let (_, table) = text("control").split_once("| health |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let documented: Vec<&str> = rows(table).into_iter().flat_map(|(cell, _)| code(cell)).collect();
    let known: Vec<&str> = Health::VARIANTS.iter().map(|health| health.name()).collect();
    assert_eq!(documented, known);
}

/// The unit of an attribute as the topic has it.
fn unit(unit: AttributeUnit) -> &'static str {
    match unit {
        AttributeUnit::Bits => "bits",
        AttributeUnit::Flag => "0/1",
        other => other.name(),
    }
}

#[test]
fn every_kind_of_fault_is_documented_with_its_attributes_and_no_other() {
    let (_, table) = text("faults").split_once("| kind |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let documented: Vec<(String, String)> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            assert!(cells.len() == 4 && cells[2..].iter().all(|cell| cell.len() > 10), "{row}");
            (cells[0].replace('`', ""), cells[1].replace('`', ""))
        })
        .collect();
    let attributes = |kind: &FaultKind| {
        let all = kind.page().attributes.iter().map(|one| format!("{} {}", one.name, unit(one.unit)));
        all.collect::<Vec<_>>().join(", ")
    };
    let known = FaultKind::VARIANTS.iter().map(|kind| (kind.name().to_owned(), attributes(kind)));
    assert_eq!(documented, known.collect::<Vec<_>>());
    // What ctl takes of a scope and a schedule is there, too.
    let documented = options(text("faults"));
    for option in [
        "--share",
        "--from",
        "--session",
        "--skip",
        "--every",
        "--count",
        "--after",
        "--for",
        "--on",
        "--off",
    ] {
        assert!(documented.contains(option), "{option}");
    }
}

#[test]
fn every_check_and_verdict_of_an_audit_is_documented() {
    let documented = text("audit");
    for name in audit::names() {
        let begin = name.rsplit_once('-').map_or(name, |(_, end)| end);
        assert!(documented.contains(name) || documented.contains(&format!("-{begin}`")), "{name}");
    }
}

#[test]
fn every_command_and_every_topic_is_listed() {
    let modes = text("modes");
    for command in commands::commands() {
        assert!(modes.contains(&format!("| `{}` |", command.name)), "{}", command.name);
    }
    let help = printed("help");
    for topic in TOPICS {
        assert!(help.contains(&format!("\n  {} ", topic.name)), "{}", topic.name);
        assert!(topic.text.starts_with("# ") && !topic.title().is_empty(), "{}", topic.name);
        assert!(help.contains(topic.title()), "{} is too long for its line", topic.title());
    }
    let line = |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    let listed = help.split("Topics:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names: Vec<String> = listed.lines().map(|row| line(row)[0].clone()).collect();
    assert_eq!(names, TOPICS.map(|topic| topic.name));
}

#[test]
fn a_topic_fits_80_columns_but_for_what_a_program_printed() {
    for topic in TOPICS {
        let page = printed(&format!("help {}", topic.name));
        for line in page.lines().filter(|line| !line.starts_with("  ")) {
            assert!(line.chars().count() <= 80, "{}: {line}", topic.name);
        }
        assert!(
            !page.contains('`') && !page.contains("**") && !page.contains("|--"),
            "{}: {page}",
            topic.name
        );
    }
}

#[test]
fn a_command_in_a_topic_can_be_given() {
    let mut found = 0;
    for topic in TOPICS {
        let blocks = topic.text.split("```").skip(1).step_by(2).flat_map(str::lines);
        let inline = code(topic.text).into_iter();
        for line in blocks.chain(inline) {
            let line = line.trim().trim_start_matches("$ ");
            // The first line of a screen of `top` is none.
            let Some(words) = line.strip_prefix("switchboard ").filter(|words| !words.contains(" pid "))
            else {
                continue;
            };
            // What the shell does with it.
            let end = [" |", " >", ";", " &", " \\"].into_iter().filter_map(|sign| words.find(sign)).min();
            let words = words[..end.unwrap_or(words.len())].replace('\'', "");
            let words: Vec<&str> = words.split_whitespace().collect();
            let is_name = words.len() == 1 && !commands::serves(words[0]);
            if is_name
                || words
                    .iter()
                    .any(|word| word.chars().any(|c| c.is_ascii_uppercase()) || word.contains(['[', '…']))
            {
                continue;
            }
            assert!(
                parse_words(&words).is_ok(),
                "{}: {line}: {:?}",
                topic.name,
                parse_words(&words).map(|_| ())
            );
            found += 1;
        }
    }
    assert!(found > 20, "only {found} commands");
}

#[test]
fn an_unknown_topic_is_answered_with_the_nearest() {
    for (name, part) in [
        ("event", "did you mean 'events'?"),
        ("xyzzy", "the topics are modes, flags,"),
        ("ech", "did you mean 'echo'?"),
    ] {
        let refused = parse_words(&["help", name]).unwrap_err().to_string();
        assert!(refused.contains(part), "{refused}");
    }
}

#[test]
fn files_for_the_system_are_printed() {
    let text = |line: &str| match parse_words(&line.split(' ').collect::<Vec<_>>()) {
        Ok(Parsed::Print(text)) => text,
        other => panic!("{line}: {other:?}"),
    };
    for command in commands::commands() {
        let page = text(&format!("print man {}", command.name));
        assert!(page.starts_with(".TH SWITCHBOARD"), "{page}");
        for flag in command.flags {
            assert!(page.contains(&flag.long.replace('-', "\\-")), "{}", flag.long);
        }
        for shell in ["bash", "zsh", "fish"] {
            let script = text(&format!("print completions {shell}"));
            for flag in command.flags {
                let name = if shell == "fish" { flag.long.trim_start_matches('-') } else { flag.long };
                assert!(script.contains(name), "{shell}: {name}");
            }
        }
    }
    for topic in TOPICS {
        // The page of a command holds the topic of its name.
        let page = text(&format!("print man {}", topic.name));
        assert!(page.contains(".SH DESCRIPTION"), "{}", topic.name);
    }
    let unit = text("print systemd");
    let has = |unit: &str, line: &str| unit.lines().any(|other| other == line);
    let run = "ExecStart=/usr/local/bin/switchboard run /etc/switchboard.toml";
    for line in [run, "NotifyAccess=all", "FileDescriptorStoreMax=64", "SuccessExitStatus=3"] {
        assert!(has(&unit, line), "{line}");
    }
    let seconds = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    assert!(Duration::from_secs(seconds.parse().unwrap()) > plan::DRAIN_TIMEOUT);
    assert!(has(&unit, "Type=notify-reload") && !unit.contains("ExecReload"));
    let compat = text("print systemd --compat");
    assert!(has(&compat, "Type=notify") && has(&compat, "ExecReload=/bin/kill -HUP $MAINPID"));
    for line in [
        "print",
        "print nothing",
        "print man nothing",
        "print completions",
        "print completions csh",
        "print systemd x",
        "print kubernetes x",
        "print kubernetes --compat",
        "print man --compat",
        "print --compat",
    ] {
        assert!(parse_words(&line.split(' ').collect::<Vec<_>>()).is_err(), "{line}");
    }
}
