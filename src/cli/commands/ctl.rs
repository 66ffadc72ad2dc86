//! The command that looks into a running server.

use crate::{
    cli::{
        Config,
        commands::fault_words::{self, FaultOptions},
        values,
        words::nearest,
    },
    control::{
        client::ServerChoice,
        protocol::{Choice, Named, Request, Setting, Sort, TapChoice},
    },
    net::network::Network,
    server::explain::Question,
    session::{
        faults::fault::{FaultStream, Schedule, Toxicity},
        health::Health,
    },
    text::{plain::takes_unicode, takes_colour},
    tools::ctl::settings::{self, Verb},
};
use argh::{ArgsInfo, FromArgs};
use std::{mem::take, path::PathBuf};
use strum::VariantArray;

/// look into a running server of this user, and change it
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "ctl")]
#[argh(note = "servers            the servers of this user")]
#[argh(note = "list               the live sessions, and how each does")]
#[argh(note = "show ID            all about one, with the kernel's view of it")]
#[argh(note = "closed [ID]        the last sessions that ended, and how")]
#[argh(note = "stats              totals, by cause")]
#[argh(note = "events --follow    what sessions say, as the log would tell it")]
#[argh(note = "tap ID…            the bytes of sessions as they flow; --next, --all: to come")]
#[argh(note = "cut ID… [--fin]    end sessions by RST, or by FIN after what is under way")]
#[argh(note = "pause, resume      accept no more connections, and go on")]
#[argh(note = "drain              stop the server as SIGTERM does")]
#[argh(note = "ready              whether it takes connections; exit 1 if not")]
#[argh(note = "reload             read the file again, and say what changed")]
#[argh(note = "diff [FILE]        what a reload would change")]
#[argh(note = "explain QUESTION   the route of a connection, and its servers, as they are")]
#[argh(note = "server [NAME[/ADDR drain|ready|down]]   servers of upstreams, and one's state")]
#[argh(note = "fault list         what breaks sessions on purpose, and what it has done")]
#[argh(note = "fault add LISTENER KIND [VALUES], fault update LISTENER NAME [VALUES],")]
#[argh(note = "fault remove LISTENER NAME   changes it; 'help faults' has the kinds")]
#[argh(note = "get [LIMIT]        a limit as it is, or all")]
#[argh(note = "set LIMIT VALUE    max-sessions, or a timeout as the server's, for new ones")]
#[argh(note = "Exit: 0 done, 1 not done, 2 usage")]
#[argh(example = "switchboard ctl list --sort problems --from 10.0.0.0/8")]
#[argh(example = "switchboard ctl -s :8002 closed -n 20")]
#[argh(example = "switchboard ctl tap --next --from 10.0.0.7 --dump hex")]
#[argh(example = "switchboard ctl set idle-timeout 10m")]
#[argh(example = "switchboard ctl fault add web latency 120ms+-20ms --share 10% --for 30s")]
pub struct Ctl {
    /// what to do, and the sessions to do it to
    #[argh(positional, arg_name = "COMMAND")]
    words: Vec<String>,
    /// also -s: a name, :PORT, pid or path
    #[argh(option, short = 's', arg_name = "SERVER")]
    server: Option<String>,
    /// by its socket (default: the only server)
    #[argh(option, arg_name = "PATH")]
    control: Option<PathBuf>,
    /// print JSON lines
    #[argh(switch)]
    json: bool,
    /// all columns; so without a terminal
    #[argh(switch)]
    wide: bool,
    /// list: by problems, age, bytes, rate, idle, …
    #[argh(option, arg_name = "KEY", from_str_fn(values::sort))]
    sort: Option<Sort>,
    /// list: only stalled, half-closed, …
    #[argh(option, arg_name = "HEALTH,…", from_str_fn(values::healths))]
    health: Option<Vec<Named<Health>>>,
    /// list: again every second, until Ctrl-C
    #[argh(switch)]
    watch: bool,
    /// clients of a CIDR; tap: client or upstream
    #[argh(option, arg_name = "CIDR|SIDE")]
    from: Vec<String>,
    /// tap: text, hex or raw
    #[argh(option, arg_name = "FORM", from_str_fn(values::show))]
    dump: Option<settings::Show>,
    /// tap: the next session, from byte one
    #[argh(switch)]
    next: bool,
    /// tap: all, and all to come; fault remove: all
    #[argh(switch)]
    all: bool,
    /// events: as they come, until Ctrl-C
    #[argh(switch)]
    follow: bool,
    /// cut: by FIN, after what is under way
    #[argh(switch)]
    fin: bool,
    /// cut: all sessions of this listener
    #[argh(option, arg_name = "NAME")]
    listener: Option<String>,
    /// closed, list: at most N; also -n N
    #[argh(option, short = 'n', arg_name = "N", from_str_fn(values::count))]
    last: Option<usize>,
    /// fault: its name (default KIND_downstream)
    #[argh(option, arg_name = "NAME")]
    name: Option<String>,
    /// fault: on the bytes from the client
    #[argh(switch)]
    up: bool,
    /// fault: on the bytes to the client, as without
    #[argh(switch)]
    down: bool,
    /// fault: how many sessions it hits, as 10% or 0.1
    #[argh(option, arg_name = "SHARE", from_str_fn(Toxicity::read))]
    share: Option<Toxicity>,
    /// fault: only these sessions
    #[argh(option, arg_name = "ID,…", from_str_fn(values::sessions))]
    session: Vec<Vec<u64>>,
    /// fault: the first N that it would hit are spared
    #[argh(option, arg_name = "N", from_str_fn(values::count))]
    skip: Option<usize>,
    /// fault: then it hits N at most
    #[argh(option, arg_name = "N", from_str_fn(values::count))]
    count: Option<usize>,
    /// fault: then it hits one of N
    #[argh(option, arg_name = "N", from_str_fn(values::count))]
    every: Option<usize>,
    /// fault: begins later
    #[argh(option, arg_name = "TIME", from_str_fn(values::milliseconds))]
    after: Option<u64>,
    /// fault: removes itself
    #[argh(option, long = "for", arg_name = "TIME", from_str_fn(values::milliseconds))]
    lasts: Option<u64>,
    /// fault: acts so long, then pauses for --off
    #[argh(option, arg_name = "TIME", from_str_fn(values::milliseconds))]
    on: Option<u64>,
    /// fault: pauses so long, then acts for --on
    #[argh(option, arg_name = "TIME", from_str_fn(values::milliseconds))]
    off: Option<u64>,
}

/// The server that `-s` or `--control` names.
pub fn server_choice(server: Option<String>, control: Option<PathBuf>) -> ServerChoice {
    match (server, control) {
        (_, Some(path)) => ServerChoice::At(path),
        (Some(text), None) => ServerChoice::of(&text),
        (None, None) => ServerChoice::Only,
    }
}

impl Ctl {
    /// The settings: a command with the operands and options that belong to it, and no others.
    pub fn config(mut self) -> Result<Config, String> {
        let words = take(&mut self.words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let verb = self.verb(&words)?;
        if let Some(option) = self.left_over() {
            return Err(format!("option '{option}' does not go with '{}'; leave it out", words[0]));
        }
        let server = server_choice(self.server, self.control);
        let (json, wide, colour, plain) = (self.json, self.wide, takes_colour(), !takes_unicode());
        Ok(Config::Ctl(Box::new(settings::Ctl { server, verb, json, wide, colour, plain })))
    }

    /// What the words ask for; the options that belong to it are taken.
    fn verb(&mut self, words: &[&str]) -> Result<Verb, String> {
        Ok(Verb::Ask(match *words {
            [] => return Err(format!("what to do is missing; write {COMMANDS}")),
            ["servers"] => return Ok(Verb::Servers),
            ["list"] => {
                let choice = self.choice()?;
                if take(&mut self.watch) {
                    return Ok(Verb::Watch(choice));
                }
                Request::List(choice)
            }
            ["show", id] => Request::Show { session: session(id)? },
            ["closed"] => Request::Closed { session: None, last: self.last.take() },
            ["closed", id] => Request::Closed { session: Some(session(id)?), last: self.last.take() },
            ["stats"] => Request::Stats { history: false },
            // There are none but those that come.
            ["events"] => {
                self.follow = false;
                Request::Events
            }
            ["cut", ref ids @ ..] if !ids.is_empty() => {
                Request::Cut { sessions: sessions(ids)?, listener: None, fin: take(&mut self.fin) }
            }
            ["cut"] if self.listener.is_some() => Request::Cut {
                sessions: Vec::new(),
                listener: self.listener.take(),
                fin: take(&mut self.fin),
            },
            ["tap", ref ids @ ..] if !ids.is_empty() || self.next || self.all => return self.tap(ids),
            ["pause"] => Request::Pause,
            ["resume"] => Request::Resume,
            ["drain"] => Request::Drain,
            ["ready"] => Request::Ready,
            ["reload"] => Request::Reload,
            ["diff"] => Request::Diff { file: None },
            ["diff", file] => Request::Diff { file: Some(absolute(file)?) },
            ["explain", ref words @ ..] if !words.is_empty() => {
                let question = words.join(" ");
                question.parse::<Question>()?;
                Request::Explain { question }
            }
            ["explain"] => {
                return Err("'explain' needs a question; write 'listener=web from=192.0.2.7'".into());
            }
            ["server", ref words @ ..] => server(words)?,
            ["fault", ref words @ ..] => return self.fault(words),
            ["get"] => Request::Get { setting: None },
            ["get", name] => Request::Get { setting: Some(known_setting(name)?) },
            ["set", name, value] => return setting(name, value),
            ["set", ..] => return Err(format!("'set' needs a limit and its value; {}", limits())),
            ["tap"] => {
                return Err(
                    "'tap' needs the number of a session, --next or --all; 'ctl list' shows them".into()
                );
            }
            ["show" | "cut"] => {
                return Err(format!("'{}' needs the number of a session; 'ctl list' shows them", words[0]));
            }
            [first, .., last] if names().any(|known| known == first) => {
                return Err(format!("unexpected argument '{last}' after '{first}'"));
            }
            [other, ..] => {
                return Err(match nearest(other, names()) {
                    Some(nearest) => format!("ctl does not know '{other}'; did you mean '{nearest}'?"),
                    None => format!("ctl does not know '{other}'; write {COMMANDS}"),
                });
            }
        }))
    }

    fn choice(&mut self) -> Result<Choice, String> {
        let from = take(&mut self.from).pop();
        Ok(Choice {
            sort: self.sort.take().unwrap_or_default(),
            from: from.map(|text| refused("option '--from'", &text, str::parse)).transpose()?,
            health: self.health.take().unwrap_or_default(),
            limit: self.last.take(),
            ..Choice::default()
        })
    }

    fn fault(&mut self, words: &[&str]) -> Result<Verb, String> {
        let owned = |word: &str| word.to_owned();
        Ok(Verb::Ask(match *words {
            ["list"] => Request::FaultList { listener: None },
            ["list", listener] => Request::FaultList { listener: Some(owned(listener)) },
            ["add", ref words @ ..] => return fault_words::add(words, self.fault_options()?),
            ["update", listener, name, ref words @ ..] => {
                let share = self.share.take();
                if words.is_empty() && share.is_none() {
                    return Err("'fault update' needs what is to change: values, or --share".into());
                }
                fault_words::check_update(name, words)?;
                let words = words.iter().copied().map(owned).collect();
                return Ok(Verb::UpdateFault { listener: owned(listener), name: owned(name), words, share });
            }
            ["remove", listener, name] => {
                let (listener, name) = (Some(owned(listener)), Some(owned(name)));
                Request::FaultRemove { listener, name, all: false }
            }
            ["remove", ref listener @ ..] if listener.len() < 2 && take(&mut self.all) => {
                let listener = listener.first().copied().map(owned);
                Request::FaultRemove { listener, name: None, all: true }
            }
            ["update" | "remove", ..] => {
                let all = if words[0] == "remove" { "; or --all" } else { "" };
                return Err(format!("'fault {}' needs a listener and the name of a fault{all}", words[0]));
            }
            _ => {
                return Err(
                    "what to do with faults is missing; write fault list, add, update or remove".into()
                );
            }
        }))
    }

    /// What the options say of a fault that is to be added.
    fn fault_options(&mut self) -> Result<FaultOptions, String> {
        if take(&mut self.down) && self.up {
            return Err("option '--up' does not go with '--down': a fault has one stream; add two".into());
        }
        let stream = if take(&mut self.up) { FaultStream::Upstream } else { FaultStream::Downstream };
        let mut clients = Vec::new();
        for text in take(&mut self.from) {
            clients.extend(refused("option '--from'", &text, values::networks)?);
        }
        let number = |option: &mut Option<usize>| option.take().unwrap_or_default() as u64;
        Ok(FaultOptions {
            name: self.name.take(),
            stream,
            share: self.share.take(),
            clients,
            sessions: take(&mut self.session).concat(),
            skip: number(&mut self.skip),
            count: number(&mut self.count),
            every: number(&mut self.every),
            schedule: Schedule {
                after_ms: self.after.take().unwrap_or_default(),
                expires_ms: self.lasts.take().unwrap_or_default(),
                on_ms: self.on.take().unwrap_or_default(),
                off_ms: self.off.take().unwrap_or_default(),
            },
        })
    }

    fn tap(&mut self, ids: &[&str]) -> Result<Verb, String> {
        let show = self.dump.take().unwrap_or_default();
        let (next, all) = (take(&mut self.next), take(&mut self.all));
        let (mut side, mut clients) = (None, None);
        for text in take(&mut self.from) {
            match (values::side(&text), text.parse::<Network>()) {
                (Ok(of), _) => side = of,
                (Err(_), Ok(network)) => clients = Some(network),
                (Err(reason), Err(network)) => {
                    let reason =
                        if next || all { format!("{reason}, or a network ({network})") } else { reason };
                    return Err(format!("option '--from' cannot be '{text}': {reason}"));
                }
            }
        }
        if clients.is_some() && !(next || all) {
            return Err("option '--from' with a network goes with --next or --all".into());
        }
        let choice = match sessions(ids)?[..] {
            [session] => TapChoice { session: Some(session), ..TapChoice::default() },
            ref several => TapChoice { sessions: several.to_vec(), ..TapChoice::default() },
        };
        Ok(Verb::Tap { choice: TapChoice { from: side, next, all, clients, marks: true, ..choice }, show })
    }

    /// An option that the command did not take.
    fn left_over(&self) -> Option<&'static str> {
        let given = [
            ("--sort", self.sort.is_some()),
            ("--health", self.health.is_some()),
            ("--watch", self.watch),
            ("--from", !self.from.is_empty()),
            ("--last", self.last.is_some()),
            ("--fin", self.fin),
            ("--listener", self.listener.is_some()),
            ("--dump", self.dump.is_some()),
            ("--next", self.next),
            ("--all", self.all),
            ("--follow", self.follow),
            ("--name", self.name.is_some()),
            ("--up", self.up),
            ("--down", self.down),
            ("--share", self.share.is_some()),
            ("--session", !self.session.is_empty()),
            ("--skip", self.skip.is_some()),
            ("--count", self.count.is_some()),
            ("--every", self.every.is_some()),
            ("--after", self.after.is_some()),
            ("--for", self.lasts.is_some()),
            ("--on", self.on.is_some()),
            ("--off", self.off.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
    }
}

const COMMANDS: &str = "servers, list, show, closed, stats, events, tap, cut, pause, resume, drain, ready, reload, \
                        diff, explain, server, fault, get or set";

/// Each of them.
fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.split([',', ' ']).filter(|name| !matches!(*name, "" | "or"))
}

/// The path of a file that the server is to read.
fn absolute(file: &str) -> Result<String, String> {
    let path = std::path::absolute(file).map_err(|error| format!("'{file}' is no path: {error}"))?;
    path.to_str().map(str::to_owned).ok_or_else(|| format!("'{file}' is not UTF-8; write it in UTF-8"))
}

/// `server`, with nothing, a name, or a name, an address and a state.
fn server(words: &[&str]) -> Result<Request, String> {
    let listed = |upstream| Request::Server { upstream, address: None, state: None };
    match *words {
        [] => Ok(listed(None)),
        [upstream] if !upstream.contains('/') => Ok(listed(Some(upstream.to_owned()))),
        [name, state] => group_server(name, state),
        _ => Err("'server' needs a name, an address and a state; write server db/10.0.0.1:5432 drain".into()),
    }
}

/// `server NAME/ADDRESS STATE`.
fn group_server(name: &str, state: &str) -> Result<Request, String> {
    let form = "write server db/10.0.0.1:5432 drain";
    let Some((upstream, address)) = name.split_once('/') else {
        return Err(format!("'{name}' names no server of an upstream; {form}"));
    };
    let state = match Named::of(state) {
        Named::Other(_) => {
            return Err(format!("a server cannot be set to '{state}'; write drain, ready or down"));
        }
        known => known,
    };
    Ok(Request::Server {
        upstream: Some(upstream.to_owned()),
        address: Some(address.to_owned()),
        state: Some(state),
    })
}

fn limits() -> String {
    let names: Vec<_> = Setting::VARIANTS.iter().map(|known| Named::Known(known).to_string()).collect();
    format!("the limits are {}", names.join(", "))
}

fn known_setting(name: &str) -> Result<Named<Setting>, String> {
    match Named::of(name) {
        Named::Other(_) => Err(format!("there is no limit '{name}'; {}", limits())),
        known => Ok(known),
    }
}

/// `set` with its operands: the same values as on a server's command line.
fn setting(name: &str, value: &str) -> Result<Verb, String> {
    let setting = Named::of(name);
    let value = match setting {
        Named::Known(Setting::MaxSessions) => Some(refused(name, value, values::count)? as u64),
        Named::Known(_) => refused(name, value, values::duration)?
            .map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1)),
        Named::Other(_) => return Err(format!("'{name}' cannot be set; {}", limits())),
    };
    Ok(Verb::Set { setting, value })
}

fn sessions(ids: &[&str]) -> Result<Vec<u64>, String> {
    ids.iter().map(|id| session(id)).collect()
}

fn session(text: &str) -> Result<u64, String> {
    refused("session", text, values::session)
}

fn refused<T>(what: &str, text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, String> {
    parse(text).map_err(|reason| format!("{what} cannot be '{text}': {reason}"))
}
