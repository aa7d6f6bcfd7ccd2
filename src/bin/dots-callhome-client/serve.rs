//! The serving program: routers call in, commands come through the control socket.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dots_callhome::io::{clock, signals};
use dots_callhome::transport::crypto::Clock;
use mio::net::{TcpListener, UnixListener};
use mio::{Events, Interest, Poll, Registry, Token};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::arguments::Serve;
use crate::calls::Calls;
use crate::commands::Commands;
use crate::control;
use crate::credentials;
use crate::desired::Desired;
use crate::desk::Desk;
use crate::limits::Limits;
use crate::listeners::UdpListeners;
use crate::roster::Roster;
use crate::tokens::{CONTROL, LISTENERS, MOST_ADDRESSES, SIGNALS, SOCKETS, Tokens};

/// Everything the program has.
struct Server {
    clock: Arc<Clock>,
    desk: Desk,
    tokens: Tokens,
    control: UnixListener,
    listeners: Vec<TcpListener>,
    /// Listeners and UDP sockets where more may wait than was taken.
    waiting: BTreeSet<usize>,
}

/// Serves until it is told to end, or something is fundamentally wrong.
///
/// # Errors
/// In words: what is wrong with the arguments, their files or the system.
pub(crate) fn serve(arguments: &Serve, control: &Path) -> Result<(), String> {
    let mut poll = Poll::new().map_err(words)?;
    let registry = poll.registry().try_clone().map_err(words)?;
    let mut server = Server::new(arguments, control, &registry)?;
    let _signals = signals(&[SIGINT, SIGTERM], &registry, Token(SIGNALS)).map_err(words)?;
    let mut events = Events::with_capacity(256);
    let mut again = None;
    loop {
        let wait = [again, server.poll_timeout()].into_iter().flatten().min();
        match poll.poll(&mut events, wait) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.to_string()),
            _ => {}
        }
        server.clock.set(clock::now().unix);
        for event in &events {
            if event.token() == Token(SIGNALS) {
                server.desk.calls.leave_all();
                server.desk.settle();
                return Ok(());
            }
            server.handle_ready(event.token().0, event.is_writable());
        }
        again = server.read_on();
        server.desk.calls.handle_timeout();
        server.desk.settle();
    }
}

impl Server {
    fn new(arguments: &Serve, control: &Path, registry: &Registry) -> Result<Self, String> {
        let limits = Limits::raise();
        let clock = Arc::new(Clock::default());
        let told = |error: std::io::Error| format!("{}: {error}", arguments.state.display());
        std::fs::create_dir_all(&arguments.state).map_err(told)?;
        let proof = credentials::read(arguments, Arc::clone(&clock))?;
        let roster = arguments.routers.as_deref().map(Roster::read).transpose()?.unwrap_or_default();
        let mut udp = proof.dtls.map(UdpListeners::new);
        let listeners = listen(&arguments.listen, udp.as_mut(), registry)?;
        let mut control = control::listen(control)?;
        let desired = Desired::open(&arguments.state).map_err(|e| format!("{}: {e}", arguments.state.display()))?;
        registry.register(&mut control, Token(CONTROL), Interest::READABLE).map_err(words)?;
        let own = || registry.try_clone().map_err(words);
        let calls = Calls::new(own()?, proof.tls, udp, roster, proof.cuid, limits);
        let commands = Commands::new(own()?, limits.commands);
        let (tokens, waiting) = (Tokens::new(), BTreeSet::new());
        let desk = Desk::new(calls, commands, desired);
        Ok(Self { clock, desk, tokens, control, listeners, waiting })
    }

    /// How long nothing is due.
    fn poll_timeout(&self) -> Option<Duration> {
        let calls = self.desk.calls.poll_timeout().map(|due| due.saturating_duration_since(Instant::now()));
        [calls, self.desk.desired.poll_timeout()].into_iter().flatten().min()
    }

    /// A socket can be read or written.
    fn handle_ready(&mut self, token: usize, writable: bool) {
        if token < SIGNALS {
            self.waiting.insert(token);
        } else if !self.desk.calls.handle_ready(token, writable) {
            self.desk.commands.handle_ready(token, writable);
        }
    }

    /// Takes some of what waits at each socket. Returns after what time there is to be taken more.
    fn read_on(&mut self) -> Option<Duration> {
        self.desk.calls.read_on();
        let mut again = None;
        for token in std::mem::take(&mut self.waiting) {
            let wait = match token {
                CONTROL => self.desk.commands.accept(&self.control, &mut self.tokens),
                LISTENERS..SOCKETS => {
                    let listener = self.listeners.get(token - LISTENERS);
                    listener.and_then(|listener| self.desk.calls.accept(listener, &mut self.tokens))
                }
                _ => self.desk.calls.handle_socket(token - SOCKETS, &mut self.tokens),
            };
            if wait.is_some() {
                self.waiting.insert(token);
                again = [again, wait].into_iter().flatten().min();
            }
        }
        if self.desk.calls.is_unread() { Some(Duration::ZERO) } else { again }
    }
}

/// Listens on all addresses, over TCP and UDP.
fn listen(
    addresses: &[SocketAddr],
    mut udp: Option<&mut UdpListeners>,
    registry: &Registry,
) -> Result<Vec<TcpListener>, String> {
    if addresses.len() > MOST_ADDRESSES {
        return Err(format!("more than {MOST_ADDRESSES} addresses to listen on"));
    }
    let mut listeners = Vec::new();
    for (number, address) in addresses.iter().enumerate() {
        let told = |error: std::io::Error| format!("{address}: {error}");
        let mut listener = TcpListener::bind(*address).map_err(told)?;
        registry.register(&mut listener, Token(LISTENERS + number), Interest::READABLE).map_err(told)?;
        listeners.push(listener);
        if let Some(udp) = &mut udp {
            udp.listen(*address, registry, Token(SOCKETS + number)).map_err(told)?;
        }
    }
    Ok(listeners)
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
