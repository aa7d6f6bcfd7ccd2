//! Calls of routers: from the first byte until the session is over.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dots_callhome::client::{Event, MitigationRecord, RequestFailure, Session};
use dots_callhome::coap::Endpoint;
use dots_callhome::io::clock;
use dots_callhome::io::connection::Connection;
use dots_callhome::io::random::Rng;
use dots_callhome::model::Transport;
use dots_callhome::transport::drop_list::{DropList, block};
use dots_callhome::transport::revocation::{CertificateId, Revocations};
use dots_callhome::transport::tls::TlsChannel;
use mio::net::{TcpListener, TcpStream};
use mio::{Registry, Token};
use serde_json::Value;

use crate::accepting::accept_some;
use crate::call::{Call, CallStage};
use crate::call_event::CallEvent;
use crate::call_table::CallTable;
use crate::credentials::ServerCredentials;
use crate::duplicates::Duplicates;
use crate::ended::Ended;
use crate::limits::Limits;
use crate::listeners::{PeerAddress, UdpListeners};
use crate::output;
use crate::roster::Roster;
use crate::tokens::Tokens;

/// Where routers live a source that fails too often is not shut out, but has one try in so long: others may share its address.
const SPARING: Duration = Duration::from_secs(1);
/// Datagrams of one wake-up: others want to be heard too.
const DATAGRAMS: usize = 256;

/// What has become of calls since the program began.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    /// A router has proven who it is.
    pub admitted: u64,
    /// Whoever called has not, or may not call.
    pub refused: u64,
    /// Another router of the same name has kept its session.
    pub duplicates: u64,
    /// Sessions that are over.
    pub ended: u64,
}

/// All calls.
pub(crate) struct Calls {
    registry: Registry,
    config: Arc<rustls::ServerConfig>,
    /// Unless our credentials are of no use over UDP.
    listeners: Option<UdpListeners>,
    roster: Roster,
    /// Certificates that count no more.
    revoked: Arc<Revocations>,
    /// The last second of our own.
    until: Option<u64>,
    counts: Counts,
    drop_list: DropList,
    /// When a source that fails too often may try again, where routers live.
    sparing: BTreeMap<IpAddr, Instant>,
    /// Names that more than one router seems to have.
    duplicates: Duplicates,
    /// Whether it has been said that there is no room.
    is_full: bool,
    /// Our identifier.
    cuid: String,
    /// The one towards a router that has another client of that identifier.
    other_cuids: BTreeMap<String, String>,
    limits: Limits,
    all: CallTable<Call>,
    /// Streams with more to read: each turn reads some of each.
    unread: BTreeSet<usize>,
    events: VecDeque<CallEvent>,
}

impl Calls {
    /// None yet.
    pub(crate) fn new(
        registry: Registry,
        proof: ServerCredentials,
        listeners: Option<UdpListeners>,
        roster: Roster,
        limits: Limits,
    ) -> Self {
        let ServerCredentials { tls: config, cuid, revoked, until, dtls: _ } = proof;
        Self {
            registry,
            config,
            listeners,
            roster,
            revoked,
            until,
            counts: Counts::default(),
            drop_list: DropList::default(),
            sparing: BTreeMap::new(),
            duplicates: Duplicates::default(),
            is_full: false,
            cuid,
            other_cuids: BTreeMap::new(),
            limits,
            all: CallTable::new(),
            unread: BTreeSet::new(),
            events: VecDeque::new(),
        }
    }

    /// Accepts routers that call over TCP. Returns after what time more are to be accepted.
    pub(crate) fn accept(&mut self, listener: &TcpListener, tokens: &mut Tokens) -> Option<Duration> {
        accept_some(|| listener.accept(), |(stream, from)| self.accept_stream(stream, from, tokens.take()))
    }

    fn accept_stream(&mut self, stream: TcpStream, from: SocketAddr, token: usize) {
        if self.is_shut_out(from.ip(), Instant::now()) || !self.make_room(from.ip()) {
            return;
        }
        let Ok(channel) = TlsChannel::server(Arc::clone(&self.config)) else { return };
        if let Ok(connection) = Connection::tls(stream, channel, &self.registry, Token(token)) {
            self.all.put(token, Call::new(connection, from, None));
        }
    }

    /// Whether no handshake is begun with this source now.
    fn is_shut_out(&mut self, from: IpAddr, now: Instant) -> bool {
        if !self.drop_list.is_dropped(from, now) {
            return false;
        }
        let source = block(from);
        self.sparing.retain(|_, next| *next > now);
        if !self.all.is_home(source) || self.sparing.contains_key(&source) {
            return true;
        }
        self.sparing.insert(source, now + SPARING);
        false
    }

    /// Makes room for one more caller: who has not proven in good time who it is gives way to who comes later, first where one
    /// source has many of them. False: all room is taken by routers that have.
    fn make_room(&mut self, from: IpAddr) -> bool {
        let (count, oldest) = self.all.proving_of(block(from));
        let displaced = if count >= self.limits.proving {
            oldest
        } else if self.all.len() >= self.limits.calls {
            let first = self.all.first_proving();
            if !std::mem::replace(&mut self.is_full, true) {
                output::log(format_args!("there is room for {} calls, and no more is left", self.limits.calls));
            }
            if first.is_none() {
                return false;
            }
            first
        } else {
            self.is_full = false;
            None
        };
        if let Some(token) = displaced {
            self.remove(token, "it gave way to others");
        }
        true
    }

    /// Ends a call.
    fn remove(&mut self, token: usize, why: &str) {
        if let Some(call) = self.all.take(token) {
            self.leave(token, call, why);
        }
    }

    /// Takes what has come to a UDP socket, of all routers. Returns after what time more is to be taken.
    pub(crate) fn handle_socket(&mut self, number: usize, tokens: &mut Tokens) -> Option<Duration> {
        for _ in 0..DATAGRAMS {
            let (datagram, from) = self.listeners.as_ref()?.receive(number)?;
            self.handle_datagram((number, from), &datagram, tokens);
        }
        Some(Duration::ZERO)
    }

    /// Whoever restarts calls from where it called before. Its old session has to go on until the new one is proven, or
    /// anybody could end it.
    fn handle_datagram(&mut self, from: PeerAddress, datagram: &[u8], tokens: &mut Tokens) {
        let Some(listeners) = &self.listeners else { return };
        let slot = listeners.slot(from);
        if slot.proven.is_some_and(|token| self.pass_on(token, datagram)) {
            return;
        }
        match slot.proving {
            Some(token) => drop(self.pass_on(token, datagram)),
            None => self.accept_datagram(from, datagram, tokens),
        }
    }

    fn accept_datagram(&mut self, from: PeerAddress, datagram: &[u8], tokens: &mut Tokens) {
        let address = from.1;
        if self.is_shut_out(address.ip(), Instant::now()) {
            return;
        }
        // Until it has shown that it is there it takes no room.
        let accepted = self.listeners.as_ref().and_then(|listeners| listeners.accept(from, datagram, clock::now()));
        let Some(channel) = accepted.filter(|_| self.make_room(address.ip())) else { return };
        let Some(listeners) = &mut self.listeners else { return };
        let Some(socket) = listeners.socket(from.0) else { return };
        let connection = Connection::shared_dtls(Rc::clone(socket), address, channel);
        let token = tokens.take();
        listeners.handle_opened(from, token);
        self.go_on(token, Call::new(connection, address, Some(from)), Ok(()));
    }

    /// Gives a datagram to a call. Returns whether it was for that.
    fn pass_on(&mut self, token: usize, datagram: &[u8]) -> bool {
        let Some(mut call) = self.all.take(token) else { return false };
        let outcome = call.connection.handle_datagram(datagram, clock::now());
        let outcome = outcome.map_err(|why| Ended::lost(&call.connection, why));
        let plaintext: Vec<Vec<u8>> = std::iter::from_fn(|| call.connection.poll_plaintext()).collect();
        let outcome = self.handle_plaintext(token, &mut call, &plaintext).and(outcome);
        let taken = !plaintext.is_empty() || outcome.is_err();
        self.go_on(token, call, outcome);
        taken
    }

    /// A stream can be read or written. Returns whether it is one of a call.
    pub(crate) fn handle_ready(&mut self, token: usize, writable: bool) -> bool {
        let Some(mut call) = self.all.take(token) else { return false };
        let outcome = self.read(token, &mut call, writable);
        self.go_on(token, call, outcome);
        true
    }

    /// Reads as much as is one call's share of a turn; what it leads to is sent before more is read.
    fn read(&mut self, token: usize, call: &mut Call, writable: bool) -> Result<(), Ended> {
        let outcome = call.connection.handle_ready(writable, clock::now());
        let outcome = outcome.map_err(|why| Ended::lost(&call.connection, why));
        let plaintext: Vec<Vec<u8>> = std::iter::from_fn(|| call.connection.poll_plaintext()).collect();
        self.handle_plaintext(token, call, &plaintext)?;
        if outcome? {
            self.unread.insert(token);
        }
        Ok(())
    }

    /// Reads on where the last turn left something.
    pub(crate) fn read_on(&mut self) {
        for token in std::mem::take(&mut self.unread) {
            self.handle_ready(token, false);
        }
    }

    /// Whether something is left to read.
    pub(crate) fn is_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    fn handle_plaintext(&mut self, token: usize, call: &mut Call, plaintext: &[Vec<u8>]) -> Result<(), Ended> {
        if matches!(call.stage, CallStage::Proving) && call.connection.is_established() {
            self.admit(token, call)?;
        }
        if let CallStage::Admitted { session, .. } = &mut call.stage {
            for piece in plaintext {
                session.handle_input(piece, Instant::now())?;
            }
        }
        Ok(())
    }

    /// Begins the session of a caller that has proven who it is.
    fn admit(&mut self, token: usize, call: &mut Call) -> Result<(), Ended> {
        let name = call.connection.peer_name().ok_or(Ended::Nameless)?;
        if !self.roster.admits(&name) {
            return Err(Ended::Foreign(name));
        }
        call.handle_proven(clock::now());
        // A ticket says nothing of what has become of the certificate since.
        if call.is_revoked(&self.revoked) {
            return Err(Ended::Revoked(name));
        }
        // A router that calls again has lost its former session.
        let former = self.all.named(&name);
        if former.is_some() && self.duplicates.is_duplicate(&name, Instant::now()) {
            self.counts.duplicates += 1;
            self.events.push_back(CallEvent::Duplicate { router: name.clone(), from: call.from });
            return Err(Ended::Duplicate(name));
        }
        let displaced = call.peer_address.and_then(|from| self.listeners.as_mut()?.handle_proven(from, token));
        for token in former.into_iter().chain(displaced) {
            self.remove(token, "it has called again");
        }
        output::log(format_args!("{name} has called from {} over {}", call.from, call.connection.transport().as_str()));
        self.counts.admitted += 1;
        self.events.push_back(CallEvent::Came { router: name.clone() });
        let cuid = self.other_cuids.get(&name).unwrap_or(&self.cuid).clone();
        let random = Box::new(Rng::new());
        let endpoint = match call.connection.transport() {
            Transport::Tls => Endpoint::stream(random),
            Transport::Dtls => Endpoint::datagram(random),
        };
        let mut session = Session::new(endpoint, cuid, Instant::now());
        // Over datagrams it need not wait for the router's first words.
        let outcome = session.handle_input(&[], Instant::now());
        call.stage = CallStage::Admitted { name, session: Box::new(session) };
        Ok(outcome?)
    }

    /// Sends what is to be sent, keeps the call or ends it, and tells what happened.
    fn go_on(&mut self, token: usize, mut call: Call, outcome: Result<(), Ended>) {
        let (events, sent) = call.drain();
        let router = call.name().map_or_else(|| call.from.to_string(), str::to_owned);
        match outcome.and(sent) {
            Ok(()) => self.all.put(token, call),
            Err(ended) => {
                self.tell_end(&router, call.from, &ended);
                self.leave(token, call, &ended.to_string());
            }
        }
        for event in events {
            let router = router.clone();
            match event {
                Event::Answered(requester, outcome) => {
                    self.events.push_back(CallEvent::Answered { requester, router, outcome });
                }
                Event::Reported(mid) => self.events.push_back(CallEvent::Reported { router, mid }),
                Event::Renamed(cuid) => drop(self.other_cuids.insert(router, cuid)),
                Event::Known => self.events.push_back(CallEvent::Known { router }),
                Event::Unreadable(mid, why) => {
                    let what = mid.map_or_else(|| "all mitigations".to_owned(), |mid| format!("mid {mid}"));
                    output::log(format_args!("what {router} reports of {what} can't be read: {why}"));
                }
                Event::Ready | Event::Lost => {}
            }
        }
    }

    fn tell_end(&mut self, name: &str, from: SocketAddr, ended: &Ended) {
        if !ended.is_refusal() {
            return output::log(format_args!("{name} is gone: {ended}"));
        }
        self.counts.refused += 1;
        output::log(format_args!("{name} is refused: {ended}"));
        if self.drop_list.failed(from.ip(), Instant::now()) {
            output::log(format_args!("{} has failed too often: dropped for a while", from.ip()));
        }
    }

    fn leave(&mut self, token: usize, mut call: Call, why: &str) {
        if let CallStage::Admitted { name, session } = &mut call.stage {
            self.counts.ended += 1;
            self.events.push_back(CallEvent::Gone { router: name.clone(), why: why.to_owned() });
            self.events.extend(session.give_up().into_iter().map(|requester| CallEvent::Answered {
                requester,
                router: name.clone(),
                outcome: Err(RequestFailure::SessionEnded),
            }));
        }
        if let (Some(from), Some(listeners)) = (call.peer_address, &mut self.listeners) {
            listeners.handle_closed(from, token);
        }
        call.connection.close(&self.registry);
    }

    /// Ends all calls: the routers needn't find out by themselves.
    pub(crate) fn leave_all(&mut self) {
        while let Some((token, call)) = self.all.take_first() {
            self.leave(token, call, "we end");
        }
    }

    /// What happened next.
    pub(crate) fn poll_event(&mut self) -> Option<CallEvent> {
        self.events.pop_front()
    }

    /// When [`Calls::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.all.poll_timeout()
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self) {
        let now = Instant::now();
        for token in self.all.due(now) {
            let Some(mut call) = self.all.take(token) else { continue };
            let outcome = call.handle_timeout();
            self.go_on(token, call, outcome);
        }
    }

    /// Lets the session of a router do something. Returns whether there is one.
    pub(crate) fn with_session(&mut self, router: &str, what: impl FnOnce(&mut Session, Instant)) -> bool {
        let found = self.all.named(router);
        let Some((token, mut call)) = found.and_then(|token| Some((token, self.all.take(token)?))) else {
            return false;
        };
        if let CallStage::Admitted { session, .. } = &mut call.stage {
            what(session, Instant::now());
        }
        self.go_on(token, call, Ok(()));
        true
    }

    /// The session of a router.
    pub(crate) fn session(&self, router: &str) -> Option<&Session> {
        self.all.named(router).and_then(|token| self.all.get(token)).and_then(Call::session)
    }

    /// Whether a router may call at all.
    pub(crate) fn admits(&self, router: &str) -> bool {
        self.roster.admits(router)
    }

    /// The routers that have all these addresses: by where they call from, or by what is known of their homes.
    pub(crate) fn routers_of(&self, sources: &[ipnet::IpNet]) -> BTreeSet<String> {
        let calls_from = |call: &Call| sources.iter().all(|source| *source == call.from.ip().to_canonical().into());
        let calling = self.all.routers().filter(|(_, call)| calls_from(call)).map(|(name, _)| name.to_owned());
        calling.chain(self.roster.owners(sources)).collect()
    }

    /// Meets routers that call from now on with other credentials, and ends the sessions of those that may not call any more.
    pub(crate) fn set_credentials(&mut self, proof: ServerCredentials, roster: Roster) {
        let ServerCredentials { tls, dtls, cuid, revoked, until } = proof;
        (self.config, self.cuid, self.roster, self.revoked, self.until) = (tls, cuid, roster, revoked, until);
        if let (Some(listeners), Some(dtls)) = (&mut self.listeners, dtls) {
            listeners.set_config(dtls);
        }
        self.end_unadmitted();
    }

    /// Ends the session of a router and lets it call no more.
    ///
    /// # Errors
    /// That is not kept; then nothing has changed.
    pub(crate) fn revoke(&mut self, name: &str, file: &Path) -> std::io::Result<()> {
        self.roster.revoke(name, file)?;
        self.end_unadmitted();
        Ok(())
    }

    fn end_unadmitted(&mut self) {
        let is_over = |(name, call): &(&str, &Call)| !self.roster.admits(name) || call.is_revoked(&self.revoked);
        let over = self.all.routers().filter(is_over);
        let over: Vec<(usize, String)> =
            over.filter_map(|(name, _)| Some((self.all.named(name)?, name.to_owned()))).collect();
        for (token, name) in over {
            output::log(format_args!("{name} may not call any more"));
            self.remove(token, "it may not call any more");
        }
    }

    /// Whether these are certificates that count no more, told in hexadecimal digits.
    pub(crate) fn are_revoked(&self, certificates: &[String]) -> bool {
        certificates.iter().all(|told| CertificateId::read(told).is_some_and(|id| self.revoked.has(&id)))
    }

    /// The first source that is not this router's to answer for.
    pub(crate) fn foreign<'a>(&self, router: &str, sources: &'a [ipnet::IpNet]) -> Option<&'a ipnet::IpNet> {
        self.roster.foreign(router, sources)
    }

    /// What has become of calls.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// The transport of each router's session.
    pub(crate) fn transports(&self) -> impl Iterator<Item = &'static str> {
        self.all.routers().map(|(_, call)| call.connection.transport().as_str())
    }

    /// How many have not proven yet who they are.
    pub(crate) fn proving(&self) -> usize {
        self.all.proving()
    }

    /// How many calls there is room for.
    pub(crate) fn most(&self) -> usize {
        self.limits.calls
    }

    /// The last second of our own certificate, since 1970.
    pub(crate) fn own_until(&self) -> Option<u64> {
        self.until
    }

    /// The names of all routers that have a session.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.all.routers().map(|(name, _)| name.to_owned())
    }

    /// What there is to say about each router.
    pub(crate) fn routers(&self) -> Vec<Value> {
        self.all.routers().filter_map(|(_, call)| call.json()).collect()
    }

    /// All mitigations known, with their routers and numbers.
    pub(crate) fn mitigations(&self) -> impl Iterator<Item = (&str, u32, &MitigationRecord)> {
        self.sessions().flat_map(|(name, session)| session.mitigations().map(move |(mid, known)| (name, mid, known)))
    }

    fn sessions(&self) -> impl Iterator<Item = (&str, &Session)> {
        self.all.routers().filter_map(|(name, call)| Some((name, call.session()?)))
    }
}
