//! Black-box tests of the built binary over real sockets: port 0 everywhere, every wait bounded, nothing outside
//! 127.0.0.0/8. A module is a subject; what helps them all is in [`support`].
#![forbid(unsafe_code)]

mod support;

mod abort;
mod activation;
mod audit;
mod cause;
mod client;
mod close;
mod config;
mod ctl;
mod deadline;
mod death;
mod dial;
mod discovery;
mod dump;
mod echo;
mod events;
mod faults;
mod fleet;
mod groups;
mod house;
mod kubernetes;
mod leaks;
mod limit;
mod listen_only;
mod listener;
mod load;
mod metrics;
mod monitoring;
mod notify;
mod origin;
mod picture;
mod proxy_protocol;
mod readme;
mod relay;
mod reload;
mod sleepers;
mod slow_peers;
mod socket_options;
mod start;
mod stdio;
mod stop;
mod tls;
mod top;
mod toxiproxy;
mod truncation;
mod unix;
mod upgrade;
