//! toxiproxy's API, as its clients and its own tests expect it.

mod anchors;
mod clients;
mod connections;
mod file;
mod forms;
mod proxies;
mod toxics;
