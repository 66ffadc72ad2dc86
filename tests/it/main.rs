//! Black-box tests of the built binary over real sockets: port 0 everywhere, every wait bounded, nothing outside
//! 127.0.0.0/8. `harness` starts the program, `peer` plays the other ends, the rest is one module a subject.
#![forbid(unsafe_code)]

mod crooked;
mod dead;
mod fake;
mod harness;
mod openmetrics;
mod operator;
mod pattern;
mod peer;
mod proc;
mod route;
mod scrape;
mod screen;
mod stream;
mod terminal;
mod web;

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
mod listener;
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
mod tap;
mod top;
mod trouble;
mod unix;
