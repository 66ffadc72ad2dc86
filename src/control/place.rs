//! Where control sockets are: one folder a user, one socket a server, named by its pid.

use crate::{
    net::{endpoint::Endpoint, socket::Socket},
    runtime::clock::sleep,
};
use rustix::{
    fs::{Access, Gid, Mode, access, chmod, chown},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with},
    process::{Pid, geteuid, test_kill_process},
};
use std::{
    fs::{self, DirBuilder},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Control {
    /// In the user's folder, named by the pid.
    #[default]
    Default,
    At(PathBuf),
    Off,
}

/// Between two attempts to connect to a server that has as many operators as it takes.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A server that makes its socket refuses connections for some microseconds.
const OLD: Duration = Duration::from_secs(60);
/// Only the owner may look into the folder.
const FOLDER_MODE: u32 = 0o700;
/// The bits of a mode that let others in.
const OTHERS: u32 = 0o077;
const ENDING: &str = ".sock";
const GROUPS: &str = "/etc/group";

/// The folder of this user's control sockets: `$XDG_RUNTIME_DIR/switchboard` if the user can make it, else
/// `/tmp/switchboard-UID`.
pub fn folder() -> PathBuf {
    folder_below(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from))
}

/// A variable may be left over from another user (su(1)), whose folder is not ours to use.
fn folder_below(runtime: Option<PathBuf>) -> PathBuf {
    let is_ours = |path: &PathBuf| {
        let owned = fs::metadata(path).is_ok_and(|is| is.is_dir() && is.uid() == geteuid().as_raw());
        owned && path.is_absolute() && access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    };
    match runtime.filter(is_ours) {
        Some(runtime) => runtime.join("switchboard"),
        None => PathBuf::from(format!("/tmp/switchboard-{}", geteuid().as_raw())),
    }
}

/// Makes the folder if it is not there, removes the sockets of dead servers, and names the socket of process `pid`.
pub fn prepare(folder: &Path, pid: u32) -> io::Result<PathBuf> {
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => check(folder)?,
    }
    for (pid, path) in sockets(folder) {
        let refuses = try_connect(&path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if refuses && (is_dead(pid) || is_old(&path)) {
            // Another server may have been faster.
            let _ = fs::remove_file(path);
        }
    }
    let path = folder.join(format!("{pid}{ENDING}"));
    fits(&path)?;
    Ok(path)
}

/// Lets another group use the socket at `path`, or only its owner.
pub fn change_group(path: &Path, group: Option<&str>) -> io::Result<()> {
    match group {
        Some(group) => open_to(path, group),
        None => Ok(chmod(path, Mode::RUSR | Mode::WUSR)?),
    }
}

/// Lets a group, by name or number, use the socket at `path` as its owner does.
pub fn open_to(path: &Path, group: &str) -> io::Result<()> {
    let number = match group.parse() {
        Ok(number) => number,
        Err(_) => group_number(&fs::read_to_string(GROUPS)?, group).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("no group of this name is in {GROUPS}; a number will do too"),
            )
        })?,
    };
    // The group first: the right is for no other.
    chown(path, None, Some(Gid::from_raw(number)))?;
    chmod(path, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP)?;
    Ok(())
}

/// The number of a group in the text of `/etc/group` (group(5)).
fn group_number(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() == Some(name) { fields.nth(1)?.parse().ok() } else { None }
    })
}

/// Every server of this user that can be reached, by its pid.
pub fn running(folder: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    match check(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result?,
    }
    let mut running = sockets(folder);
    running.retain(|(_, path)| match try_connect(path) {
        Ok(_) => true,
        // Its backlog is full of operators: it lives.
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    });
    running.sort_unstable();
    Ok(running)
}

/// Connects to the socket at `path`; if the server's backlog is full, waits for room, at most for `wait`.
pub async fn connect(path: &Path, wait: Duration) -> io::Result<Socket> {
    let begin = Instant::now();
    loop {
        match try_connect(path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if begin.elapsed() >= wait {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "too many operators wait for it already",
                    ));
                }
                sleep(RETRY_PAUSE).await;
            }
            result => return Socket::new(result?, true),
        }
    }
}

/// Connects without waiting: connect(2) to a UNIX socket would wait for room in the backlog for ever.
fn try_connect(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Whether a path is short enough for a UNIX socket.
fn fits(path: &Path) -> io::Result<()> {
    format!("unix:{}", path.display())
        .parse::<Endpoint>()
        .map(|_| ())
        .map_err(|reason| io::Error::new(io::ErrorKind::InvalidInput, reason))
}

/// That the folder is a folder, ours, and closed to others; a link could be turned to another place at any time.
fn check(folder: &Path) -> io::Result<()> {
    let is = fs::symlink_metadata(folder)?;
    let wrong = if !is.is_dir() {
        Some("it is not a folder".to_owned())
    } else if is.uid() != geteuid().as_raw() {
        Some(format!("it belongs to user {}", is.uid()))
    } else if is.mode() & OTHERS != 0 {
        Some(format!("its mode is {:o}, and must be {FOLDER_MODE:o}", is.mode() & 0o7777))
    } else {
        None
    };
    wrong.map_or(Ok(()), |reason| {
        let text = format!("{} is not used: {reason}", folder.display());
        Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
    })
}

/// The sockets in the folder that are named by a pid, whether or not a server listens there.
pub fn sockets(folder: &Path) -> Vec<(u32, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let named = |path: PathBuf| {
        let pid = path.file_name()?.to_str()?.strip_suffix(ENDING)?.parse().ok()?;
        Some((pid, path))
    };
    entries.filter_map(|entry| named(entry.ok()?.path())).collect()
}

fn is_dead(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_none_or(|pid| test_kill_process(pid) == Err(Errno::SRCH))
}

/// Whether a file is too old to be a socket that is just being made: its process is another that has the same number.
fn is_old(path: &Path) -> bool {
    let age = fs::symlink_metadata(path).and_then(|is| is.modified()).map(|made| made.elapsed());
    age.is_ok_and(|age| age.is_ok_and(|age| age >= OLD))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::{fs::PermissionsExt, net::UnixListener};
    use tempfile::TempDir;

    #[test]
    fn a_folder_is_made_for_its_owner_alone() {
        let root = TempDir::new().unwrap();
        let folder = root.path().join("switchboard");
        assert_eq!(running(&folder).unwrap(), []);
        assert_eq!(prepare(&folder, 7).unwrap(), folder.join("7.sock"));
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, 0o700);
    }

    #[test]
    fn a_folder_that_is_open_to_others_or_no_folder_is_not_used() {
        let root = TempDir::new().unwrap();
        let (open, file, link) =
            (root.path().join("open"), root.path().join("file"), root.path().join("link"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o750)).unwrap();
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(root.path(), &link).unwrap();
        for folder in [open, file, link] {
            assert!(prepare(&folder, 7).is_err() && running(&folder).is_err(), "{}", folder.display());
        }
    }

    #[test]
    fn only_the_sockets_of_dead_processes_are_removed() {
        // More than any kernel's pid_max.
        const DEAD: u32 = 1 << 30;
        let root = TempDir::new().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let [dead, own, other] = [DEAD.to_string(), std::process::id().to_string(), "notes".into()]
            .map(|name| root.path().join(format!("{name}.sock")));
        drop(UnixListener::bind(&dead).unwrap());
        let _alive = UnixListener::bind(&own).unwrap();
        fs::write(&other, "").unwrap();
        prepare(root.path(), 7).unwrap();
        assert_eq!([dead.exists(), own.exists(), other.exists()], [false, true, true]);
        assert_eq!(running(root.path()).unwrap(), [(std::process::id(), own)]);
    }

    #[test]
    fn a_group_is_known_by_its_name() {
        let groups = "root:x:0:\noperators:x:1007:alice,bob\nbroken\n";
        assert_eq!(group_number(groups, "operators"), Some(1007));
        assert_eq!((group_number(groups, "oper"), group_number(groups, "broken")), (None, None));
    }

    #[test]
    fn a_path_that_is_too_long_for_a_socket_is_refused() {
        assert!(fits(Path::new(&"x".repeat(108))).is_err());
    }

    #[test]
    fn a_socket_of_a_number_that_another_process_has_now_is_removed_once_it_is_old() {
        use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
        let root = TempDir::new().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let left = root.path().join(format!("{}.sock", std::process::id()));
        drop(UnixListener::bind(&left).unwrap());
        prepare(root.path(), 7).unwrap();
        assert!(left.exists(), "it may just be made");
        let old = Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
        let times = Timestamps { last_access: old, last_modification: old };
        utimensat(CWD, &left, &times, AtFlags::empty()).unwrap();
        prepare(root.path(), 7).unwrap();
        assert!(!left.exists());
        let listener = UnixListener::bind(&left).unwrap();
        utimensat(CWD, &left, &times, AtFlags::empty()).unwrap();
        prepare(root.path(), 7).unwrap();
        assert!(left.exists(), "a server listens");
        drop(listener);
    }

    #[test]
    fn a_runtime_folder_that_is_not_there_or_not_ours_is_not_used() {
        let root = TempDir::new().unwrap();
        let fallback = PathBuf::from(format!("/tmp/switchboard-{}", geteuid().as_raw()));
        assert_eq!(folder_below(Some(root.path().to_owned())), root.path().join("switchboard"));
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        for unusable in
            [None, Some(root.path().join("none")), Some(file), Some("relative".into()), Some("".into())]
        {
            assert_eq!(folder_below(unusable.clone()), fallback, "{unusable:?}");
        }
    }
}
