//! The command that looks into a running server.

use crate::{
    cli::{Config, values},
    control::protocol::{Choice, Named, Request, Setting, Sort, TapChoice},
    session::health::Health,
    tools::ctl::settings,
};
use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;
use strum::VariantArray;

/// look into a running server of this user, and change it
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "ctl")]
#[argh(note = "list                    the live sessions")]
#[argh(note = "show ID                 all about one, with the kernel's view of both connections")]
#[argh(note = "closed [ID]             the last sessions that ended, and how")]
#[argh(note = "stats                   totals, by cause")]
#[argh(note = "tap ID                  the bytes of one as they flow, until it ends or Ctrl-C")]
#[argh(note = "cut ID… [--fin]         end sessions by RST, or by FIN after what is under way")]
#[argh(note = "pause, resume           accept no more connections, and go on")]
#[argh(note = "drain                   stop the server as SIGTERM does")]
#[argh(note = "set LIMIT VALUE         max-sessions, or a timeout named as the server's, for new sessions")]
#[argh(note = "Exit: 0 done, 1 not done, 2 usage")]
#[argh(example = "switchboard ctl list --sort rate --from 10.0.0.0/8")]
#[argh(example = "switchboard ctl closed -n 20")]
#[argh(example = "switchboard ctl tap 42 --dump hex --from upstream")]
#[argh(example = "switchboard ctl cut 42 43 --fin")]
#[argh(example = "switchboard ctl set idle-timeout 10m")]
pub struct Ctl {
    /// what to do, and the sessions to do it to
    #[argh(positional, arg_name = "COMMAND")]
    words: Vec<String>,
    /// the server's socket (default: the one server that runs)
    #[argh(option, arg_name = "PATH")]
    control: Option<PathBuf>,
    /// print JSON lines
    #[argh(switch)]
    json: bool,
    /// list: by age, bytes, rate or idle
    #[argh(option, arg_name = "KEY", from_str_fn(values::sort))]
    sort: Option<Sort>,
    /// list: only sessions that do so: stalled, half-closed, …
    #[argh(option, arg_name = "HEALTH,…", from_str_fn(values::healths))]
    health: Option<Vec<Named<Health>>>,
    /// list: clients of this CIDR; tap: client, upstream or both
    #[argh(option, arg_name = "CIDR|SIDE")]
    from: Option<String>,
    /// tap: text, hex or raw
    #[argh(option, arg_name = "FORM", from_str_fn(values::show))]
    dump: Option<settings::Show>,
    /// cut: by FIN after what is under way; while dialling by RST
    #[argh(switch)]
    fin: bool,
    /// closed: at most N sessions; also -n N
    #[argh(option, short = 'n', arg_name = "N", from_str_fn(values::count))]
    last: Option<usize>,
}

impl Ctl {
    /// The settings: a command with the operands and options that belong to it, and no others.
    pub fn config(mut self) -> Result<Config, String> {
        let words = std::mem::take(&mut self.words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut show = settings::Show::default();
        let request = match words[..] {
            [] => return Err(format!("what to do is missing; write {COMMANDS}")),
            ["list"] => Request::List(Choice {
                sort: self.sort.take().unwrap_or_default(),
                from: self
                    .from
                    .take()
                    .map(|text| refused("option '--from'", &text, str::parse))
                    .transpose()?,
                health: self.health.take().unwrap_or_default(),
                ..Choice::default()
            }),
            ["show", id] => Request::Show { session: session(id)? },
            ["closed"] => Request::Closed { session: None, last: self.last.take() },
            ["closed", id] => Request::Closed { session: Some(session(id)?), last: self.last.take() },
            ["stats"] => Request::Stats { history: false },
            ["cut", ref ids @ ..] if !ids.is_empty() => {
                let sessions = ids.iter().map(|id| session(id)).collect::<Result<_, _>>()?;
                Request::Cut { sessions, fin: std::mem::take(&mut self.fin) }
            }
            ["tap", id] => {
                show = self.dump.take().unwrap_or_default();
                let from = self
                    .from
                    .take()
                    .map_or(Ok(None), |text| refused("option '--from'", &text, values::side))?;
                Request::Tap(TapChoice { session: Some(session(id)?), from, ..TapChoice::default() })
            }
            ["pause"] => Request::Pause,
            ["resume"] => Request::Resume,
            ["drain"] => Request::Drain,
            ["set", name, value] => setting(name, value)?,
            ["set", ..] => return Err(format!("'set' needs a limit and its value; {}", limits())),
            ["show" | "tap" | "cut"] => {
                return Err(format!("'{}' needs the number of a session; 'ctl list' shows them", words[0]));
            }
            ["list" | "show" | "tap" | "closed" | "stats" | "pause" | "resume" | "drain", ..] => {
                return Err(format!("unexpected argument '{}' after '{}'", words[words.len() - 1], words[0]));
            }
            [other, ..] => return Err(format!("ctl does not know '{other}'; write {COMMANDS}")),
        };
        match self.left_over() {
            Some(option) => Err(format!("option '{option}' does not go with '{}'; leave it out", words[0])),
            None => {
                let (control, json) = (self.control, self.json);
                Ok(Config::Ctl(Box::new(settings::Ctl { control, json, request, show })))
            }
        }
    }

    /// An option that the command did not take.
    fn left_over(&self) -> Option<&'static str> {
        let given = [
            ("--sort", self.sort.is_some()),
            ("--health", self.health.is_some()),
            ("--from", self.from.is_some()),
            ("--last", self.last.is_some()),
            ("--fin", self.fin),
            ("--dump", self.dump.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
    }
}

const COMMANDS: &str = "list, show, closed, stats, tap, cut, pause, resume, drain or set";

fn limits() -> String {
    let names: Vec<_> = Setting::VARIANTS.iter().map(|known| Named::Known(known).to_string()).collect();
    format!("the limits are {}", names.join(", "))
}

/// `set` with its operands: the same values as on a server's command line.
fn setting(name: &str, value: &str) -> Result<Request, String> {
    let setting = Named::of(name);
    let value = match setting {
        Named::Known(Setting::MaxSessions) => Some(refused(name, value, values::count)? as u64),
        Named::Known(_) => refused(name, value, values::duration)?
            .map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1)),
        Named::Other(_) => return Err(format!("'{name}' cannot be set; {}", limits())),
    };
    Ok(Request::Set { setting, value })
}

fn session(text: &str) -> Result<u64, String> {
    refused("session", text, values::session)
}

fn refused<T>(what: &str, text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, String> {
    parse(text).map_err(|reason| format!("{what} cannot be '{text}': {reason}"))
}
