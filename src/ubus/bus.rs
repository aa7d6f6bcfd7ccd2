//! The daemon's place on the bus.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ubus::BlobMsgTable;
use vecset::VecMap;

use super::blob::Writer;
use super::connection::{BrokerConnection, BusMessage, BusProtocolError, Invocation, Reply, ReplyAddress};
use super::context::{CallContext, PeerStatus};
use super::joined::Joined;
use super::methods::{METHODS, MethodCall};
use super::object::{self, UbusStatus};
use super::others::{self, HINTS, INTERFACES, LogicalInterface, SESSIONS};
use super::reply;
use crate::mitigation::{self, Ledger};
use crate::model::{Backoff, Mac, Now, printable};
use crate::source::Inventory;

/// Our object, and the package whose configuration is ours.
const NAME: &str = "dots-callhome";
/// Our events, and what subscribers are told.
const MITIGATION_EVENT: &str = "dots-callhome.mitigation";
const PEER_EVENT: &str = "dots-callhome.peer";
/// Runs the user's scripts in `/etc/hotplug.d/dots-callhome/`.
const HOTPLUG: &str = "hotplug.dots-callhome";
/// Events we want to hear.
const PATTERNS: [&str; 3] = ["config.change", INTERFACES, "ubus.object.add"];

/// Between the loss of the connection and the first attempt to join again; each is twice as long, up to the second one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After the broker refused our object: a daemon that is just ending may still have the name.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// How long a caller waits for us to learn who he is.
const SESSION_PATIENCE: Duration = Duration::from_secs(2);
/// How long other objects may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests of ours that may be open; who decides more than that at once is not asked for his name.
const MOST_OUTSTANDING: usize = 64;
/// Bytes that may wait to be sent before calls are refused: a caller can't make us hold more.
const MOST_WAITING: usize = 512 * 1024;
/// Answers that may wait for a slow flash; who decides more than that meanwhile is refused.
const MOST_HELD: usize = 256;
/// Script runs that wait for the bus: as many as the history has entries.
const MOST_HOOKS: usize = 256;
/// Between two runs of scripts: procd answers when it has heard of one, before its scripts run. So short ones are through.
const HOOK_SPACING: Duration = Duration::from_secs(1);
/// Longest name of a user.
const LONGEST_USER: usize = 64;

/// What the daemon has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Our object can be called.
    Joined,
    /// Names of devices, as LuCI knows them.
    Names(VecMap<Mac, String>),
    /// The router's interfaces by name.
    Interfaces(VecMap<String, LogicalInterface>),
    /// Somebody has changed our configuration.
    ConfigChanged,
    /// Somebody is shown mitigations, and wants to see what goes on now.
    Shown,
    /// Something on the bus is not as it should be: a line for the log.
    Trouble(String),
}

/// How far the connection to the broker has come.
#[derive(Debug)]
enum BusState {
    /// To be dialled at the time given, or at once.
    Disconnected(Option<Instant>),
    Connecting,
    AwaitingHello,
    Joined(Joined),
}

/// What a request of ours is for.
#[derive(Debug)]
enum Purpose {
    Object,
    Receiver,
    Pattern(&'static str),
    Names,
    Interfaces,
    Decider(Box<HeldDecision>),
    Hook,
}

/// A decision that waits for the name of who made it.
#[derive(Debug)]
struct HeldDecision {
    caller: ReplyAddress,
    request: MethodCall,
    user: String,
}

/// An answer that waits until the decision it tells of is kept.
#[derive(Debug)]
struct HeldAnswer {
    caller: ReplyAddress,
    decided: u32,
    reply: BlobMsgTable,
}

/// The daemon's place on the bus.
#[derive(Debug)]
pub struct Bus {
    version: &'static str,
    state: BusState,
    backoff: Backoff,
    connection: BrokerConnection<Purpose>,
    /// Oldest first.
    held: VecDeque<HeldAnswer>,
    /// Variables of scripts to run.
    hooks: VecDeque<BlobMsgTable>,
    /// Runs of scripts that there were to be.
    hook_count: u64,
    events: VecDeque<Event>,
}

impl Bus {
    /// Not joined yet; `version` is shown in `status`.
    pub fn new(version: &'static str) -> Self {
        Self {
            version,
            state: BusState::Disconnected(None),
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            connection: BrokerConnection::default(),
            held: VecDeque::new(),
            hooks: VecDeque::new(),
            hook_count: 0,
            events: VecDeque::new(),
        }
    }

    /// Whether the broker's socket is to be connected now; [`Bus::handle_connected`] or [`Bus::handle_lost`] follows.
    pub fn poll_connect(&mut self, now: Now) -> bool {
        let due = match self.state {
            BusState::Disconnected(due) => due.is_none_or(|due| due <= now.instant),
            BusState::Connecting | BusState::AwaitingHello | BusState::Joined(_) => false,
        };
        if due {
            self.state = BusState::Connecting;
        }
        due
    }

    /// The socket is connected.
    pub fn handle_connected(&mut self) {
        self.state = BusState::AwaitingHello;
    }

    /// The connection can't be made, or is lost. All that was open on it is void: who waited for an answer knows.
    pub fn handle_lost(&mut self, now: Now) {
        self.state = BusState::Disconnected(now.instant.checked_add(self.backoff.pause()));
        self.connection = BrokerConnection::default();
        self.held.clear();
    }

    /// Takes bytes from the broker, carries out what is asked, and answers.
    ///
    /// # Errors
    /// The stream makes no sense: to be closed, and [`Bus::handle_lost`] called.
    pub fn handle_input(
        &mut self,
        bytes: &[u8],
        context: &mut CallContext<'_>,
        now: Now,
    ) -> Result<(), BusProtocolError> {
        let outcome = self.connection.handle_input(bytes);
        self.handle_messages(context, now);
        outcome
    }

    /// Everything there is to send; after [`Bus::handle_turn_end`].
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.connection.poll_transmit()
    }

    /// What the daemon has to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Bus::handle_timeout`] wants to be called; while the connection is down also [`Bus::poll_connect`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            BusState::Disconnected(due) => *due,
            BusState::Connecting | BusState::AwaitingHello => None,
            BusState::Joined(joined) => {
                let hook = joined.hook_after.filter(|_| !self.hooks.is_empty());
                [joined.poll_timeout(), self.connection.poll_timeout(), hook].into_iter().flatten().min()
            }
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, context: &mut CallContext<'_>, now: Now) {
        self.connection.handle_timeout(now.instant);
        self.handle_messages(context, now);
        self.run_hook(now);
        let BusState::Joined(joined) = &mut self.state else { return };
        if joined.again.is_some_and(|again| again <= now.instant) {
            joined.again = None;
            self.add_object();
        }
    }

    /// A mitigation has changed or is gone: to be told at the end of the turn.
    pub fn handle_mitigation(&mut self, event: &mitigation::Event, now: Now) {
        let BusState::Joined(joined) = &mut self.state else { return };
        joined.handle_mitigation(event, now);
        self.send_queries(now);
    }

    /// Nothing is left to do for now: whoever listens or has subscribed is told of each mitigation that has changed since,
    /// once and as it is now.
    pub fn handle_turn_end(&mut self, ledger: &Ledger, inventory: &Inventory, now: Now) {
        let BusState::Joined(joined) = &mut self.state else { return };
        for (id, change) in joined.take_changed() {
            if let Some(m) = change.mitigation(id, ledger) {
                self.tell(MITIGATION_EVENT, &reply::whole_mitigation(m, inventory, now));
            }
        }
    }

    /// A person's decisions up to this one ([`mitigation::Generation::decided`]) are kept, or could not be, which `status`
    /// tells: who made them is answered. All other answers leave at once.
    pub fn handle_settled(&mut self, decided: u32) {
        // Numbers wrap around.
        let settled = |held: &HeldAnswer| decided.wrapping_sub(held.decided) <= u32::MAX / 2;
        let count = self.held.iter().take_while(|held| settled(held)).count();
        for held in self.held.drain(..count) {
            self.connection.answer(held.caller, Ok(&held.reply));
        }
    }

    /// It stands otherwise with a provider.
    pub fn handle_peer(&mut self, status: &PeerStatus) {
        self.tell(PEER_EVENT, &reply::peer(status));
    }

    /// Runs the user's scripts in `/etc/hotplug.d/dots-callhome/` with these variables and the number of the run, one call
    /// after the other and a second between them: scripts that take longer see by the number what came first. What the bus
    /// can't take yet waits, within bounds; where nobody runs scripts nothing happens.
    pub fn hotplug(&mut self, variables: &[(&str, &str)], now: Now) {
        let assignment = |(name, value): &(&str, &str)| format!("{name}={}", printable(value));
        self.hook_count += 1;
        let number = format!("SEQUENCE={}", self.hook_count);
        let arguments = Writer::table_of(|w| w.texts("env", variables.iter().map(assignment).chain([number])));
        if self.hooks.len() < MOST_HOOKS {
            self.hooks.push_back(arguments);
        }
        self.run_hook(now);
    }

    fn run_hook(&mut self, now: Now) {
        let BusState::Joined(joined) = &mut self.state else { return };
        let may_run = !joined.hook_runs && joined.hook_after.is_none_or(|after| after <= now.instant);
        let Some(due) = now.instant.checked_add(PATIENCE).filter(|_| may_run) else { return };
        if let Some(arguments) = self.hooks.pop_front() {
            joined.hook_runs = true;
            joined.hook_after = None;
            self.connection.call(HOTPLUG, "call", arguments, due, Purpose::Hook);
        }
    }

    fn handle_hook(&mut self, outcome: Result<Reply, i32>, now: Now) {
        if let BusState::Joined(joined) = &mut self.state {
            joined.hook_runs = false;
            joined.hook_after = now.instant.checked_add(HOOK_SPACING);
        }
        if outcome.is_err() {
            // Nobody is there to run the others either.
            self.hooks.clear();
        }
        self.run_hook(now);
    }

    fn handle_messages(&mut self, context: &mut CallContext<'_>, now: Now) {
        while let Some(message) = self.connection.poll_message() {
            match (message, &mut self.state) {
                (BusMessage::Hello, BusState::AwaitingHello) => self.join(now),
                (BusMessage::Invocation(call), BusState::Joined(joined)) if joined.object == Some(call.object) => {
                    self.handle_call(&call, context, now);
                }
                (BusMessage::Invocation(call), BusState::Joined(joined)) if joined.receiver == Some(call.object) => {
                    let configured = joined.handle_bus_event(&call, NAME, now.instant);
                    self.events.extend(configured.then_some(Event::ConfigChanged));
                }
                (BusMessage::Answer(purpose, outcome), _) => self.handle_answer(purpose, outcome, context, now),
                (BusMessage::Subscribers(object, any), BusState::Joined(joined)) if joined.object == Some(object) => {
                    joined.subscribed = any;
                }
                (BusMessage::Hello | BusMessage::Invocation(_) | BusMessage::Subscribers(..), _) => {}
            }
        }
        self.send_queries(now);
    }

    fn join(&mut self, now: Now) {
        self.state = BusState::Joined(Joined::new());
        self.backoff.reset();
        self.add_object();
        self.connection.add_receiver(Purpose::Receiver);
        self.run_hook(now);
    }

    fn add_object(&mut self) {
        self.connection.add_object(NAME, &object::signature(METHODS), Purpose::Object);
    }

    fn handle_answer(
        &mut self,
        purpose: Purpose,
        outcome: Result<Reply, i32>,
        context: &mut CallContext<'_>,
        now: Now,
    ) {
        let BusState::Joined(joined) = &mut self.state else { return };
        match (purpose, outcome) {
            (Purpose::Object, Ok(Reply { object: Some(object), .. })) => {
                joined.object = Some(object);
                self.events.push_back(Event::Joined);
            }
            (Purpose::Object, outcome) => self.handle_refusal(outcome.err().unwrap_or_default(), now),
            (Purpose::Receiver, outcome) => self.start_listening(outcome.ok().and_then(|reply| reply.object), now),
            (Purpose::Pattern(pattern), Err(status)) => self.trouble(format!("no events {pattern}: status {status}")),
            (Purpose::Names, outcome) => {
                joined.hints.answered();
                self.events.extend(outcome.ok().map(|reply| Event::Names(others::names(&reply.data))));
            }
            (Purpose::Interfaces, outcome) => {
                joined.interfaces.answered();
                self.events.extend(outcome.ok().map(|reply| Event::Interfaces(others::interfaces(&reply.data))));
            }
            (Purpose::Decider(held), outcome) => {
                let HeldDecision { caller, request, user } = *held;
                let name = outcome.ok().and_then(|reply| others::username(&reply.data));
                let by = name.unwrap_or_else(|| stranger(&user));
                self.carry_out(caller, &request, &by, context, now);
            }
            (Purpose::Hook, outcome) => self.handle_hook(outcome, now),
            (Purpose::Pattern(_), Ok(_)) => {}
        }
    }

    fn handle_refusal(&mut self, status: i32, now: Now) {
        let BusState::Joined(joined) = &mut self.state else { return };
        joined.again = now.instant.checked_add(REFUSED_PAUSE);
        if !std::mem::replace(&mut joined.refused, true) {
            self.trouble(format!("no object {NAME}: status {status} (the name is taken, or we may not publish it)"));
        }
    }

    fn start_listening(&mut self, receiver: Option<u32>, now: Now) {
        let BusState::Joined(joined) = &mut self.state else { return };
        joined.receiver = receiver;
        if let Some(receiver) = receiver {
            for pattern in PATTERNS {
                self.connection.listen(receiver, pattern, Purpose::Pattern(pattern));
            }
        }
        joined.hints.want(now.instant);
        joined.interfaces.want(now.instant);
    }

    fn trouble(&mut self, line: String) {
        self.events.push_back(Event::Trouble(line));
    }

    /// Asks others what is due to be asked.
    fn send_queries(&mut self, now: Now) {
        let BusState::Joined(joined) = &mut self.state else { return };
        let Some(due) = now.instant.checked_add(PATIENCE) else { return };
        if joined.hints.ask(now.instant) {
            self.connection.call(HINTS, "getHostHints", BlobMsgTable::empty(), due, Purpose::Names);
        }
        if joined.interfaces.ask(now.instant) {
            self.connection.call(INTERFACES, "dump", BlobMsgTable::empty(), due, Purpose::Interfaces);
        }
    }

    fn handle_call(&mut self, call: &Invocation, context: &mut CallContext<'_>, now: Now) {
        if self.connection.waiting() > MOST_WAITING || self.held.len() >= MOST_HELD {
            return self.connection.answer(call.caller, Err(UbusStatus::UnknownError as i32));
        }
        let read = call.data.as_deref().ok_or(UbusStatus::InvalidArgument);
        let (request, session) = match read.and_then(|data| object::read(METHODS, &call.method, data)) {
            Ok(read) => read,
            Err(status) => return self.connection.answer(call.caller, Err(status as i32)),
        };
        let user: String = call.user.as_deref().unwrap_or("ubus").chars().take(LONGEST_USER).collect();
        match session.filter(|_| request.decides()) {
            Some(session) => self.ask_who(&session, HeldDecision { caller: call.caller, request, user }, context, now),
            None => self.carry_out(call.caller, &request, &user, context, now),
        }
    }

    /// LuCI's bridge calls as root for everybody; who is behind it, rpcd knows by the session.
    fn ask_who(&mut self, session: &str, held: HeldDecision, context: &mut CallContext<'_>, now: Now) {
        let due = now.instant.checked_add(SESSION_PATIENCE);
        let Some(due) = due.filter(|_| self.connection.outstanding() < MOST_OUTSTANDING) else {
            return self.carry_out(held.caller, &held.request, &stranger(&held.user), context, now);
        };
        let arguments = Writer::table_of(|w| {
            w.text("ubus_rpc_session", session);
            w.texts("keys", ["username"]);
        });
        self.connection.call(SESSIONS, "get", arguments, due, Purpose::Decider(Box::new(held)));
    }

    fn carry_out(
        &mut self,
        caller: ReplyAddress,
        request: &MethodCall,
        by: &str,
        context: &mut CallContext<'_>,
        now: Now,
    ) {
        if request.shows() && !self.events.contains(&Event::Shown) {
            self.events.push_back(Event::Shown);
        }
        match request.perform(by, self.version, context, now) {
            Ok(reply) if request.decides() => {
                self.held.push_back(HeldAnswer { caller, decided: context.ledger.generation().decided, reply });
            }
            outcome => self.connection.answer(caller, outcome.as_ref().map_err(|status| *status as i32)),
        }
    }

    /// Sends an event, and a notification of the same name to subscribers; not while the broker does not read.
    fn tell(&mut self, name: &str, table: &BlobMsgTable) {
        let BusState::Joined(Joined { object: Some(object), subscribed, .. }) = self.state else { return };
        if self.connection.waiting() > MOST_WAITING {
            return;
        }
        self.connection.send_event(name, table);
        if subscribed {
            self.connection.notify(object, name, table);
        }
    }
}

/// Who decided, where rpcd does not know the session (any more) or does not answer.
fn stranger(user: &str) -> String {
    format!("{user}, unknown session")
}
