//! The help, made from the parser's declarations.

use super::commands::CommandInfo;
use std::fmt::Write;

/// Descriptions begin here; the longest name with its value ends before.
const COLUMN: usize = 30;

/// The name and version of the program.
pub fn version() -> String {
    format!("switchboard {}\n", env!("CARGO_PKG_VERSION"))
}

/// The program's help.
pub fn overview(commands: &[CommandInfo]) -> String {
    let mut text = version();
    text.push_str("A TCP multiplexer that ends connections exactly as a direct one would.\n");
    text.push_str("\nUsage: switchboard COMMAND [OPTIONS]\n\nCommands:\n");
    for command in commands {
        row(&mut text, command.name, command.description);
    }
    text.push_str("\nOptions:\n");
    row(&mut text, "--help", "show this text; after a command, that command's options");
    row(&mut text, "--version", "show the version");
    text.push_str("\nExamples:\n");
    for example in commands.iter().filter_map(|command| command.examples.first()) {
        line(&mut text, format_args!("  {example}"));
    }
    text
}

/// The help of one command.
pub fn command(command: &CommandInfo) -> String {
    let mut text = format!("switchboard {}: {}\n\n", command.name, command.description);
    let operands: String = command.positionals.iter().map(|operand| format!(" {}", usage(operand))).collect();
    line(&mut text, format_args!("Usage: switchboard {} [OPTIONS]{operands}\n", command.name));
    for operand in command.positionals {
        row(&mut text, operand.name, operand.description);
    }
    let (help, options) =
        command.flags.split_first().expect("argh puts --help before a command's own options");
    for option in options.iter().chain([help]) {
        let value = match option.kind {
            argh::FlagInfoKind::Switch => String::new(),
            argh::FlagInfoKind::Option { arg_name } => format!(" {arg_name}"),
        };
        let description = if option.long == help.long { "show this text" } else { option.description };
        row(&mut text, &format!("{}{value}", option.long), description);
    }
    text.push('\n');
    for note in command.notes {
        line(&mut text, format_args!("{note}"));
    }
    text.push_str("\nExamples:\n");
    for example in command.examples {
        line(&mut text, format_args!("  {example}"));
    }
    text
}

/// An operand: in brackets if there is a default, with dots if it may repeat.
fn usage(operand: &argh::PositionalInfo<'_>) -> String {
    let dots = if operand.optionality == argh::Optionality::Repeating { "…" } else { "" };
    let name = format!("{}{dots}", operand.name);
    if operand.description.contains("(default ") { format!("[{name}]") } else { name }
}

fn row(text: &mut String, name: &str, description: &str) {
    line(text, format_args!("  {name:width$}{description}", width = COLUMN - 2));
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    writeln!(text, "{content}").expect("a String takes all that is written to it");
}
