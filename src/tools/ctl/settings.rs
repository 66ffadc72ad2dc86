//! What `switchboard ctl` is told: which server, and what to do.

use crate::{
    control::{
        client::ServerChoice,
        protocol::{Choice, Named, Request, Setting, TapChoice},
    },
    session::faults::fault::Toxicity,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ctl {
    pub server: ServerChoice,
    pub verb: Verb,
    pub json: bool,
    /// Tables are as wide as they are, with moments and not with how long ago they were.
    pub wide: bool,
    /// Colours, if a person sees the answer at once.
    pub colour: bool,
    /// The terminal shows plain characters only.
    pub plain: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// One question and its answer.
    Ask(Request),
    /// The servers of this user.
    Servers,
    /// The sessions again and again.
    Watch(Choice),
    Set {
        setting: Named<Setting>,
        value: Option<u64>,
    },
    /// What the words mean is known once the kind of the fault is.
    UpdateFault {
        listener: String,
        name: String,
        words: Vec<String>,
        share: Option<Toxicity>,
    },
    Tap {
        choice: TapChoice,
        show: Show,
    },
}

/// How a tap shows bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Show {
    /// Escaped, a line a piece.
    #[default]
    Text,
    /// As `xxd` shows them.
    Hex,
    /// As they are.
    Raw,
}
