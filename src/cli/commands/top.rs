//! The command that shows a running server on the whole terminal.

use crate::{
    cli::{Config, commands::ctl::server_choice, values},
    control::protocol::Sort,
    net::network::Network,
    text::takes_colour,
    tools::top::settings::{self, INTERVAL},
};
use argh::{ArgsInfo, FromArgs};
use std::{path::PathBuf, time::Duration};

/// watch a running server of this user: a live table of its sessions
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "top")]
#[argh(note = "Keys, which the screen shows as well:")]
#[argh(note = "  up, down, PgUp, PgDn, Home, End  choose a session     s, r    sort by the next, reverse")]
#[argh(note = "  Enter                            its details and tap  /       filter by a part of the text")]
#[argh(note = "  c                                cut it, asks first   space   hold the table still")]
#[argh(note = "  in details: t tap on or off, h hex or text, Esc back  q       leave; also Ctrl-C")]
#[argh(note = "Exit: 0 left, 1 no server, or it went away, or not on a terminal, 2 usage")]
#[argh(example = "switchboard top")]
#[argh(example = "switchboard top --sort idle --from 10.0.0.0/8 --interval 2s")]
pub struct Top {
    /// the server, if several run: a listener's name, :PORT, pid or path
    #[argh(option, short = 's', arg_name = "SERVER")]
    server: Option<String>,
    /// the same by its socket
    #[argh(option, arg_name = "PATH")]
    control: Option<PathBuf>,
    /// time between two looks at the server (default 500ms)
    #[argh(option, arg_name = "TIME", default = "INTERVAL", from_str_fn(values::interval))]
    interval: Duration,
    /// by age, bytes, rate or idle (default rate)
    #[argh(option, arg_name = "KEY", default = "Sort::Rate", from_str_fn(values::sort))]
    sort: Sort,
    /// only clients of this network
    #[argh(option, arg_name = "CIDR")]
    from: Option<Network>,
}

impl Top {
    pub fn config(self) -> Config {
        let Top { server, control, interval, sort, from } = self;
        let server = server_choice(server, control);
        Config::Top(Box::new(settings::Top { server, interval, sort, from, colour: takes_colour() }))
    }
}
