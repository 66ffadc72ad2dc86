//! What all cases of a layout share: the servers, the upstream, and how to start one beside the other.

use crate::{
    child::Child,
    command::{Prepared, Setup, prepare},
    layout::Layout,
    options::Options,
    server::{Running, Server, await_accept},
    upstream::{Service, Upstream},
};
use std::io;

pub struct Bench<'a> {
    pub options: &'a Options,
    pub servers: &'a [Server],
    pub descriptors: usize,
    pub layout: &'a Layout,
    upstream: Upstream,
}

impl<'a> Bench<'a> {
    /// Takes the processors of `layout` and starts the upstream.
    pub fn begin(
        options: &'a Options,
        servers: &'a [Server],
        descriptors: usize,
        layout: &'a Layout,
    ) -> io::Result<Self> {
        layout.enter()?;
        Ok(Bench { options, servers, descriptors, layout, upstream: Upstream::start()? })
    }

    /// How a server relays to `service` with the threads of the layout.
    pub fn setup(&self, service: Service) -> Setup {
        Setup {
            upstream: self.upstream.address(service),
            threads: self.layout.threads,
            descriptors: self.descriptors,
            tls: false,
        }
    }

    /// Starts a server and waits until it accepts; `extra` are further arguments of Switchboard.
    pub fn start(&self, server: Server, mut setup: Setup, extra: &[&str]) -> io::Result<Running> {
        setup.upstream.set_ip(server.own_loopback().into());
        if server == Server::Direct {
            return Ok(Running::direct(setup.upstream));
        }
        let Prepared { address, mut command } = prepare(server, setup)?;
        let child = self.layout.start_server(|| Child::start(command.args(extra)))?;
        await_accept(address).map_err(|error| {
            io::Error::new(error.kind(), format!("{} does not accept: {error}", server.name()))
        })?;
        Ok(Running::process(server, address, child))
    }
}
