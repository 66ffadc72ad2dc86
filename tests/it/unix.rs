//! UNIX sockets (`unix:/path`) as listener and as upstream.

use crate::support::{
    fake::peer,
    pattern::pattern,
    program::{self, binary},
    server::Server,
    stream::{End, Received, exchange, read_to_end},
    wait::LIMIT,
};
use std::{
    fs,
    io::Write,
    net::Shutdown,
    os::linux::net::SocketAddrExt,
    os::unix::{
        fs::symlink,
        net::{SocketAddr, UnixListener, UnixStream},
    },
    path::Path,
    thread,
};
use tempfile::TempDir;

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Uploads and ends its stream while reading to the end of the other.
fn talk(client: &mut UnixStream, sent: Vec<u8>) -> Received {
    let mut writer = client.try_clone().unwrap();
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let received = read_to_end(client);
    writing.join().unwrap();
    received
}

#[test]
fn a_unix_listener_echoes() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("echo");
    let listen = format!("unix:{}", path.display());
    for splice in ["auto", "off"] {
        let server = Server::echo(&["--listen", &listen, "--splice", splice]);
        assert_eq!(server.addresses, std::slice::from_ref(&listen));
        let sent = pattern(41, 3_000_000);
        let received = talk(&mut connect(&path), sent.clone());
        assert!(received == Received { bytes: sent, end: End::Fin }, "{} bytes", received.bytes.len());
        let close = &server.await_closes(1)[0];
        assert_eq!((&close["cause"], &close["client_bytes"]), (&"done".into(), &3_000_000.into()), "{close}");
        let open = server.await_event("open", |_| true);
        assert_eq!(open["listener"], *listen, "{open}");
    }
}

#[test]
fn a_name_without_a_file_is_listened_on_and_dialled_and_shown_with_its_sign() {
    let name = format!("switchboard-test-{}", std::process::id());
    let shown = format!("unix:@{name}");
    let mut echo = Server::echo(&["--listen", &shown]);
    assert_eq!(echo.addresses, [shown.as_str()]);
    let at = SocketAddr::from_abstract_name(&name).unwrap();
    exchange(&mut UnixStream::connect_addr(&at).unwrap(), b"straight");
    let proxy = Server::proxy(&shown, &[]);
    let mut client = proxy.connect();
    let address = client.local_addr().unwrap();
    exchange(&mut client, b"through");
    drop(client);
    assert_eq!(proxy.await_close(address)["upstream"], *shown);
    assert_eq!(echo.await_event("open", |_| true)["listener"], *shown);
    // A client that has such a name itself is shown by it.
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(format!("\0{name}-client")).unwrap()).unwrap();
    socket.connect(&socket2::SockAddr::unix(format!("\0{name}")).unwrap()).unwrap();
    echo.await_event("open", |open| open["client"] == format!("unix:@{name}-client"));

    let mut command = binary();
    command.args(["proxy", "--control", "off", "--upstream", &shown, "--listen", &shown]);
    let refused = program::run(command, b"");
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && message.contains("already in use"), "{message}");
    drop(socket);
    assert_eq!(echo.stop(), 0);
}

#[test]
fn a_unix_upstream_is_relayed_to() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("upstream");
    let upstream = UnixListener::bind(&path).unwrap();
    let server = Server::proxy(format!("unix:{}", path.display()), &[]);
    let mut client = server.connect();
    let (mut accepted, _) = upstream.accept().unwrap();
    accepted.set_read_timeout(Some(LIMIT)).unwrap();
    client.write_all(b"request").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut accepted), Received { bytes: b"request".to_vec(), end: End::Fin });
    let reply = pattern(42, 200_000);
    let writing = thread::spawn({
        let reply = reply.clone();
        move || accepted.write_all(&reply).unwrap()
    });
    let received = read_to_end(&mut client);
    writing.join().unwrap();
    assert!(received == Received { bytes: reply, end: End::Fin }, "{} bytes", received.bytes.len());
    let close = server.await_close(client.local_addr().unwrap());
    assert_eq!(close["upstream"], format!("unix:{}", path.display()), "{close}");
    assert_eq!(close["cause"], "done", "{close}");
}

#[test]
fn a_unix_listener_relays_to_tcp() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("proxy");
    let upstream = peer::echoes();
    let server = Server::proxy(upstream.address, &["--listen", &format!("unix:{}", path.display())]);
    let sent = pattern(43, 1_000_000);
    let received = talk(&mut connect(&path), sent.clone());
    assert!(received == Received { bytes: sent, end: End::Fin }, "{} bytes", received.bytes.len());
    assert_eq!(server.await_closes(1)[0]["cause"], "done");
}

#[test]
fn a_missing_unix_upstream_fails_like_a_refused_port() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("missing");
    let stale = folder.path().join("stale");
    drop(UnixListener::bind(&stale).unwrap());
    for (path, causes) in
        [(missing, ["connect_unreachable", "connect_refused"]), (stale, ["connect_refused"; 2])]
    {
        let server = Server::proxy(format!("unix:{}", path.display()), &[]);
        let mut client = server.connect();
        assert_eq!(read_to_end(&mut client).end, End::Reset);
        let close = server.await_close(client.local_addr().unwrap());
        assert!(causes.iter().any(|cause| close["cause"] == **cause), "{close}");
    }
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("socket");
    let listen = format!("unix:{}", path.display());
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a stale socket is left behind");
    let server = Server::echo(&["--listen", &listen]);
    exchange(&mut connect(&path), b"served");

    let mut command = binary();
    command.args(["echo", "--listen", &listen]);
    let second = program::run(command, b"");
    let message = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{message}");
    assert!(message.contains(path.to_str().unwrap()), "{message}");
    exchange(&mut connect(&path), b"still served");
    server.await_closes(2);
    let opened = server.events().iter().filter(|event| event["event"] == "open").count();
    assert_eq!(opened, 2, "the second server's look is a session of the first");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "precious").unwrap();
    let mut command = binary();
    command.args(["echo", "--listen", &format!("unix:{}", path.display())]);
    let refused = program::run(command, b"");
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_stopped_server_removes_its_socket() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("socket");
    let mut server = Server::echo(&["--listen", &format!("unix:{}", path.display())]);
    exchange(&mut connect(&path), b"served");
    assert_eq!(server.stop(), 0);
    assert!(!path.exists(), "the socket is left behind");
}

#[test]
fn a_proxy_to_its_own_unix_socket_is_refused_at_start_whatever_its_path_is_called() {
    let folder = TempDir::new().unwrap();
    symlink(folder.path().join("socket"), folder.path().join("link")).unwrap();
    for upstream in ["unix:link".to_owned(), format!("unix:{}", folder.path().join("socket").display())] {
        let refused = assert_cmd::Command::new(env!("CARGO_BIN_EXE_switchboard"))
            .args(["proxy", "--listen", "unix:socket", "--control", "off", "--upstream", &upstream])
            .current_dir(folder.path())
            .timeout(LIMIT)
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{upstream}: {message}");
        assert!(message.contains(&upstream) && message.contains("own listener"), "{message}");
    }
}

#[test]
fn a_loop_through_a_link_that_comes_later_is_refused() {
    let folder = TempDir::new().unwrap();
    let (path, link) = (folder.path().join("socket"), folder.path().join("link"));
    let listen = format!("unix:{}", path.display());
    let server = Server::proxy(format!("unix:{}", link.display()), &["--listen", &listen]);
    symlink(&path, &link).unwrap();
    read_to_end(&mut connect(&path));
    let close = &server.await_closes(1)[0];
    assert_eq!(close["cause"], "connect_refused", "{close}");
    assert_eq!(server.events().iter().filter(|event| event["event"] == "open").count(), 1);
}
