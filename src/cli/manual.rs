//! Manual pages (groff_man(7)), made from the parser's declarations and the topics of the help.

use crate::{
    cli::{
        commands::{CommandInfo, commands},
        help,
    },
    text::{
        markdown::{roff, roff_code, roff_line},
        topics::{self, TOPICS, Topic},
    },
};

const ABOUT: &str = "a TCP multiplexer that ends connections exactly as a direct one would";

/// switchboard(1).
pub fn program() -> String {
    let mut page = head("switchboard", 1, ABOUT);
    page += ".SH SYNOPSIS\n.B switchboard\n.I COMMAND\n[OPTIONS]\n.SH COMMANDS\n";
    for command in commands() {
        let name = format!("switchboard\\-{}(1)", roff_line(command.name));
        page += &format!(".TP\n.B {name}\n{}\n", roff_line(command.description));
    }
    page += ".SH TOPICS\n";
    for topic in TOPICS.iter().filter(|topic| commands().iter().all(|command| command.name != topic.name)) {
        page +=
            &format!(".TP\n.B switchboard\\-{}(7)\n{}\n", roff_line(topic.name), roff_line(topic.title()));
    }
    page + &examples(commands().iter().filter_map(|command| command.examples.first().copied()))
}

/// switchboard-proxy(1), with the topic of the same name.
pub fn command(command: &CommandInfo) -> String {
    let mut page = head(&format!("switchboard-{}", command.name), 1, command.description);
    page += &format!(".SH SYNOPSIS\n.B switchboard {}\n[OPTIONS]", roff_line(command.name));
    for operand in command.positionals {
        page += &format!(" {}", roff_line(&help::usage(operand)));
    }
    page += "\n.SH OPTIONS\n";
    for operand in command.positionals {
        page += &format!(".TP\n.I {}\n{}\n", roff_line(operand.name), roff_line(operand.description));
    }
    for (title, options) in help::groups(command) {
        page += &format!(".SS {title}\n");
        for option in options {
            let name = roff_line(help::name(option).trim());
            page += &format!(".TP\n.B {name}\n{}\n", roff_line(&help::short(option.description)));
        }
    }
    page += ".SH NOTES\n";
    page += &roff_code(&command.notes.iter().map(|note| (*note).to_owned()).collect::<Vec<_>>());
    if let Some(topic) = topics::find(command.name) {
        page += &description(topic);
    }
    page + &examples(command.examples.iter().copied()) + ".SH SEE ALSO\n.BR switchboard (1)\n"
}

/// switchboard-events(7).
pub fn topic(topic: Topic) -> String {
    let page = head(&format!("switchboard-{}", topic.name), 7, topic.title());
    page + &description(topic) + ".SH SEE ALSO\n.BR switchboard (1)\n"
}

fn description(topic: Topic) -> String {
    let (_, text) = topic.text.split_once('\n').unwrap_or_default();
    format!(".SH DESCRIPTION\n{}", roff(text))
}

/// The title and the name. The version tells the date of the source.
fn head(name: &str, section: u8, about: &str) -> String {
    let (title, name) = (roff_line(&name.to_uppercase()), roff_line(name));
    let version = roff_line(help::version().trim_end());
    format!(".TH {title} {section} \"\" \"{version}\"\n.SH NAME\n{name} \\- {}\n", roff_line(about))
}

fn examples<'a>(examples: impl Iterator<Item = &'a str>) -> String {
    format!(".SH EXAMPLES\n{}", roff_code(&examples.map(str::to_owned).collect::<Vec<_>>()))
}
