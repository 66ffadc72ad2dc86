//! Black-box tests of the built binary over real sockets: port 0 everywhere, every wait bounded, nothing outside
//! 127.0.0.0/8. A module is a subject; what helps them all is in [`support`].
#![forbid(unsafe_code)]

mod abort;
mod access;
mod audit;
mod blocked;
mod cause;
mod client;
mod close;
mod control;
mod cuts;
mod deadline;
mod dial;
mod dump;
mod echo;
mod events;
mod layering;
mod limit;
mod load;
mod metrics;
mod operate;
mod options;
mod origin;
mod relay;
mod remembered;
mod slow;
mod start;
mod stop;
mod support;
mod tap;
mod top;
mod trouble;
mod unix;
