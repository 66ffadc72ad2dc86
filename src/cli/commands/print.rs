//! The command that prints files which a system needs.

use crate::{
    cli::{commands, completions::Shell, config_file, manual},
    text::topics,
};
use argh::{ArgsInfo, FromArgs};

/// print a file: manual, unit, manifests, dashboard, sample
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "print")]
#[argh(note = "man                     the manual page; switchboard.1")]
#[argh(note = "man COMMAND             that of a command; switchboard-COMMAND.1")]
#[argh(note = "man TOPIC               that of a topic of the help; switchboard-TOPIC.7")]
#[argh(note = "completions SHELL       for bash, zsh or fish")]
#[argh(note = "systemd                 a unit that serves what /etc/switchboard.toml says")]
#[argh(note = "kubernetes              manifests: Deployment, Services, ConfigMap, disruption budget")]
#[argh(note = "grafana                 a dashboard over the metrics, as JSON")]
#[argh(note = "alerts                  rules for Prometheus")]
#[argh(note = "config                  a sample of a configuration file")]
#[argh(note = "schema                  its JSON Schema, for editors")]
#[argh(note = "Exit: 0 printed, 1 it cannot be written, 2 usage")]
#[argh(example = "switchboard print man proxy | man -l -")]
#[argh(example = "switchboard print completions bash >/etc/bash_completion.d/switchboard")]
#[argh(example = "switchboard print systemd >/etc/systemd/system/switchboard.service")]
pub struct Print {
    /// what to print
    #[argh(positional, arg_name = "WHAT")]
    words: Vec<String>,
    /// systemd: a unit for versions before 253
    #[argh(switch)]
    compat: bool,
}

impl Print {
    /// The file, with its last line end.
    pub fn text(self) -> Result<String, String> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match words[..] {
            ["systemd"] => Ok(unit(self.compat)),
            [first, ..] if self.compat => {
                Err(format!("option '--compat' does not go with '{first}'; write systemd --compat"))
            }
            ["man"] => Ok(manual::program()),
            ["man", name] => match commands::commands().iter().find(|command| command.name == name) {
                Some(command) => Ok(manual::command(command)),
                None => topics::find(name).map(manual::topic).ok_or_else(|| {
                    format!(
                        "there is no manual page of '{name}'; 'switchboard help' lists commands and topics"
                    )
                }),
            },
            ["kubernetes"] => Ok(kubernetes()),
            ["grafana"] => Ok(include_str!("grafana.json").into()),
            ["alerts"] => Ok(include_str!("alerts.yaml").into()),
            ["completions", name] => name.parse::<Shell>().map(Shell::script),
            ["completions"] => Err("which shell is missing; write completions bash, zsh or fish".into()),
            ["config"] => Ok(config_file::SAMPLE.into()),
            ["schema"] => Ok(config_file::schema::text()),
            [] => Err(format!("what to print is missing; write {WHAT}")),
            [first, .., last] if PRINTED.contains(&first) => {
                Err(format!("unexpected argument '{last}' after '{first}'"))
            }
            [first, ..] => Err(format!("'{first}' cannot be printed; write {WHAT}")),
        }
    }
}

/// Reloads by SIGHUP: `Type=notify-reload` sends it by itself, and has come with systemd 253.
fn unit(compat: bool) -> String {
    let unit = include_str!("switchboard.service");
    if !compat {
        return unit.to_owned();
    }
    let before =
        unit.replace("Type=notify-reload", "Type=notify").replace("print systemd", "print systemd --compat");
    before.replace("TimeoutStopSec=", "ExecReload=/bin/kill -HUP $MAINPID\nTimeoutStopSec=")
}

/// Its image has the number of this version.
fn kubernetes() -> String {
    include_str!("kubernetes.yaml").replace("VERSION", env!("CARGO_PKG_VERSION"))
}

pub const PRINTED: [&str; 8] =
    ["man", "completions", "systemd", "kubernetes", "grafana", "alerts", "config", "schema"];
const WHAT: &str = "man, completions, systemd, kubernetes, grafana, alerts, config or schema";
