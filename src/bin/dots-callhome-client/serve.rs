//! The serving program: routers call in, commands come through the control socket.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dots_callhome::io::clock;
use dots_callhome::io::signals;
use dots_callhome::transport::crypto::Clock;
use dots_callhome::transport::drop_list::DropList;
use mio::net::{TcpListener, UnixListener};
use mio::{Events, Interest, Poll, Registry, Token};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::arguments::Serve;
use crate::calls::Call;
use crate::commands::Command;
use crate::credentials;
use crate::doors::Doors;
use crate::roster::{Numbers, Roster};

/// The first tokens of TCP listeners, of UDP sockets, and of connections; the signals' is the last before these.
const LISTENERS: usize = 1;
const DOORS: usize = 32;
const SIGNALS: usize = 63;
const FIRST: usize = 64;
/// Addresses to listen on.
const MOST_ADDRESSES: usize = SIGNALS - DOORS;
/// Connections at once, of routers and commands.
pub const MOST: usize = 4096;

/// Everything the program has.
pub struct Server {
    pub poll: Poll,
    pub config: Arc<rustls::ServerConfig>,
    clock: Arc<Clock>,
    /// Our identifier.
    pub cuid: String,
    /// The one towards a router that has another client of that identifier.
    pub other_cuids: BTreeMap<String, String>,
    pub roster: Roster,
    pub numbers: Numbers,
    pub drop_list: DropList,
    /// Unless our credentials are of no use over UDP.
    pub doors: Option<Doors>,
    pub calls: BTreeMap<usize, Call>,
    pub commands: BTreeMap<usize, Command>,
    next: usize,
}

/// Serves until it is told to end, or something is fundamentally wrong.
pub fn serve(arguments: &Serve, control: &Path) -> Result<(), String> {
    let mut server = Server::new(arguments)?;
    let registry = server.poll.registry().try_clone().map_err(words)?;
    let listeners = server.listen(&arguments.listen, &registry)?;
    let _ = fs::remove_file(control);
    let mut commands = UnixListener::bind(control).map_err(|error| format!("{}: {error}", control.display()))?;
    registry.register(&mut commands, Token(0), Interest::READABLE).map_err(words)?;
    let _signals = signals(&[SIGINT, SIGTERM], &registry, Token(SIGNALS)).map_err(words)?;
    let mut events = Events::with_capacity(256);
    let mut unread: Vec<usize> = Vec::new();
    loop {
        let wait = if unread.is_empty() { server.poll_timeout() } else { Some(Duration::ZERO) };
        match server.poll.poll(&mut events, wait) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.to_string()),
            _ => {}
        }
        server.clock.set(clock::now().unix);
        for event in &events {
            match event.token().0 {
                0 => server.accept_commands(&commands),
                SIGNALS => {
                    server.leave_all();
                    return Ok(());
                }
                number @ LISTENERS..DOORS => {
                    if let Some(listener) = listeners.get(number - LISTENERS) {
                        server.accept_calls(listener);
                    }
                }
                number @ DOORS..SIGNALS => unread.push(number - DOORS),
                token if server.calls.contains_key(&token) => server.call_ready(token, event.is_writable()),
                token => server.command_ready(token, event.is_writable()),
            }
        }
        unread.sort_unstable();
        unread.dedup();
        unread.retain(|&door| server.read_door(door));
        server.handle_timeout();
    }
}

impl Server {
    fn new(arguments: &Serve) -> Result<Self, String> {
        let clock = Arc::new(Clock::default());
        let numbers = Numbers::read(&arguments.state).map_err(|e| format!("{}: {e}", arguments.state.display()))?;
        let proof = credentials::read(arguments, Arc::clone(&clock))?;
        let roster = arguments.routers.as_deref().map(Roster::read).transpose()?.unwrap_or_default();
        Ok(Self {
            poll: Poll::new().map_err(words)?,
            config: proof.tls,
            clock,
            cuid: proof.cuid,
            other_cuids: BTreeMap::new(),
            roster,
            numbers,
            drop_list: DropList::default(),
            doors: proof.dtls.map(Doors::new),
            calls: BTreeMap::new(),
            commands: BTreeMap::new(),
            next: FIRST,
        })
    }

    /// Listens on all addresses, over TCP and UDP.
    fn listen(&mut self, addresses: &[SocketAddr], registry: &Registry) -> Result<Vec<TcpListener>, String> {
        if addresses.len() > MOST_ADDRESSES {
            return Err(format!("more than {MOST_ADDRESSES} addresses to listen on"));
        }
        let mut listeners = Vec::new();
        for (number, address) in addresses.iter().enumerate() {
            let told = |error: std::io::Error| format!("{address}: {error}");
            let mut listener = TcpListener::bind(*address).map_err(told)?;
            registry.register(&mut listener, Token(LISTENERS + number), Interest::READABLE).map_err(told)?;
            listeners.push(listener);
            if let Some(doors) = &mut self.doors {
                doors.open(*address, registry, Token(DOORS + number)).map_err(told)?;
            }
        }
        Ok(listeners)
    }

    /// A token for a connection.
    pub fn take_token(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    /// How long nothing is due.
    fn poll_timeout(&self) -> Option<Duration> {
        let due = self.calls.values().filter_map(Call::poll_timeout).min()?;
        Some(due.saturating_duration_since(Instant::now()))
    }
}

/// An error in words.
pub fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
