//! The serving program: routers call in, commands come through the control socket.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use dots_callhome::coap::Endpoint;
use dots_callhome::driver::link::{self, Link};
use dots_callhome::driver::random::Rng;
use dots_callhome::signal::body::Lifetime;
use dots_callhome::signal::redirect::Redirect;
use dots_callhome::transport::credentials::Clock;
use dots_callhome::transport::drop_list::DropList;
use dots_callhome::transport::identity;
use dots_callhome::transport::tls::{Channel, Failure};
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use crate::arguments::Serve;
use crate::control::Ask;
use crate::credentials;
use crate::roster::{Numbers, Roster};
use crate::router::{Asker, Event, Router};
use crate::show;

/// The first token of connections; listeners come before.
const FIRST: usize = 64;
/// Time for a router to prove who it is.
const HANDSHAKE: Duration = Duration::from_secs(20);
/// Connections at once, of routers and commands.
const MOST: usize = 4096;
/// A command is one short line.
const LONGEST_COMMAND: usize = 64 * 1024;

/// A connection of a router, proven or not.
struct Call {
    link: Link<TcpStream>,
    from: SocketAddr,
    channel: Channel,
    name: Option<String>,
    router: Option<Router>,
    since: Instant,
}

/// Why a connection is over.
enum Lost {
    /// It ended, or the router's session did.
    Gone(String),
    /// Whoever called is none of our routers.
    Unproven(String),
}

/// A connection of a command.
struct Command {
    link: Link<UnixStream>,
    line: Vec<u8>,
    watches: Option<(Option<String>, Option<u32>)>,
}

struct Server {
    poll: Poll,
    config: Arc<rustls::ServerConfig>,
    clock: Arc<Clock>,
    cuid: String,
    roster: Roster,
    numbers: Numbers,
    drop_list: DropList,
    calls: BTreeMap<usize, Call>,
    commands: BTreeMap<usize, Command>,
    next: usize,
}

/// Serves until something is fundamentally wrong.
pub fn serve(arguments: &Serve, control: &std::path::Path) -> Result<(), String> {
    let mut server = Server::new(arguments)?;
    let registry = server.poll.registry().try_clone().map_err(words)?;
    let mut listeners = Vec::new();
    for (number, address) in arguments.listen.iter().enumerate() {
        let mut listener = TcpListener::bind(*address).map_err(|error| format!("{address}: {error}"))?;
        registry.register(&mut listener, Token(number + 1), Interest::READABLE).map_err(words)?;
        listeners.push(listener);
    }
    let _ = fs::remove_file(control);
    let mut commands = UnixListener::bind(control).map_err(|error| format!("{}: {error}", control.display()))?;
    registry.register(&mut commands, Token(0), Interest::READABLE).map_err(words)?;
    let mut events = Events::with_capacity(256);
    loop {
        let wait = server.poll_timeout().map(|due| due.saturating_duration_since(Instant::now()));
        match server.poll.poll(&mut events, wait) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.to_string()),
            _ => {}
        }
        server.clock.set(unix());
        for event in &events {
            match event.token() {
                Token(0) => server.accept_commands(&commands),
                Token(number) if number < FIRST => {
                    if let Some(listener) = listeners.get(number - 1) {
                        server.accept_calls(listener);
                    }
                }
                Token(number) => server.ready(number, event.is_writable()),
            }
        }
        server.handle_timeout();
    }
}

impl Server {
    fn new(arguments: &Serve) -> Result<Self, String> {
        let clock = Arc::new(Clock::default());
        let (config, cuid) = credentials::read(arguments, Arc::clone(&clock))?;
        let roster = arguments.routers.as_deref().map(Roster::read).transpose()?.unwrap_or_default();
        let numbers = Numbers::read(&arguments.state).map_err(|e| format!("{}: {e}", arguments.state.display()))?;
        Ok(Self {
            poll: Poll::new().map_err(words)?,
            config,
            clock,
            cuid,
            roster,
            numbers,
            drop_list: DropList::default(),
            calls: BTreeMap::new(),
            commands: BTreeMap::new(),
            next: FIRST,
        })
    }

    fn take_token(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    fn accept_calls(&mut self, listener: &TcpListener) {
        while let Ok((stream, from)) = listener.accept() {
            if self.drop_list.is_dropped(from.ip(), Instant::now()) {
                continue;
            }
            let token = self.take_token();
            let Ok(channel) = Channel::server(Arc::clone(&self.config)) else { continue };
            if self.calls.len() < MOST
                && let Ok(link) = Link::new(stream, self.poll.registry(), Token(token))
            {
                let call = Call { link, from, channel, name: None, router: None, since: Instant::now() };
                self.calls.insert(token, call);
            }
        }
    }

    fn accept_commands(&mut self, listener: &UnixListener) {
        while let Ok((stream, _)) = listener.accept() {
            let token = self.take_token();
            if self.commands.len() < MOST
                && let Ok(link) = Link::new(stream, self.poll.registry(), Token(token))
            {
                self.commands.insert(token, Command { link, line: Vec::new(), watches: None });
            }
        }
    }

    fn ready(&mut self, token: usize, writable: bool) {
        if let Some(mut call) = self.calls.remove(&token) {
            let outcome = self.read_call(&mut call, writable);
            self.after_call(token, call, outcome);
        } else if let Some(command) = self.commands.get_mut(&token) {
            match read_command(command, writable) {
                Ok(Some(ask)) => self.asked(token, ask),
                Ok(None) => {}
                Err(why) => self.reply_last(token, &json!({ "error": why })),
            }
        }
    }

    fn read_call(&mut self, call: &mut Call, writable: bool) -> Result<(), Lost> {
        if writable {
            call.link.flush().map_err(gone)?;
        }
        let mut buffer = link::buffer();
        while let Some(bytes) = call.link.receive(&mut buffer).map_err(gone)? {
            let mut plaintext = Vec::new();
            let outcome = call.channel.handle_input(bytes, &mut plaintext);
            if call.router.is_none() && call.channel.is_established() {
                self.admit(call).map_err(Lost::Unproven)?;
            }
            if let Some(router) = &mut call.router {
                router.handle_input(&plaintext, Instant::now()).map_err(gone)?;
            }
            outcome.map_err(|failure| match (&call.router, failure) {
                // A router that has reached us over another path hangs up before it has proven anything.
                (Some(_), failure) | (None, failure @ Failure::Closed) => gone(failure),
                (None, failure) => Lost::Unproven(failure.to_string()),
            })?;
        }
        Ok(())
    }

    /// The caller has proven who it is.
    fn admit(&mut self, call: &mut Call) -> Result<(), String> {
        let name = call.channel.peer_certificate().and_then(identity::name).ok_or("no name in its certificate")?;
        if !self.roster.admits(&name) {
            return Err(format!("{name} is not among our routers"));
        }
        // A router that calls again has lost its former session.
        let former = self.calls.iter().find(|(_, other)| other.name.as_deref() == Some(&name)).map(|(t, _)| *t);
        if let Some(mut former) = former.and_then(|token| self.calls.remove(&token)) {
            former.link.leave(self.poll.registry());
        }
        println!("{name} has called from {}", call.from);
        call.name = Some(name);
        call.router = Some(Router::new(Endpoint::stream(Box::new(Rng::new())), self.cuid.clone(), Instant::now()));
        Ok(())
    }

    /// Sends what is to be sent and deals with what happened.
    fn after_call(&mut self, token: usize, mut call: Call, outcome: Result<(), Lost>) {
        let mut lost = outcome.err();
        let mut events = Vec::new();
        if let Some(router) = &mut call.router {
            while let Some(bytes) = router.poll_transmit() {
                call.channel.write(&bytes);
            }
            events.extend(std::iter::from_fn(|| router.poll_event()));
        }
        while let Some(bytes) = call.channel.poll_transmit() {
            if let Err(error) = call.link.send(&bytes) {
                lost.get_or_insert_with(|| gone(error));
            }
        }
        let name = call.name.clone().unwrap_or_else(|| call.from.to_string());
        if events.iter().any(|event| matches!(event, Event::Lost)) {
            lost.get_or_insert_with(|| gone("it said goodbye or went silent"));
        }
        if let Some(lost) = lost {
            self.tell_lost(&name, call.from, &lost);
            call.link.leave(self.poll.registry());
        } else {
            self.calls.insert(token, call);
        }
        for event in events {
            match event {
                Event::Answered(asker, outcome) => self.answered(asker, &name, outcome),
                Event::Reported(mid) => self.reported(&name, mid),
                Event::Ready | Event::Lost => {}
            }
        }
    }

    fn tell_lost(&mut self, name: &str, from: SocketAddr, lost: &Lost) {
        match lost {
            Lost::Gone(why) => println!("{name} is gone: {why}"),
            Lost::Unproven(why) => {
                println!("{name} is refused: {why}");
                if self.drop_list.failed(from.ip(), Instant::now()) {
                    println!("{} has failed too often: dropped for a while", from.ip());
                }
            }
        }
    }

    fn asked(&mut self, token: usize, ask: Ask) {
        match ask {
            Ask::Routers => {
                let routers: Vec<Value> = self.calls.values().filter_map(router_json).collect();
                self.reply_last(token, &json!({ "routers": routers }));
            }
            Ask::Status { router, mid, watch } => {
                let all = self.mitigations(router.as_deref(), mid);
                if watch {
                    if let Some(command) = self.commands.get_mut(&token) {
                        command.watches = Some((router, mid));
                    }
                    all.iter().for_each(|one| self.reply(token, one));
                } else {
                    self.reply_last(token, &json!({ "mitigations": all }));
                }
            }
            Ask::Request { router, scope, lifetime } => {
                let scope = dots_callhome::scope::Scope::from(scope);
                if let Some(foreign) = self.roster.foreign(&router, &scope.source_prefixes) {
                    let why = format!("{foreign} does not belong to {router}");
                    return self.reply_last(token, &json!({ "error": why }));
                }
                let lifetime = u32::try_from(lifetime).map_or(Lifetime::Indefinite, Lifetime::Seconds);
                match self.numbers.take(&router) {
                    Ok(mid) => self.tell(token, &router, |r, now| r.request(asker(token), mid, scope, lifetime, now)),
                    Err(error) => self.reply_last(token, &json!({ "error": error.to_string() })),
                }
            }
            Ask::Withdraw { router, mid } => self.tell(token, &router, |r, now| r.withdraw(asker(token), mid, now)),
            Ask::Redirect { router, to, addresses, ttl } => {
                let redirect = Redirect { name: to, addresses, ttl };
                self.tell(token, &router, |r, now| r.redirect(asker(token), &redirect, now));
            }
        }
    }

    /// Lets a connected router do something.
    fn tell(&mut self, token: usize, name: &str, what: impl FnOnce(&mut Router, Instant)) {
        let found = self.calls.iter().find(|(_, call)| call.name.as_deref() == Some(name)).map(|(token, _)| *token);
        let Some((call_token, mut call)) = found.and_then(|t| Some((t, self.calls.remove(&t)?))) else {
            let why = format!("{name} has not called");
            return self.reply_last(token, &json!({ "error": why }));
        };
        if let Some(router) = &mut call.router {
            what(router, Instant::now());
        }
        self.after_call(call_token, call, Ok(()));
    }

    fn answered(&mut self, asker: Asker, router: &str, outcome: Result<u32, String>) {
        let Ok(token) = usize::try_from(asker) else { return };
        match outcome {
            Ok(mid) => {
                let one = self.mitigations(Some(router), Some(mid)).into_iter().next();
                self.reply_last(token, &one.unwrap_or_else(|| json!({ "router": router, "mid": mid })));
            }
            Err(why) => self.reply_last(token, &json!({ "error": why })),
        }
    }

    fn reported(&mut self, router: &str, mid: u32) {
        let wanted = |(name, number): &(Option<String>, Option<u32>)| {
            name.as_deref().is_none_or(|name| name == router) && number.is_none_or(|number| number == mid)
        };
        let watchers = self.commands.iter().filter(|(_, command)| command.watches.as_ref().is_some_and(wanted));
        let watchers: Vec<usize> = watchers.map(|(token, _)| *token).collect();
        for one in self.mitigations(Some(router), Some(mid)) {
            watchers.iter().for_each(|&token| self.reply(token, &one));
        }
    }

    fn mitigations(&self, router: Option<&str>, mid: Option<u32>) -> Vec<Value> {
        let mut all = Vec::new();
        for call in self.calls.values() {
            let (Some(name), Some(session)) = (&call.name, &call.router) else { continue };
            if router.is_none_or(|wanted| wanted == name) {
                let wanted = session.mitigations().filter(|(number, _)| mid.is_none_or(|mid| mid == *number));
                all.extend(wanted.map(|(number, known)| show::json(name, number, known)));
            }
        }
        all
    }

    fn reply(&mut self, token: usize, value: &Value) {
        let Some(command) = self.commands.get_mut(&token) else { return };
        if command.link.send(format!("{value}\n").as_bytes()).is_err() {
            self.hang_up(token);
        }
    }

    /// Replies and ends the connection. What is small fits the socket's buffer, so nothing is cut off.
    fn reply_last(&mut self, token: usize, value: &Value) {
        self.reply(token, value);
        if let Some(command) = self.commands.get_mut(&token) {
            let _ = command.link.flush();
        }
        self.hang_up(token);
    }

    fn hang_up(&mut self, token: usize) {
        if let Some(mut command) = self.commands.remove(&token) {
            command.link.leave(self.poll.registry());
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let due = |call: &Call| match &call.router {
            Some(router) => router.poll_timeout(),
            None => Some(call.since + HANDSHAKE),
        };
        self.calls.values().filter_map(due).min()
    }

    fn handle_timeout(&mut self) {
        let now = Instant::now();
        let tokens: Vec<usize> = self.calls.keys().copied().collect();
        for token in tokens {
            let Some(mut call) = self.calls.remove(&token) else { continue };
            let outcome = match &mut call.router {
                Some(router) => {
                    if router.poll_timeout().is_some_and(|due| due <= now) {
                        router.handle_timeout(now);
                    }
                    Ok(())
                }
                None if call.since + HANDSHAKE <= now => {
                    Err(Lost::Unproven("it did not prove in time who it is".to_owned()))
                }
                None => Ok(()),
            };
            self.after_call(token, call, outcome);
        }
    }
}

fn read_command(command: &mut Command, writable: bool) -> Result<Option<Ask>, String> {
    if writable {
        command.link.flush().map_err(words)?;
    }
    let mut buffer = link::buffer();
    while let Some(bytes) = command.link.receive(&mut buffer).map_err(words)? {
        command.line.extend_from_slice(bytes);
        if let Some(end) = command.line.iter().position(|&byte| byte == b'\n') {
            let line = command.line.get(..end).unwrap_or_default();
            return serde_json::from_slice(line).map(Some).map_err(words);
        }
        if command.line.len() > LONGEST_COMMAND {
            return Err("the command is too long".into());
        }
    }
    Ok(None)
}

fn router_json(call: &Call) -> Option<Value> {
    let (name, router) = (call.name.as_ref()?, call.router.as_ref()?);
    Some(json!({
        "name": name,
        "address": call.from.to_string(),
        "seconds": call.since.elapsed().as_secs(),
        "mitigations": router.mitigations().filter(|(_, known)| !known.ended).count(),
    }))
}

fn asker(token: usize) -> Asker {
    token as Asker
}

fn gone(why: impl std::fmt::Display) -> Lost {
    Lost::Gone(why.to_string())
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Seconds since 1970.
fn unix() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
