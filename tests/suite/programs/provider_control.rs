//! The control socket of the provider's program: whom it serves, and what it never deletes.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};

use crate::programs::home::*;

/// It starts and ends at once.
fn start(isp: &Isp) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dots-callhome-client"));
    command.arg("--control").arg(isp.program.path("control")).args(["serve", "--listen", "127.0.0.1:0", "--state"]);
    command.arg(isp.program.path("state")).args(&isp.arguments).output().unwrap()
}

#[test]
fn only_its_own_user_may_ask_whatever_the_umask() {
    let mut isp = Isp::new("umask");
    isp.program.start_under("umask 000", Stdio::null(), &isp.arguments);
    let there = fs::metadata(isp.program.path("control")).unwrap();
    assert_eq!(there.permissions().mode() & 0o7777, 0o600);
}

#[test]
fn what_is_no_socket_is_never_deleted() {
    let isp = Isp::new("file");
    let control = isp.program.path("control");
    fs::write(&control, "precious").unwrap();
    let output = start(&isp);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("no socket") && said.contains("control"), "{said}");
    assert_eq!(fs::read(&control).unwrap(), b"precious");

    // Nor what a link leads to.
    let target = isp.program.path("target");
    fs::rename(&control, &target).unwrap();
    std::os::unix::fs::symlink(&target, &control).unwrap();
    assert!(!start(&isp).status.success());
    assert_eq!(fs::read(&control).unwrap(), b"precious");
}

#[test]
fn a_program_that_serves_keeps_its_socket() {
    let isp = Isp::serving("twice");
    let output = start(&isp);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("another program serves there"), "{said}");
    assert!(isp.program.routers().contains("routers"));
}

/// One that was killed leaves its socket behind.
#[test]
fn a_socket_left_behind_is_taken_over() {
    let mut isp = Isp::new("left");
    drop(UnixListener::bind(isp.program.path("control")).unwrap());
    assert!(fs::symlink_metadata(isp.program.path("control")).unwrap().file_type().is_socket());
    isp.start();
    assert!(isp.program.routers().contains("routers"));
}
