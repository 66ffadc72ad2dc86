//! A service manager as a server sees it: sockets that it passes, and a socket that it listens to.

use crate::support::{
    server::{Launch, Output, Server},
    wait::{LIMIT, within},
};
use command_fds::{CommandFdExt, FdMapping};
use rustix::{
    io::IoSliceMut,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg, sockopt},
};
use std::{
    fs,
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    thread,
};
use tempfile::TempDir;

/// A shell's words that run `"$0" "$@"` as the process that sockets are passed to.
const TO_ITSELF: &str = "export LISTEN_PID=$$; exec \"$0\" \"$@\"";

/// The command of a server that is passed these sockets, named by `names`.
pub fn passing(mode: &str, flags: &[&str], sockets: Vec<OwnedFd>, names: Option<&str>) -> Command {
    let launch = Launch { mode, flags, shell: Some(TO_ITSELF), output: Output::Read };
    let mut command = launch.command();
    command.env("LISTEN_FDS", sockets.len().to_string());
    if let Some(names) = names {
        command.env("LISTEN_FDNAMES", names);
    }
    let mappings =
        sockets.into_iter().zip(3..).map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd });
    command.fd_mappings(mappings.collect()).unwrap();
    command
}

/// A server that is passed these sockets, and says that it listens at `listeners` addresses.
pub fn start_passing(flags: &[&str], sockets: Vec<OwnedFd>, names: Option<&str>, listeners: usize) -> Server {
    Server::of(passing("echo", flags, sockets, names), listeners, Output::Read)
}

/// One message to the manager.
pub struct Told {
    pub pid: u32,
    pub text: String,
    pub descriptors: Vec<OwnedFd>,
}

/// The socket of a manager, and all that it was told.
pub struct Manager {
    /// For `NOTIFY_SOCKET`.
    pub address: String,
    told: Arc<Mutex<Vec<Told>>>,
    _folder: TempDir,
}

impl Manager {
    /// At a path.
    pub fn start() -> Manager {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Manager::over(socket, path.to_str().unwrap().to_owned(), folder)
    }

    /// At a name without a file.
    pub fn start_abstract() -> Manager {
        let folder = TempDir::new().unwrap();
        let name = folder.path().to_str().unwrap().to_owned();
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Manager::over(socket, format!("@{name}"), folder)
    }

    fn over(socket: UnixDatagram, address: String, folder: TempDir) -> Manager {
        sockopt::set_socket_passcred(&socket, true).unwrap();
        let told = Arc::<Mutex<Vec<Told>>>::default();
        thread::spawn({
            let told = Arc::downgrade(&told);
            move || {
                loop {
                    let heard = receive(&socket);
                    let Some(told) = told.upgrade() else { return };
                    told.lock().unwrap().push(heard);
                }
            }
        });
        Manager { address, told, _folder: folder }
    }

    /// Runs a server that tells this manager.
    pub fn server(&self, flags: &[&str], variables: &[(&str, &str)]) -> Server {
        let mut command = Launch { mode: "echo", flags, shell: None, output: Output::Read }.command();
        command.env("NOTIFY_SOCKET", &self.address).envs(variables.iter().copied());
        let listeners = flags.iter().filter(|flag| **flag == "--listen").count().max(1);
        Server::of(command, listeners, Output::Read)
    }

    /// The texts so far, of one process or of all.
    pub fn texts(&self, of: Option<u32>) -> Vec<String> {
        let told = self.told.lock().unwrap();
        told.iter()
            .filter(|told| of.is_none_or(|pid| told.pid == pid))
            .map(|told| told.text.clone())
            .collect()
    }

    /// Waits for a text that begins so.
    pub fn await_text(&self, begin: &str) -> String {
        within(LIMIT, begin, || self.texts(None).into_iter().find(|text| text.starts_with(begin)))
    }

    /// Takes the descriptors that came with the texts of this beginning.
    pub fn take_descriptors(&self, begin: &str) -> Vec<OwnedFd> {
        let mut told = self.told.lock().unwrap();
        let named = told.iter_mut().filter(|told| told.text.starts_with(begin));
        named.flat_map(|told| std::mem::take(&mut told.descriptors)).collect()
    }
}

fn receive(socket: &UnixDatagram) -> Told {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4), ScmCredentials(1))];
    let (mut control, mut room) = (RecvAncillaryBuffer::new(&mut space), vec![0; 4096]);
    let mut parts = [IoSliceMut::new(&mut room)];
    let message = recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let (mut pid, mut descriptors) = (0, Vec::new());
    for ancillary in control.drain() {
        match ancillary {
            RecvAncillaryMessage::ScmRights(passed) => descriptors.extend(passed),
            RecvAncillaryMessage::ScmCredentials(is) => {
                pid = is.pid.as_raw_nonzero().get().cast_unsigned();
            }
            _ => {}
        }
    }
    room.truncate(message.bytes);
    Told { pid, text: String::from_utf8(room).unwrap(), descriptors }
}

/// A socket of a manager that reads nothing and whose queue is full.
pub fn deaf(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    while sender.send_to(b"full", path).is_ok() {}
    assert!(fs::exists(path).unwrap());
    socket
}
