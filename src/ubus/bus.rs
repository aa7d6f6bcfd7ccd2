//! The daemon's place on the bus.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ubus::BlobMsgTable;
use vecset::VecMap;

use super::api::perform;
use super::blob::Writer;
use super::connection::{Broken, Call, Caller, Connection, Message, Reply};
use super::house::{House, PeerStatus};
use super::inquiry::Inquiry;
use super::object::{self, Status};
use super::others::{self, Interface};
use super::reply;
use super::request::{METHODS, Request};
use crate::mitigation;
use crate::model::{Mac, MitigationId, Now};

/// Our object, and the package whose configuration is ours.
const NAME: &str = "dots-callhome";
/// Our events, and what subscribers are told.
const MITIGATION_EVENT: &str = "dots-callhome.mitigation";
const PEER_EVENT: &str = "dots-callhome.peer";
/// Runs the user's scripts in `/etc/hotplug.d/dots-callhome/`.
const HOTPLUG: &str = "hotplug.dots-callhome";
const HINTS: &str = "luci-rpc";
const INTERFACES: &str = "network.interface";
const SESSIONS: &str = "session";
/// Events we want to hear.
const PATTERNS: [&str; 3] = ["config.change", INTERFACES, "ubus.object.add"];

/// Between the loss of the connection and the first attempt to join again; doubles up to the second one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After the broker refused our object: a daemon that is just ending may still have the name.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// How long a caller waits for us to learn who he is.
const SESSION_PATIENCE: Duration = Duration::from_secs(2);
/// How long other objects may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Names change seldom, and rpcd reads many files to tell them.
const HINTS_SPACING: Duration = Duration::from_secs(10);
/// Interfaces come up one after the other.
const INTERFACES_SPACING: Duration = Duration::from_secs(1);
/// Requests of ours that may be open; who decides more than that at once is not asked for his name.
const MOST_OUTSTANDING: usize = 64;
/// Bytes that may wait to be sent before calls are refused: a caller can't make us hold more.
const MOST_WAITING: usize = 512 * 1024;
/// Script runs that wait for the bus: as many as the history has entries.
const MOST_HOOKS: usize = 256;
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
    Interfaces(VecMap<String, Interface>),
    /// Somebody has changed our configuration.
    ConfigChanged,
    /// Something on the bus is not as it should be: a line for the log.
    Trouble(String),
}

#[derive(Debug)]
enum Link {
    /// To be dialled at the time given, or at once.
    Down(Option<Instant>),
    Dialling,
    /// The broker has not greeted yet.
    Connected,
    Up,
}

/// What a request of ours is for.
#[derive(Debug)]
enum Purpose {
    Object,
    Receiver,
    Pattern(&'static str),
    Names,
    Interfaces,
    Decider(Box<Waiting>),
    Hook,
}

/// A decision that waits for the name of who made it.
#[derive(Debug)]
struct Waiting {
    caller: Caller,
    request: Request,
    user: String,
}

/// The daemon's place on the bus.
#[derive(Debug)]
pub struct Bus {
    version: &'static str,
    link: Link,
    pause: Duration,
    connection: Connection<Purpose>,
    object: Option<u32>,
    receiver: Option<u32>,
    /// When to register our object again after a refusal.
    again: Option<Instant>,
    /// Whether that has been told.
    refused: bool,
    subscribed: bool,
    hints: Inquiry,
    interfaces: Inquiry,
    /// Mitigations to tell of, each as it was last.
    changed: VecMap<MitigationId, BlobMsgTable>,
    /// Variables of scripts to run.
    hooks: VecDeque<BlobMsgTable>,
    hook_runs: bool,
    events: VecDeque<Event>,
}

impl Bus {
    /// Not joined yet; `version` is shown in `status`.
    pub fn new(version: &'static str) -> Self {
        Self {
            version,
            link: Link::Down(None),
            pause: FIRST_PAUSE,
            connection: Connection::default(),
            object: None,
            receiver: None,
            again: None,
            refused: false,
            subscribed: false,
            hints: Inquiry::new(HINTS_SPACING),
            interfaces: Inquiry::new(INTERFACES_SPACING),
            changed: VecMap::new(),
            hooks: VecDeque::new(),
            hook_runs: false,
            events: VecDeque::new(),
        }
    }

    /// Whether the broker's socket is to be connected now; [`Bus::handle_connected`] or [`Bus::handle_lost`] follows.
    pub fn poll_connect(&mut self, now: Now) -> bool {
        let due = match self.link {
            Link::Down(due) => due.is_none_or(|due| due <= now.instant),
            Link::Dialling | Link::Connected | Link::Up => false,
        };
        if due {
            self.link = Link::Dialling;
        }
        due
    }

    /// The socket is connected.
    pub fn handle_connected(&mut self) {
        self.link = Link::Connected;
    }

    /// The connection can't be made, or is lost. All that was open on it is void: who waited for an answer knows.
    pub fn handle_lost(&mut self, now: Now) {
        self.link = Link::Down(now.instant.checked_add(self.pause));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.connection = Connection::default();
        (self.object, self.receiver, self.again) = (None, None, None);
        (self.subscribed, self.hook_runs) = (false, false);
        self.hints.forget();
        self.interfaces.forget();
        self.changed.clear();
    }

    /// Takes bytes from the broker, carries out what is asked, and answers.
    ///
    /// # Errors
    /// The stream makes no sense: to be closed, and [`Bus::handle_lost`] called.
    pub fn handle_input(&mut self, bytes: &[u8], house: &mut House<'_>, now: Now) -> Result<(), Broken> {
        let outcome = self.connection.handle_input(bytes);
        self.handle_messages(house, now);
        outcome
    }

    /// Everything there is to send.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        for (_, table) in std::mem::take(&mut self.changed) {
            self.tell(MITIGATION_EVENT, &table);
        }
        self.connection.poll_transmit()
    }

    /// What the daemon has to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Bus::handle_timeout`] wants to be called; while the connection is down also [`Bus::poll_connect`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.link {
            Link::Down(due) => due,
            Link::Dialling | Link::Connected => None,
            Link::Up => {
                let inquiries = [self.hints.due(), self.interfaces.due()];
                let dues = inquiries.into_iter().chain([self.again, self.connection.poll_timeout()]);
                dues.flatten().min()
            }
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, house: &mut House<'_>, now: Now) {
        self.connection.handle_timeout(now.instant);
        self.handle_messages(house, now);
        if self.again.is_some_and(|again| again <= now.instant) {
            self.again = None;
            self.add_object();
        }
    }

    /// A mitigation has changed or is gone: told to whoever listens or has subscribed, once for each
    /// [`Bus::poll_transmit`].
    pub fn handle_mitigation(&mut self, event: &mitigation::Event, house: &House<'_>, now: Now) {
        let changed = match event {
            mitigation::Event::Changed(id) => house.ledger.get(*id),
            mitigation::Event::Gone(m) => Some(&**m),
            mitigation::Event::Search(_) | mitigation::Event::Enforce => None,
        };
        let Some(m) = changed.filter(|_| self.object.is_some()) else { return };
        self.changed.insert(m.id(), reply::whole_mitigation(m, house.inventory, now));
        self.hints.want(now.instant);
        self.inquire(now);
    }

    /// It stands otherwise with a provider.
    pub fn handle_peer(&mut self, status: &PeerStatus) {
        self.tell(PEER_EVENT, &reply::peer(status));
    }

    /// Runs the user's scripts in `/etc/hotplug.d/dots-callhome/` with these variables, one call after the other. What
    /// the bus can't take yet waits, within bounds; where nobody runs scripts nothing happens.
    pub fn hotplug(&mut self, variables: &[(&str, &str)], now: Now) {
        let assignment = |(name, value): &(&str, &str)| format!("{name}={}", value.replace(char::is_control, " "));
        let arguments = Writer::table_of(|w| w.texts("env", variables.iter().map(assignment)));
        if self.hooks.len() < MOST_HOOKS {
            self.hooks.push_back(arguments);
        }
        self.run_hook(now);
    }

    fn run_hook(&mut self, now: Now) {
        let Some(due) = self.patience(now).filter(|_| !self.hook_runs) else { return };
        if let Some(arguments) = self.hooks.pop_front() {
            self.hook_runs = true;
            self.connection.call(HOTPLUG, "call", arguments, due, Purpose::Hook);
        }
    }

    fn handle_hook(&mut self, outcome: Result<Reply, i32>, now: Now) {
        self.hook_runs = false;
        if outcome.is_err() {
            // Nobody is there to run the others either.
            self.hooks.clear();
        }
        self.run_hook(now);
    }

    fn handle_messages(&mut self, house: &mut House<'_>, now: Now) {
        while let Some(message) = self.connection.poll_message() {
            match message {
                Message::Hello if matches!(self.link, Link::Connected) => self.join(now),
                Message::Hello => {}
                Message::Call(call) if self.object == Some(call.object) => self.handle_call(&call, house, now),
                Message::Call(call) if self.receiver == Some(call.object) => self.handle_bus_event(&call, now),
                Message::Call(_) => {}
                Message::Answer(purpose, outcome) => self.handle_answer(purpose, outcome, house, now),
                Message::Subscribers(object, any) if self.object == Some(object) => self.subscribed = any,
                Message::Subscribers(..) => {}
            }
        }
        self.inquire(now);
    }

    fn join(&mut self, now: Now) {
        self.link = Link::Up;
        self.pause = FIRST_PAUSE;
        self.refused = false;
        self.add_object();
        self.connection.add_receiver(Purpose::Receiver);
        self.run_hook(now);
    }

    fn add_object(&mut self) {
        self.connection.add_object(NAME, &object::signature(METHODS), Purpose::Object);
    }

    fn handle_answer(&mut self, purpose: Purpose, outcome: Result<Reply, i32>, house: &mut House<'_>, now: Now) {
        match (purpose, outcome) {
            (Purpose::Object, Ok(Reply { object: Some(object), .. })) => {
                self.object = Some(object);
                self.events.push_back(Event::Joined);
            }
            (Purpose::Object, outcome) => self.handle_refusal(outcome.err().unwrap_or_default(), now),
            (Purpose::Receiver, outcome) => self.start_listening(outcome.ok().and_then(|reply| reply.object), now),
            (Purpose::Pattern(pattern), Err(status)) => self.trouble(format!("no events {pattern}: status {status}")),
            (Purpose::Names, outcome) => {
                self.hints.answered();
                self.events.extend(outcome.ok().map(|reply| Event::Names(others::names(&reply.data))));
            }
            (Purpose::Interfaces, outcome) => {
                self.interfaces.answered();
                self.events.extend(outcome.ok().map(|reply| Event::Interfaces(others::interfaces(&reply.data))));
            }
            (Purpose::Decider(waiting), outcome) => {
                let Waiting { caller, request, user } = *waiting;
                let name = outcome.ok().and_then(|reply| others::username(&reply.data));
                let by = name.unwrap_or_else(|| stranger(&user));
                self.carry_out(caller, &request, &by, house, now);
            }
            (Purpose::Hook, outcome) => self.handle_hook(outcome, now),
            (Purpose::Pattern(_), Ok(_)) => {}
        }
    }

    fn handle_refusal(&mut self, status: i32, now: Now) {
        self.again = now.instant.checked_add(REFUSED_PAUSE);
        if !std::mem::replace(&mut self.refused, true) {
            self.trouble(format!("no object {NAME}: status {status} (the name is taken, or we may not publish it)"));
        }
    }

    fn start_listening(&mut self, receiver: Option<u32>, now: Now) {
        self.receiver = receiver;
        for pattern in PATTERNS {
            if let Some(receiver) = receiver {
                self.connection.listen(receiver, pattern, Purpose::Pattern(pattern));
            }
        }
        self.hints.want(now.instant);
        self.interfaces.want(now.instant);
    }

    fn trouble(&mut self, line: String) {
        self.events.push_back(Event::Trouble(line));
    }

    fn handle_bus_event(&mut self, call: &Call, now: Now) {
        if !call.is_from_broker() {
            return;
        }
        let data = call.data.as_deref().unwrap_or_default();
        let added = others::added_path(data).filter(|_| call.method == "ubus.object.add");
        if call.method == "config.change" && others::changed_package(data) == Some(NAME) {
            self.events.push_back(Event::ConfigChanged);
        }
        if call.method == INTERFACES {
            self.interfaces.want(now.instant);
        }
        match added {
            Some(INTERFACES) => self.interfaces.want_at_once(now.instant),
            Some(HINTS) => self.hints.want_at_once(now.instant),
            _ => {}
        }
    }

    /// Asks others what is due to be asked.
    fn inquire(&mut self, now: Now) {
        let Some(due) = self.patience(now) else { return };
        if self.hints.ask(now.instant) {
            self.connection.call(HINTS, "getHostHints", BlobMsgTable::empty(), due, Purpose::Names);
        }
        if self.interfaces.ask(now.instant) {
            self.connection.call(INTERFACES, "dump", BlobMsgTable::empty(), due, Purpose::Interfaces);
        }
    }

    /// Until when others may take to answer; nothing while there is no bus.
    fn patience(&self, now: Now) -> Option<Instant> {
        now.instant.checked_add(PATIENCE).filter(|_| matches!(self.link, Link::Up))
    }

    fn handle_call(&mut self, call: &Call, house: &mut House<'_>, now: Now) {
        if self.connection.waiting() > MOST_WAITING {
            return self.connection.answer(call.caller, Err(Status::UnknownError as i32));
        }
        let read = call.data.as_deref().ok_or(Status::InvalidArgument);
        let (request, session) = match read.and_then(|data| object::read(METHODS, &call.method, data)) {
            Ok(read) => read,
            Err(status) => return self.connection.answer(call.caller, Err(status as i32)),
        };
        let user: String = call.user.as_deref().unwrap_or("ubus").chars().take(LONGEST_USER).collect();
        match session.filter(|_| request.decides()) {
            Some(session) => self.ask_who(&session, Waiting { caller: call.caller, request, user }, house, now),
            None => self.carry_out(call.caller, &request, &user, house, now),
        }
    }

    /// LuCI's bridge calls as root for everybody; who is behind it, rpcd knows by the session.
    fn ask_who(&mut self, session: &str, waiting: Waiting, house: &mut House<'_>, now: Now) {
        let due = now.instant.checked_add(SESSION_PATIENCE);
        let Some(due) = due.filter(|_| self.connection.outstanding() < MOST_OUTSTANDING) else {
            return self.carry_out(waiting.caller, &waiting.request, &stranger(&waiting.user), house, now);
        };
        let arguments = Writer::table_of(|w| {
            w.text("ubus_rpc_session", session);
            w.texts("keys", ["username"]);
        });
        self.connection.call(SESSIONS, "get", arguments, due, Purpose::Decider(Box::new(waiting)));
    }

    fn carry_out(&mut self, caller: Caller, request: &Request, by: &str, house: &mut House<'_>, now: Now) {
        let outcome = perform(request, by, self.version, house, now);
        self.connection.answer(caller, outcome.as_ref().map_err(|status| *status as i32));
    }

    /// Sends an event, and a notification of the same name to subscribers; not while the broker does not read.
    fn tell(&mut self, name: &str, table: &BlobMsgTable) {
        let Some(object) = self.object.filter(|_| self.connection.waiting() <= MOST_WAITING) else { return };
        self.connection.send_event(name, table);
        if self.subscribed {
            self.connection.notify(object, name, table);
        }
    }
}

/// Who decided, where rpcd does not know the session (any more) or does not answer.
fn stranger(user: &str) -> String {
    format!("{user}, unknown session")
}
