//! The help, made from the parser's declarations.

use super::commands::CommandInfo;

/// Descriptions begin here; the longest name with its value ends before.
const COLUMN: usize = 30;

pub fn version() -> String {
    format!("switchboard {}\n", env!("CARGO_PKG_VERSION"))
}

/// The program's help.
pub fn overview(commands: &[CommandInfo]) -> String {
    let mut text = version() + "A TCP multiplexer that ends connections exactly as a direct one would.\n";
    text += "\nUsage: switchboard COMMAND [OPTIONS]\n\nCommands:\n";
    for command in commands {
        text += &row(command.name, command.description);
    }
    text += "\nOptions:\n";
    text += &row("--help", "show this text; after a command, that command's options");
    text += &row("--version", "show the version");
    let examples = commands.iter().filter_map(|command| command.examples.first());
    text + "\nExamples:\n" + &examples.map(|example| format!("  {example}\n")).collect::<String>()
}

/// The help of one command.
pub fn command(command: &CommandInfo) -> String {
    let operands: String = command.positionals.iter().map(|operand| format!(" {}", usage(operand))).collect();
    let mut text = format!("switchboard {}: {}\n\n", command.name, command.description);
    text += &format!("Usage: switchboard {} [OPTIONS]{operands}\n\n", command.name);
    for operand in command.positionals {
        text += &row(operand.name, operand.description);
    }
    let (help, options) =
        command.flags.split_first().expect("argh puts --help before a command's own options");
    for option in options {
        let value = match option.kind {
            argh::FlagInfoKind::Switch => String::new(),
            argh::FlagInfoKind::Option { arg_name } => format!(" {arg_name}"),
        };
        text += &row(&format!("{}{value}", option.long), option.description);
    }
    text += &row(help.long, "show this text");
    text.push('\n');
    text.extend(command.notes.iter().map(|note| format!("{note}\n")));
    text += "\nExamples:\n";
    text.extend(command.examples.iter().map(|example| format!("  {example}\n")));
    text
}

/// An operand: in brackets if there is a default, with dots if it may repeat.
fn usage(operand: &argh::PositionalInfo<'_>) -> String {
    let dots = if operand.optionality == argh::Optionality::Repeating { "…" } else { "" };
    let name = format!("{}{dots}", operand.name);
    if operand.description.contains("(default ") { format!("[{name}]") } else { name }
}

fn row(name: &str, description: &str) -> String {
    format!("  {name:width$}{description}\n", width = COLUMN - 2)
}
