//! The serving program: routers call in, commands come through the control socket.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dots_callhome::client::{Outcome, RequestFailure, Requester, Session};
use dots_callhome::io::{clock, signals};
use dots_callhome::model::Scope;
use dots_callhome::signal::body::Lifetime;
use dots_callhome::signal::redirect::Redirect;
use dots_callhome::transport::crypto::Clock;
use mio::net::{TcpListener, UnixListener};
use mio::{Events, Interest, Poll, Registry, Token};
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::arguments::Serve;
use crate::calls::{CallEvent, Calls};
use crate::commands::{Commands, Selection};
use crate::control::{self, Ask};
use crate::credentials;
use crate::limits::Limits;
use crate::listeners::UdpListeners;
use crate::roster::{Numbers, Roster};
use crate::show;
use crate::tokens::{CONTROL, LISTENERS, MOST_ADDRESSES, SIGNALS, SOCKETS, Tokens};

/// Everything the program has.
struct Server {
    clock: Arc<Clock>,
    numbers: Numbers,
    calls: Calls,
    commands: Commands,
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
                server.calls.leave_all();
                server.settle();
                return Ok(());
            }
            server.handle_ready(event.token().0, event.is_writable());
            server.settle();
        }
        again = server.read_on();
        server.calls.handle_timeout();
        server.settle();
    }
}

impl Server {
    fn new(arguments: &Serve, control: &Path, registry: &Registry) -> Result<Self, String> {
        let limits = Limits::raise();
        let clock = Arc::new(Clock::default());
        let numbers = Numbers::read(&arguments.state).map_err(|e| format!("{}: {e}", arguments.state.display()))?;
        let proof = credentials::read(arguments, Arc::clone(&clock))?;
        let roster = arguments.routers.as_deref().map(Roster::read).transpose()?.unwrap_or_default();
        let mut udp = proof.dtls.map(UdpListeners::new);
        let listeners = listen(&arguments.listen, udp.as_mut(), registry)?;
        let mut control = control::listen(control)?;
        registry.register(&mut control, Token(CONTROL), Interest::READABLE).map_err(words)?;
        let own = || registry.try_clone().map_err(words);
        let calls = Calls::new(own()?, proof.tls, udp, roster, proof.cuid, limits);
        let commands = Commands::new(own()?, limits.commands);
        let (tokens, waiting) = (Tokens::new(), BTreeSet::new());
        Ok(Self { clock, numbers, calls, commands, tokens, control, listeners, waiting })
    }

    /// How long nothing is due.
    fn poll_timeout(&self) -> Option<Duration> {
        Some(self.calls.poll_timeout()?.saturating_duration_since(Instant::now()))
    }

    /// A socket can be read or written.
    fn handle_ready(&mut self, token: usize, writable: bool) {
        if token < SIGNALS {
            self.waiting.insert(token);
        } else if !self.calls.handle_ready(token, writable) {
            self.commands.handle_ready(token, writable);
        }
    }

    /// Takes some of what waits at each socket. Returns after what time there is to be taken more.
    fn read_on(&mut self) -> Option<Duration> {
        self.calls.read_on();
        let mut again = None;
        for token in std::mem::take(&mut self.waiting) {
            let wait = match token {
                CONTROL => self.commands.accept(&self.control, &mut self.tokens),
                LISTENERS..SOCKETS => {
                    let listener = self.listeners.get(token - LISTENERS);
                    listener.and_then(|listener| self.calls.accept(listener, &mut self.tokens))
                }
                _ => self.calls.handle_socket(token - SOCKETS, &mut self.tokens),
            };
            if wait.is_some() {
                self.waiting.insert(token);
                again = [again, wait].into_iter().flatten().min();
            }
        }
        if self.calls.is_unread() { Some(Duration::ZERO) } else { again }
    }

    /// Hands commands to the calls and what these tell to the commands, until nothing is left.
    fn settle(&mut self) {
        loop {
            if let Some((token, ask)) = self.commands.poll_command() {
                self.handle_command(token, ask);
            } else if let Some(event) = self.calls.poll_event() {
                match event {
                    CallEvent::Answered { requester, router, outcome } => self.answer(requester, &router, outcome),
                    CallEvent::Reported { router, mid } => self.report(router, mid),
                }
            } else {
                return;
            }
        }
    }

    fn handle_command(&mut self, token: usize, ask: Ask) {
        match ask {
            Ask::Routers => self.commands.reply_last(token, &json!({ "routers": self.calls.routers() })),
            Ask::Status { router, mid, watch } => self.status(token, Selection { router, mid }, watch),
            Ask::Request { router, scope, lifetime } => self.request(token, &router, scope.into(), lifetime),
            Ask::Withdraw { router, mid } => {
                self.tell(token, &router, |session, now| session.withdraw(requester(token), mid, now));
            }
            Ask::Redirect { router, to, addresses, ttl } => {
                let redirect = Redirect { name: to, addresses, ttl };
                self.tell(token, &router, |session, now| session.redirect(requester(token), &redirect, now));
            }
        }
    }

    fn status(&mut self, token: usize, selection: Selection, watch: bool) {
        let all = self.mitigations(&selection);
        if !watch {
            return self.commands.reply_last(token, &json!({ "mitigations": all }));
        }
        self.commands.watch(token, selection);
        all.iter().for_each(|one| self.commands.reply(token, one));
    }

    fn request(&mut self, token: usize, router: &str, scope: Scope, lifetime: i64) {
        if let Some(foreign) = self.calls.foreign(router, &scope.source_prefixes) {
            return self.commands.refuse(token, &format!("{foreign} does not belong to {router}"));
        }
        let lifetime = u32::try_from(lifetime).map_or(Lifetime::Indefinite, Lifetime::Seconds);
        match self.numbers.take(router, !self.calls.is_mitigating(router)) {
            Ok(mid) => self.tell(token, router, |session, now| {
                session.request(requester(token), mid, scope, lifetime, now);
            }),
            Err(error) => self.commands.refuse(token, &error),
        }
    }

    /// Lets a connected router do something.
    fn tell(&mut self, token: usize, router: &str, what: impl FnOnce(&mut Session, Instant)) {
        if !self.calls.with_session(router, what) {
            self.commands.refuse(token, &format!("{router} has not called"));
        }
    }

    /// Hands a router's answer to whoever waits for it.
    fn answer(&mut self, requester: Requester, router: &str, outcome: Result<Outcome, RequestFailure>) {
        let Ok(token) = usize::try_from(requester) else { return };
        match outcome {
            Ok(Outcome::Mitigation(mid)) => {
                let one = self.mitigations(&Selection { router: Some(router.to_owned()), mid: Some(mid) }).pop();
                self.commands.reply_last(token, &one.unwrap_or_else(|| json!({ "router": router, "mid": mid })));
            }
            Ok(Outcome::Redirected) => self.commands.reply_last(token, &json!({ "router": router })),
            Err(why) => self.commands.refuse(token, &why),
        }
    }

    /// Tells all who watch what a router has told.
    fn report(&mut self, router: String, mid: u32) {
        let watchers = self.commands.watchers(&router, mid);
        for one in self.mitigations(&Selection { router: Some(router), mid: Some(mid) }) {
            watchers.iter().for_each(|&token| self.commands.reply(token, &one));
        }
    }

    fn mitigations(&self, selection: &Selection) -> Vec<Value> {
        let wanted = self.calls.mitigations().filter(|(router, mid, _)| selection.covers(router, *mid));
        wanted.map(|(router, mid, known)| show::json(router, mid, known)).collect()
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

fn requester(token: usize) -> Requester {
    token as Requester
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
