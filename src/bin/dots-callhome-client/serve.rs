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
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::arguments::Serve;
use crate::calls::Calls;
use crate::commands::Commands;
use crate::control;
use crate::credentials::{self, ServerCredentials};
use crate::desired::Desired;
use crate::desk::Desk;
use crate::drain::Drain;
use crate::limits::Limits;
use crate::listeners::UdpListeners;
use crate::output;
use crate::roster::Roster;
use crate::scrapes::Scrapes;
use crate::settings::Settings;
use crate::tokens::{CONTROL, HANGUP, LISTENERS, METRICS, MOST_ADDRESSES, SIGNALS, SOCKETS, Tokens};

/// The file of names that may not call any more, in the directory of the state.
const REVOKED: &str = "revoked";

/// Everything the program has.
struct Server {
    clock: Arc<Clock>,
    desk: Desk,
    tokens: Tokens,
    control: UnixListener,
    listeners: Vec<TcpListener>,
    scrapes: Scrapes,
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
    let _hangups = signals(&[SIGHUP], &registry, Token(HANGUP)).map_err(words)?;
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
            if event.token() == Token(HANGUP) {
                let _ = server.reload(arguments);
            }
            server.handle_ready(event.token().0, event.is_writable());
        }
        again = server.read_on();
        server.desk.calls.handle_timeout();
        server.scrapes.handle_timeout(Instant::now());
        server.desk.settle();
        for reload in server.desk.take_reloads() {
            let outcome = server.reload(arguments);
            server.desk.handle_reloaded(reload, outcome);
            server.desk.settle();
        }
    }
}

/// Reads all that serving needs, without serving.
///
/// # Errors
/// In words: the first thing that is wrong.
pub(crate) fn check(arguments: &Serve) -> Result<(), String> {
    let settings = Settings::read(arguments)?;
    std::fs::create_dir_all(&settings.state).map_err(|error| format!("{}: {error}", settings.state.display()))?;
    files(&settings, Arc::default()).map(drop)
}

/// Everything that is read from files again and again.
fn files(settings: &Settings, clock: Arc<Clock>) -> Result<(ServerCredentials, Roster), String> {
    let proof = credentials::read(settings, clock)?;
    let mut roster = settings.routers.as_deref().map(Roster::read).transpose()?.unwrap_or_default();
    roster.read_revoked(&settings.state.join(REVOKED))?;
    Ok((proof, roster))
}

impl Server {
    fn new(arguments: &Serve, control: &Path, registry: &Registry) -> Result<Self, String> {
        let settings = Settings::read(arguments)?;
        let limits = Limits::raise();
        let clock = Arc::new(Clock::default());
        let state = &settings.state;
        let told = |why: &dyn std::fmt::Display| format!("{}: {why}", state.display());
        std::fs::create_dir_all(state).map_err(|error| told(&error))?;
        let (mut proof, roster) = files(&settings, Arc::clone(&clock))?;
        let mut udp = proof.dtls.take().map(UdpListeners::new);
        let listeners = listen(&settings.listen, udp.as_mut(), registry)?;
        let mut control = control::listen(control)?;
        let scrapes = Scrapes::listen(settings.metrics, registry.try_clone().map_err(words)?)?;
        let desired = Desired::open(state).map_err(|error| told(&error))?;
        registry.register(&mut control, Token(CONTROL), Interest::READABLE).map_err(words)?;
        let own = || registry.try_clone().map_err(words);
        let calls = Calls::new(own()?, proof, udp, roster, limits);
        let commands = Commands::new(own()?, limits.commands);
        let (tokens, waiting) = (Tokens::new(), BTreeSet::new());
        let mut desk = Desk::new(calls, commands, desired, state.join(REVOKED));
        desk.guard.set_limits(settings.limits);
        Ok(Self { clock, desk, tokens, control, listeners, scrapes, waiting })
    }

    /// Reads all files once more. What can't be read leaves everything as it was, and that is said.
    fn reload(&mut self, arguments: &Serve) -> Result<(), String> {
        let read = || {
            let settings = Settings::read(arguments)?;
            let (proof, roster) = files(&settings, Arc::clone(&self.clock))?;
            Ok((settings, proof, roster))
        };
        let read: Result<_, String> = read();
        let (settings, proof, roster) = read.inspect_err(|why| {
            output::log(format_args!("nothing is read anew: {why}"));
        })?;
        self.desk.guard.set_limits(settings.limits);
        self.desk.calls.set_credentials(proof, roster);
        output::log("configuration, credentials and routers are read anew");
        Ok(())
    }

    /// How long nothing is due.
    fn poll_timeout(&self) -> Option<Duration> {
        let drain = self.desk.drain.as_ref().and_then(Drain::poll_timeout);
        let due = [self.desk.calls.poll_timeout(), self.scrapes.poll_timeout(), drain].into_iter().flatten().min();
        let due = due.map(|due| due.saturating_duration_since(Instant::now()));
        [due, self.desk.desired.poll_timeout()].into_iter().flatten().min()
    }

    /// A socket can be read or written.
    fn handle_ready(&mut self, token: usize, writable: bool) {
        let Self { desk, scrapes, .. } = self;
        if token < SIGNALS || token == METRICS {
            self.waiting.insert(token);
        } else if !desk.calls.handle_ready(token, writable) && !scrapes.handle_ready(token, writable, || desk.metrics())
        {
            desk.commands.handle_ready(token, writable);
        }
    }

    /// Takes some of what waits at each socket. Returns after what time there is to be taken more.
    fn read_on(&mut self) -> Option<Duration> {
        self.desk.calls.read_on();
        let mut again = None;
        for token in std::mem::take(&mut self.waiting) {
            let wait = match token {
                METRICS => self.scrapes.accept(&mut self.tokens),
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
