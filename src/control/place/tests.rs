//! Folders and sockets as servers leave them.

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
    let (open, file, link) = (root.path().join("open"), root.path().join("file"), root.path().join("link"));
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
    assert!(left.exists(), "somebody listens");
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
