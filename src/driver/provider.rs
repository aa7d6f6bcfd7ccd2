//! One provider: the calls to it, and the session once one is answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use mio::net::TcpStream;
use mio::{Registry, Token};

use super::files::Secrets;
use super::resolver::Resolver;
use crate::calling::{Caller, CallerAction, Target};
use crate::coap::Endpoint;
use crate::config::{self, TransportChoice};
use crate::io::connection::{Connection, Lost};
use crate::io::random::Rng;
use crate::mitigation::{self, Ledger, Mitigation};
use crate::model::{Now, Transport};
use crate::signal::redirect::Redirect;
use crate::signal::session::{self, Session};
use crate::source::Finder;
use crate::transport::dtls::{self, DtlsChannel, SavedSession};
use crate::transport::tls_config::TlsClientConfig;
use crate::ubus::PeerState;

/// What a provider's connections need of the loop.
pub(super) struct LoopContext<'a> {
    /// Where sockets are registered.
    pub(super) registry: &'a Registry,
    /// The token used last.
    pub(super) token: &'a mut usize,
    /// Answers come back to [`Provider::resolved`].
    pub(super) resolver: &'a Resolver,
    /// What requests are about.
    pub(super) ledger: &'a mut Ledger,
    /// What the home's networks are.
    pub(super) finder: &'a Finder,
    /// The moment.
    pub(super) now: Now,
}

/// A connection on its way.
struct Attempt {
    number: u32,
    token: Token,
    address: SocketAddr,
    /// What the provider has to prove.
    name: String,
    connection: Connection,
}

/// A connection in use.
pub(super) struct ActiveSession {
    token: Token,
    pub(super) address: SocketAddr,
    /// What the provider has to prove.
    name: String,
    pub(super) connection: Connection,
    pub(super) session: Session,
    pub(super) since: Instant,
    unread: bool,
    /// The provider has said anything.
    heard: bool,
}

/// So long a session that goes on from an earlier one may wait for the provider's first word.
const FIRST_WORD: Duration = Duration::from_secs(15);

impl ActiveSession {
    /// Until when the provider has to have said something, where it may have refused to go on from an earlier session by silence.
    fn first_word(&self) -> Option<Instant> {
        self.may_be_refused().then(|| self.since + FIRST_WORD)
    }

    fn may_be_refused(&self) -> bool {
        self.connection.is_resumed() && !self.heard
    }
}

/// What we prove and believe, in the form each transport wants it.
pub(super) struct ChannelConfigs {
    /// For TLS.
    pub(super) tls: Option<TlsClientConfig>,
    /// For DTLS.
    pub(super) dtls: Option<dtls::ClientConfig>,
}

/// A configured peer that can be called.
pub(super) struct Provider {
    pub(super) settings: config::Peer,
    secrets: Secrets,
    proof: ChannelConfigs,
    /// What a DTLS connection resumes from.
    resumable: Option<SavedSession>,
    internal_sources: bool,
    pub(super) caller: Caller,
    attempts: Vec<Attempt>,
    pub(super) call: Option<ActiveSession>,
    pub(super) told: Option<PeerState>,
    /// Why it can't be reached, as told last.
    pub(super) complaint: Option<String>,
    /// Nobody knows its interface, so no source is in its domain.
    pub(super) is_nowhere: bool,
    /// The log says so since the session is up.
    is_nowhere_told: bool,
}

impl Provider {
    /// Calls as soon as the loop lets it.
    pub(super) fn new(settings: config::Peer, secrets: Secrets, proof: ChannelConfigs, now: Now) -> Self {
        let target = Target {
            name: settings.name.clone(),
            addresses: settings.addresses.clone(),
            port: settings.port,
            transport: match proof {
                ChannelConfigs { dtls: None, .. } => TransportChoice::Tls,
                ChannelConfigs { tls: None, .. } => TransportChoice::Dtls,
                _ => settings.transport,
            },
        };
        let caller = Caller::new(target, now.instant);
        Self {
            settings,
            secrets,
            proof,
            resumable: None,
            internal_sources: false,
            caller,
            attempts: Vec::new(),
            call: None,
            told: None,
            complaint: None,
            is_nowhere: false,
            is_nowhere_told: false,
        }
    }

    /// Whether it was made of just these.
    pub(super) fn is_made_of(&self, settings: &config::Peer, secrets: &Secrets) -> bool {
        self.settings == *settings && self.secrets == *secrets
    }

    /// Whether requests may speak of addresses that are not visible outside the home.
    pub(super) fn set_internal_sources(&mut self, accepted: bool) {
        self.internal_sources = accepted;
        if let Some(call) = &mut self.call {
            call.session.set_internal_sources(accepted);
        }
    }

    /// Whether the socket is one of ours; if so it has been seen to.
    pub(super) fn ready(&mut self, token: Token, writable: bool, s: &mut LoopContext<'_>) -> bool {
        if let Some(position) = self.attempts.iter().position(|attempt| attempt.token == token) {
            self.attempt_ready(position, writable, s);
        } else if self.call.as_ref().is_some_and(|call| call.token == token) {
            self.call_ready(writable, s);
        } else {
            return false;
        }
        true
    }

    fn attempt_ready(&mut self, position: usize, writable: bool, s: &mut LoopContext<'_>) {
        let Some(attempt) = self.attempts.get_mut(position) else { return };
        let outcome = attempt.connection.handle_ready(writable, s.now);
        let established = attempt.connection.is_established();
        match outcome {
            Err(why) => self.attempt_failed(position, &why, s),
            Ok(unread) if established => {
                let attempt = self.attempts.swap_remove(position);
                self.answered(attempt, unread, s);
            }
            Ok(_) => {}
        }
    }

    /// What the peer does not want to resume is not offered again.
    fn attempt_failed(&mut self, position: usize, why: &Lost, s: &mut LoopContext<'_>) {
        let Attempt { number, name, connection, .. } = self.attempts.swap_remove(position);
        let refused = connection.has_offered() && why.is_refusal();
        if refused {
            self.forget(connection.transport(), &name);
            self.caller.handle_refused(number, why.to_string(), s.now.instant);
        } else {
            self.caller.handle_failed(number, why.to_string(), s.now.instant);
        }
        connection.close(s.registry);
    }

    /// Forgets what connections to `name` over that transport resume from.
    fn forget(&mut self, transport: Transport, name: &str) {
        match transport {
            Transport::Dtls => self.resumable = None,
            Transport::Tls => self.proof.tls.iter().for_each(|config| config.forget(name)),
        }
    }

    /// Both sides have proven who they are; what the provider has said with it is the session's beginning.
    fn answered(&mut self, attempt: Attempt, unread: bool, s: &mut LoopContext<'_>) {
        let Attempt { number, token, address, name: proven, connection } = attempt;
        if !self.caller.handle_established(number, s.now.instant) {
            return connection.close(s.registry);
        }
        self.hang_up(s);
        self.resumable = connection.session().cloned().or(self.resumable.take());
        let endpoint = match connection.transport() {
            Transport::Tls => Endpoint::stream(Box::new(Rng::new())),
            Transport::Dtls => Endpoint::datagram(Box::new(Rng::new())),
        };
        let name = self.settings.section.clone();
        let mut session = Session::new(name, endpoint, self.settings.heartbeat_interval, s.now);
        session.set_domain(self.domain(s.finder));
        session.set_internal_sources(self.internal_sources);
        // An answer to it shows that the provider takes part in what was resumed; over a stream its settings do.
        if connection.is_resumed() && connection.transport() == Transport::Dtls {
            session.probe(s.now.instant);
        }
        let (since, heard) = (s.now.instant, false);
        self.call = Some(ActiveSession { token, address, name: proven, connection, session, since, unread, heard });
        self.hear(s);
    }

    fn call_ready(&mut self, writable: bool, s: &mut LoopContext<'_>) {
        let Some(call) = &mut self.call else { return };
        let outcome = call.connection.handle_ready(writable, s.now);
        call.unread = *outcome.as_ref().unwrap_or(&false);
        self.hear(s);
        if let Err(why) = outcome {
            self.lost(&why.to_string(), s);
        }
    }

    fn hear(&mut self, s: &mut LoopContext<'_>) {
        while let Some(call) = &mut self.call
            && let Some(plaintext) = call.connection.poll_plaintext()
        {
            call.heard = true;
            if let Err(broken) = call.session.handle_input(&plaintext, s.ledger, s.now) {
                self.transmit(s);
                self.lost(&broken.to_string(), s);
            }
        }
    }

    /// Reads on where the last turn left something.
    pub(super) fn read_on(&mut self, s: &mut LoopContext<'_>) {
        if self.is_unread() {
            self.call_ready(false, s);
        }
    }

    /// Whether something is left to read.
    pub(super) fn is_unread(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.unread)
    }

    /// The resolver's answer.
    pub(super) fn resolved(&mut self, name: &str, answer: &Result<Vec<std::net::IpAddr>, String>, now: Now) {
        self.caller.handle_resolved(name, answer.clone(), now.instant);
    }

    /// The ledger has news.
    pub(super) fn handle_mitigation(&mut self, event: &mitigation::Event, ledger: &Ledger) {
        if let Some(call) = &mut self.call {
            call.session.handle_mitigation(event, ledger);
        }
    }

    /// All news of the ledger have been told.
    pub(super) fn handle_turn_end(&mut self, ledger: &mut Ledger, now: Now) {
        if let Some(call) = &mut self.call {
            call.session.handle_turn_end(ledger, now);
        }
    }

    /// The home's networks have changed. A session from an address we no longer have is lost: nothing would say so for
    /// minutes, and as long nobody could reach us.
    pub(super) fn handle_networks(&mut self, s: &mut LoopContext<'_>) {
        let domain = self.domain(s.finder);
        if let Some(call) = &mut self.call {
            call.session.set_domain(domain);
            let ours = s.finder.inventory().own();
            if let Some(gone) = call.connection.local_address().filter(|address| !ours.contains(address)) {
                self.lost(&format!("our address {gone} is gone"), s);
            }
        }
        self.handle_network_changed(s.now);
    }

    fn domain(&self, finder: &Finder) -> Vec<IpNet> {
        match self.settings.domain.as_slice() {
            [] => finder.domain(&self.settings.interfaces),
            fixed => fixed.to_vec(),
        }
    }

    /// An interface that nobody knows, be it mistyped or a modem that is away, is no reason to let the provider speak of others.
    fn look_for_interface(&mut self, finder: &Finder) {
        self.is_nowhere = self.settings.domain.is_empty() && !finder.knows(&self.settings.interfaces);
        if !self.is_nowhere {
            self.is_nowhere_told = false;
        } else if self.call.is_some() && !self.is_nowhere_told {
            log::warn!("peer {}: {}", self.settings.section, self.nowhere());
            self.is_nowhere_told = true;
        }
    }

    pub(super) fn nowhere(&self) -> String {
        format!("there is no interface {}, so no request is accepted", self.settings.interfaces.join(", "))
    }

    /// The network or the clock is not what it was: calls that failed may succeed now.
    pub(super) fn handle_network_changed(&mut self, now: Now) {
        self.caller.handle_network_changed(now.instant);
    }

    /// Does what is due, sends what is to be sent.
    pub(super) fn proceed(&mut self, s: &mut LoopContext<'_>) {
        self.lines_due(s);
        self.session_due(s);
        self.session_events(s);
        self.transmit(s);
        self.look_for_interface(s.finder);
        let asks = |m: &Mitigation| m.asked() && m.client().peer == self.settings.section;
        let attacked = s.ledger.all().any(|m| asks(m) && m.state().in_force());
        self.caller.set_attack(attacked);
        if self.caller.poll_timeout().is_some_and(|due| due <= s.now.instant) {
            self.caller.handle_timeout(s.now.instant);
        }
        while let Some(action) = self.caller.poll_action() {
            self.act(action, s);
        }
    }

    fn lines_due(&mut self, s: &mut LoopContext<'_>) {
        let failed = self.attempts.iter_mut().enumerate().find_map(|(position, attempt)| {
            let why = attempt.connection.handle_timeout(s.now).err()?;
            Some((position, why))
        });
        if let Some((position, why)) = failed {
            self.attempt_failed(position, &why, s);
        }
        if self.call.as_ref().and_then(ActiveSession::first_word).is_some_and(|due| due <= s.now.instant) {
            self.lost("the provider does not go on from the earlier session", s);
        }
        if let Some(Err(why)) = self.call.as_mut().map(|call| call.connection.handle_timeout(s.now)) {
            self.lost(&why.to_string(), s);
        }
    }

    fn session_due(&mut self, s: &mut LoopContext<'_>) {
        let Some(call) = &mut self.call else { return };
        if call.session.poll_timeout().is_some_and(|due| due <= s.now.instant) {
            call.session.handle_timeout(s.ledger, s.now);
        }
    }

    fn session_events(&mut self, s: &mut LoopContext<'_>) {
        while let Some(event) = self.call.as_mut().and_then(|call| call.session.poll_event()) {
            match event {
                session::Event::Ready => {}
                session::Event::Lost(why) => {
                    self.transmit(s);
                    self.lost(why, s);
                }
                session::Event::Redirected(redirect) => {
                    self.transmit(s);
                    self.redirected(redirect, s);
                }
            }
        }
    }

    fn redirected(&mut self, redirect: Redirect, s: &mut LoopContext<'_>) {
        let (peer, name) = (&self.settings.section, redirect.name.clone());
        match self.caller.redirect(redirect, s.now.instant) {
            Ok(()) => {
                log::info!("peer {peer}: sent on to {name}");
                self.hang_up(s);
            }
            Err(why) => log::warn!("peer {peer}: {why}"),
        }
    }

    fn transmit(&mut self, s: &mut LoopContext<'_>) {
        let Some(call) = &mut self.call else { return };
        let mut outcome = Ok(());
        while let Some(message) = call.session.poll_transmit() {
            outcome = outcome.and_then(|()| call.connection.send(&message));
        }
        if let Err(why) = outcome {
            self.lost(&why.to_string(), s);
        }
    }

    fn lost(&mut self, why: &str, s: &mut LoopContext<'_>) {
        let Some(call) = self.call.take() else { return };
        if call.may_be_refused() {
            self.forget(call.connection.transport(), &call.name);
            self.caller.handle_refused_session(why.to_owned(), s.now.instant);
        } else {
            self.caller.handle_lost(why.to_owned(), s.now.instant);
        }
        call.connection.close(s.registry);
    }

    fn act(&mut self, action: CallerAction, s: &mut LoopContext<'_>) {
        match action {
            CallerAction::Resolve(name) => {
                if let Err(error) = s.resolver.ask(name.clone()) {
                    self.caller.handle_resolved(&name, Err(error.to_string()), s.now.instant);
                }
            }
            CallerAction::DefaultRouters => {
                self.caller.handle_default_routers(s.finder.default_routers(), s.now.instant);
            }
            CallerAction::Connect { attempt, transport, address, name, in_full } => {
                match self.connect(attempt, (transport, address), name, in_full, s) {
                    Ok(made) => {
                        if made.connection.has_offered() {
                            self.caller.handle_offered(attempt);
                        }
                        self.attempts.push(made);
                    }
                    Err(why) => self.caller.handle_failed(attempt, why.to_string(), s.now.instant),
                }
            }
            CallerAction::HangUp => self.hang_up(s),
            CallerAction::Abandon { attempt } => {
                if let Some(position) = self.attempts.iter().position(|other| other.number == attempt) {
                    self.attempts.swap_remove(position).connection.close(s.registry);
                }
            }
        }
    }

    fn connect(
        &self,
        number: u32,
        (transport, address): (Transport, SocketAddr),
        name: String,
        in_full: bool,
        s: &mut LoopContext<'_>,
    ) -> Result<Attempt, Lost> {
        *s.token += 1;
        let token = Token(*s.token);
        let connection = match transport {
            Transport::Tls => {
                let config = self.proof.tls.as_ref().ok_or(Lost::NoCredentials)?;
                let channel = config.channel(&name, !in_full)?;
                let stream = TcpStream::connect(address)?;
                Connection::tls(stream, channel, s.registry, token)?
            }
            Transport::Dtls => {
                let config = self.proof.dtls.as_ref().ok_or(Lost::NoCredentials)?;
                let session = self.resumable.as_ref().filter(|_| !in_full);
                let channel = DtlsChannel::client(config, &name, session, s.now)?;
                Connection::dtls(address, channel, s.registry, token)?
            }
        };
        Ok(Attempt { number, token, address, name, connection })
    }

    /// Ends the session in good order and abandons all attempts.
    pub(super) fn stop(&mut self, s: &mut LoopContext<'_>) {
        self.hang_up(s);
        for attempt in self.attempts.drain(..) {
            attempt.connection.close(s.registry);
        }
    }

    fn hang_up(&mut self, s: &mut LoopContext<'_>) {
        if let Some(call) = &mut self.call {
            call.session.release();
            self.transmit(s);
        }
        if let Some(call) = self.call.take() {
            call.connection.close(s.registry);
        }
    }

    /// When [`Provider::proceed`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let session = self.call.as_ref().and_then(|call| call.session.poll_timeout());
        let attempts = self.attempts.iter().map(|attempt| &attempt.connection);
        let connections = self.call.iter().map(|call| &call.connection).chain(attempts);
        let connections = connections.filter_map(Connection::poll_timeout).min();
        let first_word = self.call.as_ref().and_then(ActiveSession::first_word);
        [session, connections, first_word, self.caller.poll_timeout()].into_iter().flatten().min()
    }
}
