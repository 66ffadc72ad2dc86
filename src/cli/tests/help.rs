//! The help and the version.

use super::*;
use crate::cli::help;

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
            if !["client", "top"].contains(&command) || !line.contains("--log") {
                assert_eq!(printed(&line.replace("CMD", command)), help, "{line}");
            }
        }
    }
}

#[test]
fn a_help_fits_a_screen_and_ends_in_examples_that_work() {
    let help = |command: &str| format!("{command} --help");
    for line in ["", "echo", "proxy", "client", "origin", "ctl", "top", "audit", "load"].map(help) {
        let help = printed(line.trim());
        assert!(help.lines().count() <= 40, "{line}: {} lines", help.lines().count());
        let widest = help.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 100, "{line}: {widest} columns");
        let examples = help.split("Examples:\n").nth(1).expect("a help has examples");
        let mut ours =
            examples.lines().filter_map(|line| line.trim().strip_prefix("switchboard ")).peekable();
        assert!(ours.peek().is_some(), "{line}");
        ours.for_each(|example| assert!(parse_line(example).is_ok(), "{example}"));
    }
}

#[test]
fn an_operand_is_in_brackets_where_it_may_be_left_out() {
    for (command, usage, is_needed) in [
        ("client", "[TARGET]", false),
        ("load", "TARGET", true),
        ("ctl", "COMMAND…", true),
        ("audit", "[CHECK…]", false),
    ] {
        let help = printed(&format!("{command} --help"));
        let line = format!("Usage: switchboard {command} [OPTIONS] {usage}\n");
        assert!(help.contains(&line), "{help}");
        // What an audit needs are options.
        let left_out = if command == "audit" { "audit --self" } else { command };
        assert_eq!(parse_line(left_out).is_err(), is_needed, "{left_out}");
    }
}

#[test]
fn the_defaults_that_a_help_states_are_the_defaults() {
    let mut stated = 0;
    for command in COMMANDS {
        for line in printed(&format!("{command} --help")).lines() {
            let Some((_, default)) = line.trim().rsplit_once("(default ") else { continue };
            let Some(default) = default.strip_suffix(')').filter(|default| !default.starts_with("from "))
            else {
                continue;
            };
            let name = line.split_whitespace().next().unwrap();
            let option = if name == "TARGET" { default.into() } else { format!("{name}={default}") };
            let with_default = parse_line(&format!("{command} {option}"));
            assert_eq!(with_default.unwrap(), parse_line(command).unwrap(), "{command} {option}");
            stated += 1;
        }
    }
    assert!(stated > 40, "{stated} defaults found");
}
