//! The loop: waits for sockets, signals and times, and lets the state machines work.

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;

use mio::net::UnixStream;
use mio::{Events, Poll, Token, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::paths::Paths;
use super::wiring::Wiring;
use crate::io::signals;

const WAKER: Token = Token(0);
const RELOAD: Token = Token(1);
const END: Token = Token(2);

/// What the system does not let the daemon have.
#[derive(Debug)]
pub enum DaemonError {
    /// No event loop can be made.
    NoLoop(io::Error),
    /// Threads could not wake the loop.
    NoWaker(io::Error),
    /// Signals can't be heard.
    Signals(io::Error),
    /// The kernel's sockets can't be opened.
    NoNetlink(io::Error),
    /// The event loop fails.
    Loop(io::Error),
    /// The kernel's sockets fail.
    Netlink(io::Error),
}

impl fmt::Display for DaemonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLoop(error) => write!(f, "no event loop: {error}"),
            Self::NoWaker(error) => write!(f, "no waker: {error}"),
            Self::Signals(error) => write!(f, "signals: {error}"),
            Self::NoNetlink(error) => {
                write!(f, "netlink: {error}; is CAP_NET_ADMIN missing, or kmod-nf-conntrack-netlink?")
            }
            Self::Loop(error) => write!(f, "event loop: {error}"),
            Self::Netlink(error) => write!(f, "netlink: {error}"),
        }
    }
}

impl std::error::Error for DaemonError {}

/// The router's daemon.
pub struct Daemon {
    poll: Poll,
    reload: UnixStream,
    end: UnixStream,
    wiring: Wiring,
    stopping: bool,
}

impl Daemon {
    /// Reads the configuration and takes up what was in force before.
    ///
    /// # Errors
    /// What the system does not let us have.
    pub fn new(paths: Paths) -> Result<Self, DaemonError> {
        let poll = Poll::new().map_err(DaemonError::NoLoop)?;
        let registry = poll.registry().try_clone().map_err(DaemonError::NoLoop)?;
        let waker = Waker::new(&registry, WAKER).map(Arc::new).map_err(DaemonError::NoWaker)?;
        let reload = signals(&[SIGHUP], &registry, RELOAD).map_err(DaemonError::Signals)?;
        let end = signals(&[SIGINT, SIGTERM], &registry, END).map_err(DaemonError::Signals)?;
        let wiring = Wiring::new(paths, registry, waker).map_err(DaemonError::NoNetlink)?;
        Ok(Self { poll, reload, end, wiring, stopping: false })
    }

    /// Runs until told to end.
    ///
    /// # Errors
    /// Why it can't go on.
    pub fn run(&mut self) -> Result<(), DaemonError> {
        let mut events = Events::with_capacity(64);
        while !self.stopping {
            let quiet = self.wiring.settle();
            let wait = if quiet { self.wiring.wait() } else { Some(Duration::ZERO) };
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(DaemonError::Loop(error)),
                _ => {}
            }
            self.wiring.tick();
            for event in &events {
                self.dispatch(event.token(), event.is_writable());
            }
            self.wiring.read_on().map_err(DaemonError::Netlink)?;
        }
        self.wiring.stop();
        log::info!("ends; what is blocked stays blocked until its time is over");
        Ok(())
    }

    fn dispatch(&mut self, token: Token, writable: bool) {
        match token {
            WAKER => self.wiring.handle_resolutions(),
            RELOAD => {
                drain(&mut self.reload);
                self.wiring.configure();
            }
            END => {
                drain(&mut self.end);
                self.stopping = true;
            }
            token => self.wiring.ready(token, writable),
        }
    }
}

fn drain(signals: &mut UnixStream) {
    let mut said = [0; 16];
    while signals.read(&mut said).is_ok_and(|length| length > 0) {}
}
