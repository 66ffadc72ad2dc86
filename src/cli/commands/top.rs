//! The command that shows a running server on the whole terminal.

use crate::{
    cli::{Config, commands::ctl::server_choice, values},
    control::protocol::Sort,
    net::network::Network,
    text::{plain::takes_unicode, takes_colour},
    tools::top::settings::{self, INTERVAL},
};
use argh::{ArgsInfo, FromArgs};
use std::{path::PathBuf, time::Duration};

/// watch the sessions of the running servers of this user, live
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "top")]
#[argh(note = "Keys, of which ? shows all:")]
#[argh(note = "  j, k, g, G, PgUp, PgDn, wheel    choose          1 2 3 4, Tab  Live, Ended, …")]
#[argh(note = "  Enter, click                     details         s, S, r       sort, turn round")]
#[argh(note = "  /, f                             filter          c             cut, asks first")]
#[argh(note = "  in details: t tap, h hex, w save, / search, Esc back      q  leave")]
#[argh(note = "Exit: 0 left, 1 no server, or it went away, or not on a terminal, 2 usage")]
#[argh(example = "switchboard top")]
#[argh(example = "switchboard top --sort idle --from 10.0.0.0/8 --interval 2s")]
pub struct Top {
    /// only this server: its name, :PORT, pid or path
    #[argh(option, short = 's', arg_name = "SERVER")]
    server: Option<String>,
    /// the same by its socket
    #[argh(option, arg_name = "PATH")]
    control: Option<PathBuf>,
    /// time between two looks at the server (default 500ms)
    #[argh(option, arg_name = "TIME", default = "INTERVAL", from_str_fn(values::interval))]
    interval: Duration,
    /// by problems, age, idle, rate, bytes, … (default problems)
    #[argh(option, arg_name = "KEY", default = "Sort::Problems", from_str_fn(values::sort))]
    sort: Sort,
    /// only clients of this network
    #[argh(option, arg_name = "CIDR")]
    from: Option<Network>,
}

impl Top {
    pub fn config(self) -> Config {
        let Top { server, control, interval, sort, from } = self;
        let server = server_choice(server, control);
        Config::Top(Box::new(settings::Top {
            server,
            interval,
            sort,
            from,
            colour: takes_colour(),
            plain: !takes_unicode(),
        }))
    }
}
