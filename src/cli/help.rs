//! The help, made from the parser's declarations.

use super::commands::CommandInfo;
use crate::text::{
    markdown,
    topics::{TOPICS, Topic},
    wrap::{WIDTH, wrap, wrap_row},
};
use argh::{FlagInfo, FlagInfoKind};

/// Descriptions of options begin here; a longer name has a line to itself.
const COLUMN: usize = 33;
/// The same of commands and topics.
const NAME_COLUMN: usize = 18;

/// The options of a help in groups: title, and names. What is in none of them stands first.
const GROUPS: [(&str, &[&str]); 7] = [
    (
        "Listening",
        &[
            "--listen",
            "--max-sessions",
            "--max-per-source",
            "--source-prefix",
            "--allow",
            "--deny",
            "--accept-proxy",
            "--accept-rate",
            "--backlog",
        ],
    ),
    (
        "Upstream",
        &["--upstream", "--via", "--origin", "--self", "--resolve", "--connect-timeout", "--send-proxy"],
    ),
    (
        "TLS",
        &[
            "--tls-cert",
            "--tls-key",
            "--client-ca",
            "--tls-self-signed",
            "--cacert",
            "--insecure",
            "--tls-resume",
            "--via-tls",
            "--tls-max",
            "--tls-name",
            "--upstream-tls",
            "--upstream-ca",
            "--upstream-name",
        ],
    ),
    (
        "Request",
        &[
            "--connections",
            "--parallel",
            "--repeat",
            "--requests",
            "--duration",
            "--mode",
            "--size",
            "--send",
            "--file",
            "--method",
            "--header",
            "--data",
            "--expect",
            "--half-close",
            "--rate",
        ],
    ),
    (
        "Limits",
        &[
            "--idle-timeout",
            "--half-close-timeout",
            "--stall-timeout",
            "--handshake-timeout",
            "--max-lifetime",
            "--drain-timeout",
            "--drain-delay",
            "--timeout",
            "--idle",
        ],
    ),
    (
        "Output",
        &[
            "--log",
            "--dump",
            "--dump-limit",
            "--metrics",
            "--agent",
            "--control",
            "--group",
            "--remember",
            "--verbose",
            "--body",
            "--json",
            "--html",
            "--report",
            "--fail-if",
            "--compare",
        ],
    ),
    (
        "Advanced",
        &[
            "--keepalive",
            "--congestion",
            "--splice",
            "--busy-poll",
            "--warmup",
            "--connect-rate",
            "--threads",
        ],
    ),
];

/// With the commit that was built, and its date.
pub fn version() -> String {
    format!("switchboard {}\n", env!("SWITCHBOARD_VERSION"))
}

/// The program's help.
pub fn overview(commands: &[CommandInfo]) -> String {
    let mut text = version() + "A TCP multiplexer that ends connections exactly as a direct one would.\n";
    text += "\nUsage: switchboard COMMAND [OPTIONS]\n\nCommands:\n";
    for command in commands {
        text += &row(&format!("  {}", command.name), NAME_COLUMN, command.description);
    }
    text += &row("  help", NAME_COLUMN, "this text; of a command, its options; of a topic, all of it");
    text += "\nTopics:\n";
    for topic in TOPICS {
        text += &row(&format!("  {}", topic.name), NAME_COLUMN, topic.title());
    }
    text += "\nOptions:\n";
    text += &row("  -h, --help", COLUMN, "show this text; after a command, its options");
    text += &row("  -V, --version", COLUMN, "show the version");
    // A command alone is no example.
    let examples = commands.iter().filter_map(|command| command.examples.first());
    let examples = examples.filter(|example| example.split(' ').count() > 2);
    text + "\nExamples:\n" + &examples.map(|example| format!("  {example}\n")).collect::<String>()
}

/// A topic in depth.
pub fn topic(topic: Topic) -> String {
    markdown::terminal(topic.text)
}

/// The help of one command.
pub fn command(command: &CommandInfo) -> String {
    let operands: String = command.positionals.iter().map(|operand| format!(" {}", usage(operand))).collect();
    let title = format!("switchboard {}: {}", command.name, command.description);
    let mut text = wrap(&title, WIDTH, 2).join("\n") + "\n\n";
    text += &format!("Usage: switchboard {} [OPTIONS]{operands}\n", command.name);
    if !command.positionals.is_empty() {
        text.push('\n');
    }
    for operand in command.positionals {
        text += &row(&format!("  {}", operand.name), COLUMN, &short(operand.description));
    }
    for (title, options) in groups(command) {
        text += &format!("\n{title}:\n");
        for option in options {
            text += &row(&name(option), COLUMN, &short(option.description));
        }
    }
    text.push('\n');
    for note in command.notes {
        text.extend(wrap_row(note, WIDTH).into_iter().map(|line| line + "\n"));
    }
    text += "\nExamples:\n";
    text.extend(command.examples.iter().map(|example| format!("  {example}\n")));
    text
}

/// The options of a command in their groups, in the order of their declaration. `--help` comes last.
pub fn groups(command: &CommandInfo) -> Vec<(&'static str, Vec<&'static FlagInfo<'static>>)> {
    let (help, options) =
        command.flags.split_first().expect("argh puts --help before a command's own options");
    let title = |option: &FlagInfo<'_>| {
        GROUPS.iter().find(|(_, names)| names.contains(&option.long)).map_or("Options", |(title, _)| title)
    };
    let titles = ["Options"].into_iter().chain(GROUPS.map(|(title, _)| title));
    let of_title =
        |wanted| (wanted, options.iter().filter(|option| title(option) == wanted).collect::<Vec<_>>());
    let mut groups: Vec<_> = titles.map(of_title).filter(|(_, options)| !options.is_empty()).collect();
    match groups.last_mut() {
        Some((_, options)) => options.push(help),
        None => groups.push(("Options", vec![help])),
    }
    groups
}

/// `-l, --listen ADDR`.
pub fn name(option: &FlagInfo<'_>) -> String {
    let short = match option.short {
        Some(letter) => format!("-{letter}, "),
        None if option.long == "--help" => "-h, ".to_owned(),
        None => "    ".to_owned(),
    };
    let value = match option.kind {
        FlagInfoKind::Switch => String::new(),
        FlagInfoKind::Option { arg_name } => format!(" {arg_name}"),
    };
    format!("  {short}{}{value}", option.long)
}

/// A description with its default in brackets.
pub fn short(description: &str) -> String {
    let parts = description.split_once(" (default ").map(|(text, rest)| (text, rest.strip_suffix(')')));
    match parts {
        Some((text, Some(default))) => format!("{text} [{default}]"),
        // argh's own.
        _ if description == "display usage information" => "show this text".to_owned(),
        _ => description.to_owned(),
    }
}

/// An operand: in brackets if there is a default, with dots if it may repeat.
pub fn usage(operand: &argh::PositionalInfo<'_>) -> String {
    let is_optional = operand.description.contains("(default ") || operand.name == "LISTEN=UPSTREAM";
    let dots = if operand.optionality == argh::Optionality::Repeating { "..." } else { "" };
    let name = format!("{}{dots}", operand.name);
    if is_optional { format!("[{name}]") } else { name }
}

/// A name, and its description beside it in lines that fit.
fn row(name: &str, column: usize, description: &str) -> String {
    let mut text = String::new();
    let mut lines = wrap(description, WIDTH - column, 0).into_iter();
    if name.chars().count() + 2 > column {
        text += &format!("{name}\n");
    } else {
        text += &format!("{name:column$}{}\n", lines.next().unwrap_or_default());
    }
    text.extend(lines.map(|line| format!("{:column$}{line}\n", "")));
    text
}
