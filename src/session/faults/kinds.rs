//! The kinds of faults, a page each.

pub mod accept_stall;
pub mod bandwidth;
pub mod corrupt;
pub mod cut;
pub mod flap;
pub mod hiccup;
pub mod latency;
pub mod limit_data;
pub mod noop;
pub mod refuse;
pub mod reset_peer;
pub mod slicer;
pub mod slow_close;
pub mod slow_open;
pub mod stall;
pub mod timeout;
pub mod window;

#[cfg(test)]
mod tests;
