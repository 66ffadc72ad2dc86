//! How each server is run: as many threads as Switchboard has, logs off, `TCP_NODELAY` where it is not the default, room for as many sessions as
//! the descriptor limit allows, and buffers of 64 KiB where a size can be set.

use crate::{
    certificate,
    child::quiet,
    server::{OTHER, Server},
};
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

/// The program under test.
pub const SWITCHBOARD: &str = env!("CARGO_BIN_EXE_switchboard");
/// Where Debian and others put nginx's module; elsewhere it is compiled in.
const NGINX_STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
/// Descriptors that HAProxy keeps for itself.
const RESERVED_DESCRIPTORS: usize = 100;
/// HAProxy's pipes, two descriptors each: more than all bulk connections of a case use.
const HAPROXY_PIPES: usize = 256;

/// What a server is to do.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Where it relays to.
    pub upstream: SocketAddr,
    /// nginx: workers.
    pub threads: usize,
    pub descriptors: usize,
    /// It ends TLS.
    pub tls: bool,
}

/// A command that is ready to run.
pub struct Prepared {
    /// Where it will listen.
    pub address: SocketAddr,
    pub command: Command,
}

/// The command of `server`.
///
/// # Errors
/// Where there is no free port, or its files cannot be written.
pub fn prepare(server: Server, setup: Setup) -> io::Result<Prepared> {
    // No program listens here; the kernel does not give the port out again so soon.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let command = match server {
        Server::Direct => return Err(io::Error::other("a direct connection has no server")),
        Server::Switchboard => switchboard(SWITCHBOARD, address, setup)?,
        Server::Other => switchboard(&std::env::var(OTHER).map_err(io::Error::other)?, address, setup)?,
        Server::Socat => socat(address, setup),
        Server::Haproxy => haproxy(address, setup, "")?,
        Server::HaproxySplice => {
            haproxy(address, setup, "option splice-request\n    option splice-response")?
        }
        Server::Nginx => nginx(address, setup)?,
    };
    Ok(Prepared { address, command })
}

/// Where the configurations of this run are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("compare-{}", std::process::id()))
}

/// Removes the configurations of this run; servers have read them when they accept.
pub fn remove_files() {
    // There are none where no server needed one.
    let _ = fs::remove_dir_all(folder());
}

/// Writes the configuration of the server that listens on `at`.
fn write(at: SocketAddr, text: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(folder())?;
    let path = folder().join(at.port().to_string());
    fs::write(&path, text)?;
    Ok(path)
}

/// The stripped release binary's size in bytes.
pub fn switchboard_size() -> io::Result<u64> {
    Ok(fs::metadata(SWITCHBOARD)?.len())
}

fn switchboard(program: &str, at: SocketAddr, setup: Setup) -> io::Result<Command> {
    let mut command = quiet(program);
    command.args(["proxy", "--upstream", &setup.upstream.to_string(), "--listen", &at.to_string()]);
    command.args(["--log", "off"]);
    // Builds from before there were shards have one thread, and no option for it.
    let help = Command::new(program).args(["proxy", "--help"]).output();
    if help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--threads")) {
        command.args(["--threads", &setup.threads.to_string()]);
    }
    if setup.tls {
        let files = certificate::files()?;
        command.arg("--tls-cert").arg(files.cert).arg("--tls-key").arg(files.key);
    }
    Ok(command)
}

fn socat(at: SocketAddr, setup: Setup) -> Command {
    let listen = format!("TCP-LISTEN:{},bind={},fork,reuseaddr,nodelay,backlog=4096", at.port(), at.ip());
    let mut command = quiet("socat");
    command.args(["-b", "65536", &listen, &format!("TCP:{},nodelay", setup.upstream)]);
    command
}

fn haproxy(at: SocketAddr, setup: Setup, options: &str) -> io::Result<Command> {
    let Setup { upstream, threads, descriptors, tls } = setup;
    let (cert, tuning) = match tls {
        // Sessions are resumed by ticket, as everywhere here.
        true => {
            let files = certificate::files()?;
            (
                format!(" ssl crt {} ssl-min-ver TLSv1.3", files.both.display()),
                "tune.ssl.default-dh-param 2048",
            )
        }
        false => (String::new(), ""),
    };
    let sessions = descriptors.saturating_sub(RESERVED_DESCRIPTORS) / 2 - HAPROXY_PIPES;
    let text = format!(
        "global
    nbthread {threads}
    maxconn {sessions}
    maxpipes {HAPROXY_PIPES}
    tune.bufsize 65536
    {tuning}
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    {options}
listen bench
    bind {at} backlog 4096{cert}
    server upstream {upstream}
"
    );
    let mut command = quiet("haproxy");
    command.args(["-db", "-f"]).arg(write(at, &text)?);
    Ok(command)
}

fn nginx(at: SocketAddr, setup: Setup) -> io::Result<Command> {
    let Setup { upstream, threads, descriptors, tls } = setup;
    let (ssl, cert) = match tls {
        true => {
            let files = certificate::files()?;
            let (cert, key) = (files.cert.display(), files.key.display());
            let lines = format!("ssl_protocols TLSv1.3; ssl_certificate {cert}; ssl_certificate_key {key};");
            (" ssl", lines)
        }
        false => ("", String::new()),
    };
    // Without it, which worker has how many of 50 connections is chance: from half to all.
    let shared = if threads > 1 { " reuseport" } else { "" };
    let module = if Path::new(NGINX_STREAM_MODULE).exists() {
        format!("load_module {NGINX_STREAM_MODULE};")
    } else {
        String::new()
    };
    // In a namespace where this user is root, there is no other for the workers to become.
    let text = format!(
        "{module}
daemon off;
user root;
pid {}.pid;
worker_processes {threads};
worker_rlimit_nofile {descriptors};
error_log /dev/null crit;
events {{ worker_connections {descriptors}; }}
stream {{
    access_log off;
    server {{
        listen {at}{ssl} backlog=4096{shared};
        {cert}
        proxy_pass {upstream};
        proxy_timeout 1h;
        proxy_half_close on;
        tcp_nodelay on;
        proxy_buffer_size 64k;
    }}
}}
",
        folder().join(at.port().to_string()).display()
    );
    let path = write(at, &text)?;
    let mut command = quiet("nginx");
    command.args(["-e", "/dev/null", "-p"]).arg(folder()).arg("-c").arg(path);
    Ok(command)
}
