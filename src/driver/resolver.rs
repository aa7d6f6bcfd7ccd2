//! Name resolution off the loop: the system's resolver blocks, so each question gets a short-lived thread.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use mio::Waker;

use super::name_servers;

/// An answer: the name asked for, and its addresses or why there are none.
pub(super) type Resolution = (String, Result<Vec<IpAddr>, String>);

/// Asks the system's resolver, as the router itself would.
pub(super) struct Resolver {
    waker: Arc<Waker>,
    answers: Receiver<Resolution>,
    sender: Sender<Resolution>,
}

impl Resolver {
    /// Resolutions are announced through `waker`.
    pub(super) fn new(waker: Arc<Waker>) -> Self {
        let (sender, answers) = channel();
        Self { waker, answers, sender }
    }

    /// Asks for the addresses of `name`. Each peer has one question at a time, so threads are few.
    ///
    /// # Errors
    /// When the system has no room for a thread.
    pub(super) fn ask(&self, name: String) -> io::Result<()> {
        let (sender, waker) = (self.sender.clone(), Arc::clone(&self.waker));
        thread::Builder::new().name("resolve".into()).stack_size(128 * 1024).spawn(move || {
            let found = (name.as_str(), 0).to_socket_addrs().map(|all| all.map(|address| address.ip()).collect());
            let answer = found.or_else(|error| name_servers::resolve(&name).ok_or(error.to_string()));
            // Both fail only when the loop is gone.
            let _ = sender.send((name, answer));
            let _ = waker.wake();
        })?;
        Ok(())
    }

    /// The next answer, if there is one.
    pub(super) fn poll_resolution(&self) -> Option<Resolution> {
        self.answers.try_recv().ok()
    }
}
