//! Calls of routers: from the first byte until the session is over.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dots_callhome::coap::Endpoint;
use dots_callhome::io::clock;
use dots_callhome::io::connection::Connection;
use dots_callhome::io::random::Rng;
use dots_callhome::model::Transport;
use dots_callhome::transport::tls::TlsChannel;
use mio::Token;
use mio::net::TcpListener;
use serde_json::{Value, json};

use crate::doors::Place;
use crate::ended::Ended;
use crate::serve::{MOST, Server};
use dots_callhome::client::{Event, Refusal, Session};

/// Time for a router to prove who it is.
const HANDSHAKE: Duration = Duration::from_secs(20);
/// Datagrams of one wake-up: others want to be heard too.
const DATAGRAMS: usize = 256;

/// A connection of a router, proven or not.
pub struct Call {
    connection: Connection,
    from: SocketAddr,
    /// Where it came in, over datagrams.
    place: Option<Place>,
    /// Whose it is.
    pub name: Option<String>,
    /// The session, once that is proven.
    pub router: Option<Session>,
    since: Instant,
}

impl Call {
    fn new(connection: Connection, from: SocketAddr, place: Option<Place>) -> Self {
        Self { connection, from, place, name: None, router: None, since: Instant::now() }
    }

    /// When [`Server::handle_timeout`] has to look at it.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = match &self.router {
            Some(router) => router.poll_timeout(),
            None => Some(self.since + HANDSHAKE),
        };
        [due, self.connection.poll_timeout()].into_iter().flatten().min()
    }

    fn too_slow(&self) -> Ended {
        if self.place.is_some() { Ended::Abandoned } else { Ended::TooSlow }
    }

    /// What there is to say about it.
    pub fn json(&self) -> Option<Value> {
        let (name, router) = (self.name.as_ref()?, self.router.as_ref()?);
        Some(json!({
            "name": name,
            "address": self.from.to_string(),
            "transport": self.connection.transport().as_str(),
            "seconds": self.since.elapsed().as_secs(),
            "mitigations": router.mitigations().filter(|(_, known)| !known.ended).count(),
        }))
    }
}

impl Server {
    /// Routers begin to call over TCP.
    pub fn accept_calls(&mut self, listener: &TcpListener) {
        while let Ok((stream, from)) = listener.accept() {
            if self.drop_list.is_dropped(from.ip(), Instant::now()) {
                continue;
            }
            let token = self.take_token();
            let Ok(channel) = TlsChannel::server(Arc::clone(&self.config)) else { continue };
            if self.calls.len() < MOST
                && let Ok(connection) = Connection::tls(stream, channel, self.poll.registry(), Token(token))
            {
                self.calls.insert(token, Call::new(connection, from, None));
            }
        }
    }

    /// Datagrams of all routers have come to that door; whether there may be more.
    pub fn read_door(&mut self, number: usize) -> bool {
        for _ in 0..DATAGRAMS {
            let Some((datagram, from)) = self.doors.as_ref().and_then(|doors| doors.receive(number)) else {
                return false;
            };
            self.datagram((number, from), &datagram);
        }
        true
    }

    /// Whoever restarts calls from where it called before. Its old session has to go on until the new one is proven, or
    /// anybody could end it.
    fn datagram(&mut self, place: Place, datagram: &[u8]) {
        let Some(doors) = &self.doors else { return };
        let seat = doors.seat(place);
        if seat.proven.is_some_and(|token| self.take(token, datagram)) {
            return;
        }
        match seat.coming {
            Some(token) => drop(self.take(token, datagram)),
            None => self.greet(place, datagram),
        }
    }

    fn greet(&mut self, place: Place, datagram: &[u8]) {
        let from = place.1;
        if self.calls.len() >= MOST || self.drop_list.is_dropped(from.ip(), Instant::now()) {
            return;
        }
        let token = self.take_token();
        let Some(doors) = &mut self.doors else { return };
        let Some(channel) = doors.greet(place, datagram, clock::now()) else { return };
        let Some(socket) = doors.socket(place.0) else { return };
        let connection = Connection::shared_dtls(Rc::clone(socket), from, channel);
        doors.came(place, token);
        self.after_call(token, Call::new(connection, from, Some(place)), Ok(()));
    }

    /// Gives a datagram to a call; whether it was for that.
    fn take(&mut self, token: usize, datagram: &[u8]) -> bool {
        let Some(mut call) = self.calls.remove(&token) else { return false };
        let outcome = call.connection.handle_datagram(datagram, clock::now());
        let outcome = outcome.map_err(|why| Ended::lost(&call.connection, why));
        let plaintext: Vec<Vec<u8>> = std::iter::from_fn(|| call.connection.poll_plaintext()).collect();
        let outcome = self.heard(token, &mut call, &plaintext).and(outcome);
        let taken = !plaintext.is_empty() || outcome.is_err();
        self.after_call(token, call, outcome);
        taken
    }

    /// A stream can be read or written.
    pub fn call_ready(&mut self, token: usize, writable: bool) {
        let Some(mut call) = self.calls.remove(&token) else { return };
        let outcome = self.read_call(token, &mut call, writable);
        self.after_call(token, call, outcome);
    }

    fn read_call(&mut self, token: usize, call: &mut Call, writable: bool) -> Result<(), Ended> {
        loop {
            let outcome = call.connection.handle_ready(writable, clock::now());
            let outcome = outcome.map_err(|why| Ended::lost(&call.connection, why));
            let plaintext: Vec<Vec<u8>> = std::iter::from_fn(|| call.connection.poll_plaintext()).collect();
            self.heard(token, call, &plaintext)?;
            if !outcome? {
                return Ok(());
            }
        }
    }

    fn heard(&mut self, token: usize, call: &mut Call, plaintext: &[Vec<u8>]) -> Result<(), Ended> {
        if call.router.is_none() && call.connection.is_established() {
            self.admit(token, call)?;
        }
        if let Some(router) = &mut call.router {
            for piece in plaintext {
                router.handle_input(piece, Instant::now())?;
            }
        }
        Ok(())
    }

    /// The caller has proven who it is.
    fn admit(&mut self, token: usize, call: &mut Call) -> Result<(), Ended> {
        let name = call.connection.peer_name().ok_or(Ended::Nameless)?;
        if !self.roster.admits(&name) {
            return Err(Ended::Foreign(name));
        }
        // A router that calls again has lost its former session.
        let former = self.calls.iter().find(|(_, other)| other.name.as_deref() == Some(&name)).map(|(t, _)| *t);
        let displaced = call.place.and_then(|place| self.doors.as_mut()?.proven(place, token));
        for token in former.into_iter().chain(displaced) {
            if let Some(former) = self.calls.remove(&token) {
                self.leave(token, former);
            }
        }
        println!("{name} has called from {} over {}", call.from, call.connection.transport().as_str());
        let cuid = self.other_cuids.get(&name).unwrap_or(&self.cuid).clone();
        call.name = Some(name);
        let random = Box::new(Rng::new());
        let endpoint = match call.connection.transport() {
            Transport::Tls => Endpoint::stream(random),
            Transport::Dtls => Endpoint::datagram(random),
        };
        let mut router = Session::new(endpoint, cuid, Instant::now());
        // Over datagrams it need not wait for the router's first words.
        router.handle_input(&[], Instant::now())?;
        call.router = Some(router);
        Ok(())
    }

    /// Sends what is to be sent and deals with what happened.
    pub fn after_call(&mut self, token: usize, mut call: Call, outcome: Result<(), Ended>) {
        let mut ended = outcome.err();
        let mut events = Vec::new();
        if let Some(router) = &mut call.router {
            while let Some(bytes) = router.poll_transmit() {
                let sent = call.connection.send(&bytes);
                ended = ended.or(sent.err().map(Ended::Lost));
            }
            events.extend(std::iter::from_fn(|| router.poll_event()));
        }
        let name = call.name.clone().unwrap_or_else(|| call.from.to_string());
        if events.iter().any(|event| matches!(event, Event::Lost)) {
            ended.get_or_insert(Ended::Silent);
        }
        if let Some(ended) = ended {
            self.tell_end(&name, call.from, &ended);
            self.leave(token, call);
        } else {
            self.calls.insert(token, call);
        }
        for event in events {
            match event {
                Event::Answered(asker, outcome) => self.answered(asker, &name, outcome),
                Event::Reported(mid) => self.reported(&name, mid),
                Event::Renamed(cuid) => drop(self.other_cuids.insert(name.clone(), cuid)),
                Event::Ready | Event::Lost => {}
            }
        }
    }

    fn tell_end(&mut self, name: &str, from: SocketAddr, ended: &Ended) {
        if !ended.is_refusal() {
            return println!("{name} is gone: {ended}");
        }
        println!("{name} is refused: {ended}");
        if self.drop_list.failed(from.ip(), Instant::now()) {
            println!("{} has failed too often: dropped for a while", from.ip());
        }
    }

    fn leave(&mut self, token: usize, mut call: Call) {
        let askers = call.router.as_mut().map(Session::give_up).unwrap_or_default();
        for asker in askers {
            let name = call.name.as_deref().unwrap_or_default();
            self.answered(asker, name, Err(Refusal::SessionEnded));
        }
        if let (Some(place), Some(doors)) = (call.place, &mut self.doors) {
            doors.left(place, token);
        }
        call.connection.close(self.poll.registry());
    }

    /// We end: the routers needn't find out by themselves.
    pub fn leave_all(&mut self) {
        while let Some((token, call)) = self.calls.pop_first() {
            self.leave(token, call);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self) {
        let now = clock::now();
        let due = |call: &Call| call.poll_timeout().is_some_and(|due| due <= now.instant);
        let tokens: Vec<usize> = self.calls.iter().filter(|(_, call)| due(call)).map(|(token, _)| *token).collect();
        for token in tokens {
            let Some(mut call) = self.calls.remove(&token) else { continue };
            let outcome = call.connection.handle_timeout(now);
            let mut outcome = outcome.map_err(|why| Ended::lost(&call.connection, why));
            match &mut call.router {
                Some(router) if router.poll_timeout().is_some_and(|due| due <= now.instant) => {
                    router.handle_timeout(now.instant);
                }
                None if outcome.is_ok() && call.since + HANDSHAKE <= now.instant => outcome = Err(call.too_slow()),
                _ => {}
            }
            self.after_call(token, call, outcome);
        }
    }
}
