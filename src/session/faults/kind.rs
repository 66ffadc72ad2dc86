//! The kinds of faults: a table of their pages. What a kind is called, what it takes and how it is checked stands in its page.

use crate::session::faults::{
    fault::{ATTRIBUTES_MAX, Values},
    kinds,
    stage::Stage,
};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, IntoStaticStr, EnumString, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum FaultKind {
    Latency,
    Bandwidth,
    SlowClose,
    Timeout,
    ResetPeer,
    Slicer,
    LimitData,
    Noop,
    Stall,
    Cut,
    Corrupt,
    Hiccup,
    Window,
    SlowOpen,
    Refuse,
    AcceptStall,
    Flap,
}

/// What a kind says of itself.
pub struct KindPage {
    /// What it does, in one sentence.
    pub about: &'static str,
    pub attributes: &'static [Attribute],
    /// What values together cannot be, in a sentence. Each alone is checked before.
    pub check: fn(&Values) -> Result<(), String>,
    pub place: FaultPlace,
}

/// Where a fault acts.
#[derive(Clone, Copy)]
pub enum FaultPlace {
    /// In a direction of a session, by a stage that is made of its values.
    Direction(fn(Values) -> Box<dyn Stage>),
    /// Before a session's peers are joined.
    Opening,
    /// At the listener as a whole.
    Listener,
}

/// An attribute of a kind: a whole number from 0 to `max`, 0 by default.
pub struct Attribute {
    pub name: &'static str,
    pub unit: AttributeUnit,
    pub max: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeUnit {
    Milliseconds,
    Microseconds,
    Bytes,
    /// Kilobytes a second, of 1,000 bytes each.
    KilobytesPerSecond,
    Percent,
    Bits,
    /// 0 or 1.
    Flag,
}

/// A hundred years, in milliseconds: far below what a clock or a timer can add.
pub const MILLISECONDS_MAX: u64 = 100 * 31_557_600 * 1000;

impl Attribute {
    pub const fn milliseconds(name: &'static str) -> Self {
        Attribute { name, unit: AttributeUnit::Milliseconds, max: MILLISECONDS_MAX }
    }

    pub const fn microseconds(name: &'static str) -> Self {
        Attribute { name, unit: AttributeUnit::Microseconds, max: MILLISECONDS_MAX * 1000 }
    }

    pub const fn bytes(name: &'static str) -> Self {
        Attribute { name, unit: AttributeUnit::Bytes, max: i64::MAX.unsigned_abs() }
    }

    /// At most a petabyte a second.
    pub const fn kilobytes_per_second(name: &'static str) -> Self {
        Attribute { name, unit: AttributeUnit::KilobytesPerSecond, max: 1_000_000_000_000 }
    }

    pub const fn percent(name: &'static str) -> Self {
        Attribute { name, unit: AttributeUnit::Percent, max: 100 }
    }

    /// Of a byte.
    pub const fn bits(name: &'static str) -> Self {
        Attribute { name, unit: AttributeUnit::Bits, max: 8 }
    }

    pub const fn flag(name: &'static str) -> Self {
        Attribute { name, unit: AttributeUnit::Flag, max: 1 }
    }
}

/// Kinds that others have and this program does not, with the reason and what to use instead.
const LIES: [(&str, &str); 3] = [
    ("packet_loss", "packet loss is invisible above TCP; use hiccup"),
    ("reorder", "packets out of order are invisible above TCP; use hiccup"),
    ("duplicate", "packets that come twice are invisible above TCP; use hiccup"),
];

impl FaultKind {
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Errors: `invalid toxic type`, with the reason where there is one.
    pub fn named(name: &str) -> Result<Self, String> {
        let lie = || LIES.iter().find(|(lie, _)| *lie == name).map(|(_, why)| *why);
        name.parse().map_err(|_| match lie() {
            Some(why) => format!("invalid toxic type: {why}"),
            None => "invalid toxic type".to_owned(),
        })
    }

    pub fn page(self) -> &'static KindPage {
        match self {
            FaultKind::Latency => &kinds::latency::PAGE,
            FaultKind::Bandwidth => &kinds::bandwidth::PAGE,
            FaultKind::SlowClose => &kinds::slow_close::PAGE,
            FaultKind::Timeout => &kinds::timeout::PAGE,
            FaultKind::ResetPeer => &kinds::reset_peer::PAGE,
            FaultKind::Slicer => &kinds::slicer::PAGE,
            FaultKind::LimitData => &kinds::limit_data::PAGE,
            FaultKind::Noop => &kinds::noop::PAGE,
            FaultKind::Stall => &kinds::stall::PAGE,
            FaultKind::Cut => &kinds::cut::PAGE,
            FaultKind::Corrupt => &kinds::corrupt::PAGE,
            FaultKind::Hiccup => &kinds::hiccup::PAGE,
            FaultKind::Window => &kinds::window::PAGE,
            FaultKind::SlowOpen => &kinds::slow_open::PAGE,
            FaultKind::Refuse => &kinds::refuse::PAGE,
            FaultKind::AcceptStall => &kinds::accept_stall::PAGE,
            FaultKind::Flap => &kinds::flap::PAGE,
        }
    }

    pub fn is_of_listener(self) -> bool {
        matches!(self.page().place, FaultPlace::Listener)
    }

    /// The attributes with their values.
    pub fn attributes(self, values: &Values) -> impl Iterator<Item = (&'static Attribute, u64)> {
        self.page().attributes.iter().zip(*values)
    }

    /// The place of an attribute among the values.
    pub fn index(self, attribute: &str) -> Option<usize> {
        self.page().attributes.iter().position(|one| one.name == attribute)
    }

    /// The value of an attribute that the kind has.
    pub fn value(self, values: &Values, attribute: &str) -> u64 {
        self.index(attribute).map_or(0, |index| values[index])
    }

    /// Errors: what cannot be, in a sentence.
    pub fn check(self, values: &Values) -> Result<(), String> {
        debug_assert!(self.page().attributes.len() <= ATTRIBUTES_MAX);
        for (Attribute { name, max, .. }, value) in self.attributes(values) {
            if value > *max {
                return Err(format!("{name} is at most {max}, and not {value}"));
            }
        }
        (self.page().check)(values)
    }
}
