//! Commands: questions on connections of the control socket, and their answers.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::time::Duration;

use dots_callhome::io::buffered_stream::{self, BufferedStream};
use mio::net::{UnixListener, UnixStream};
use mio::{Registry, Token};
use serde_json::{Value, json};

use crate::accepting::accept_some;
use crate::control::{Ask, Question, VERSION};
use crate::exit::Exit;
use crate::tokens::Tokens;

/// One question.
const LONGEST_QUESTION: usize = 1024 * 1024;
/// What is given to the kernel at once.
const PIECE: usize = 64 * 1024;
/// Bytes of events that wait for a watcher that does not read.
const MOST_WAITING: usize = 1024 * 1024;
/// Questions of one connection that are not answered yet.
const MOST_OPEN: usize = 4096;

/// Which mitigations a command is about.
#[derive(Clone)]
pub(crate) struct Selection {
    /// Only this router's.
    pub router: Option<String>,
    /// Only this one.
    pub mid: Option<u32>,
}

impl Selection {
    /// Whether a router's mitigation is among them.
    pub(crate) fn covers(&self, router: &str, mid: u32) -> bool {
        self.router.as_deref().is_none_or(|wanted| wanted == router) && self.mid.is_none_or(|wanted| wanted == mid)
    }
}

/// What somebody goes on being told.
#[derive(Clone)]
pub(crate) enum Watch {
    /// Every change of these mitigations.
    Mitigations(Selection),
    /// Everything that happens.
    Events,
}

/// Why a question can't be read.
enum BadQuestion {
    Malformed(serde_json::Error),
    TooLong,
    TooMany,
    Version(u32),
}

impl fmt::Display for BadQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::TooLong => f.write_str("the command is too long"),
            Self::TooMany => write!(f, "more than {MOST_OPEN} questions without an answer"),
            Self::Version(version) => write!(f, "version {version} is not spoken here, but {VERSION}"),
        }
    }
}

/// A question that is not answered yet, by which the rest of the program knows it.
pub(crate) type Asker = u64;

/// Where an answer goes.
struct Open {
    connection: usize,
    /// What the answer bears, where the question had one.
    id: Option<Value>,
    /// Whether more questions may come on the connection.
    stays: bool,
    watches: Option<Watch>,
}

/// A connection of a command.
struct CommandConnection {
    stream: BufferedStream<UnixStream>,
    line: Vec<u8>,
    /// What waits for the kernel to take what is before it.
    pieces: VecDeque<Vec<u8>>,
    waiting: usize,
    /// Whether it is over once all is written.
    is_last: bool,
    /// Whether it has asked anything yet.
    has_asked: bool,
}

/// All connections of commands.
pub(crate) struct Commands {
    registry: Registry,
    most: usize,
    all: BTreeMap<usize, CommandConnection>,
    open: BTreeMap<Asker, Open>,
    asked: VecDeque<(Asker, Ask)>,
    last_asker: Asker,
}

impl Commands {
    /// None yet, and at most so many at once.
    pub(crate) fn new(registry: Registry, most: usize) -> Self {
        let (all, open, asked) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        Self { registry, most, all, open, asked, last_asker: 0 }
    }

    /// Connections there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Accepts who wants to ask; who has long said nothing gives way. Returns after what time more are to be accepted.
    pub(crate) fn accept(&mut self, listener: &UnixListener, tokens: &mut Tokens) -> Option<Duration> {
        accept_some(
            || listener.accept(),
            |(stream, _)| {
                let token = tokens.take();
                if self.all.len() >= self.most {
                    let idle = self.all.iter().find(|(_, connection)| !connection.has_asked).map(|(token, _)| *token);
                    idle.into_iter().for_each(|token| self.hang_up(token));
                }
                if self.all.len() < self.most
                    && let Ok(stream) = BufferedStream::new(stream, &self.registry, Token(token))
                {
                    self.all.insert(token, CommandConnection::new(stream));
                }
            },
        )
    }

    /// A connection can be read or written.
    pub(crate) fn handle_ready(&mut self, token: usize, writable: bool) {
        let Some(connection) = self.all.get_mut(&token) else { return };
        let written = if writable { connection.write() } else { Ok(()) };
        let mut lines = Vec::new();
        let read = connection.read(&mut lines);
        for line in lines {
            self.handle_line(token, &line);
        }
        let is_over = self.all.get(&token).is_some_and(CommandConnection::is_over);
        match written.and(read) {
            Ok(true) => self.reject(token, None, false, &BadQuestion::TooLong),
            Ok(false) if !is_over => {}
            _ => self.hang_up(token),
        }
    }

    fn handle_line(&mut self, token: usize, line: &[u8]) {
        let Some(connection) = self.all.get_mut(&token).filter(|connection| !connection.is_last) else { return };
        connection.has_asked = true;
        let Question { v, id, ask } = match serde_json::from_slice(line) {
            Ok(question) => question,
            Err(error) => {
                let value: Option<Value> = serde_json::from_slice(line).ok();
                let id = value.as_ref().and_then(|value| value.get("id").cloned());
                let stays = value.is_some_and(|value| value.get("v").is_some() || value.get("id").is_some());
                return self.reject(token, id, stays, &BadQuestion::Malformed(error));
            }
        };
        let stays = v.is_some() || id.is_some();
        if let Some(version) = v.filter(|version| *version != VERSION) {
            return self.reject(token, id, stays, &BadQuestion::Version(version));
        }
        if self.open.values().filter(|open| open.connection == token).count() >= MOST_OPEN {
            return self.reject(token, id, stays, &BadQuestion::TooMany);
        }
        let asker = self.open(token, id, stays);
        self.asked.push_back((asker, ask));
    }

    fn open(&mut self, connection: usize, id: Option<Value>, stays: bool) -> Asker {
        self.last_asker += 1;
        self.open.insert(self.last_asker, Open { connection, id, stays, watches: None });
        self.last_asker
    }

    fn reject(&mut self, token: usize, id: Option<Value>, stays: bool, why: &BadQuestion) {
        let asker = self.open(token, id, stays);
        self.refuse(asker, Exit::Usage, why);
    }

    /// The next question, and the number of its asker.
    pub(crate) fn poll_command(&mut self) -> Option<(Asker, Ask)> {
        self.asked.pop_front()
    }

    /// Lets an asker have all that is new.
    pub(crate) fn watch(&mut self, asker: Asker, watch: Watch) {
        if let Some(open) = self.open.get_mut(&asker) {
            open.watches = Some(watch);
        }
    }

    /// Those who have all that is new of this mitigation.
    pub(crate) fn watchers(&self, router: &str, mid: u32) -> Vec<Asker> {
        let is_meant = |watch: &Watch| matches!(watch, Watch::Mitigations(selection) if selection.covers(router, mid));
        self.watching(is_meant)
    }

    /// Tells those who have asked for events.
    pub(crate) fn tell(&mut self, event: &Value) {
        for asker in self.watching(|watch| matches!(watch, Watch::Events)) {
            self.reply(asker, event.clone());
        }
    }

    fn watching(&self, is_meant: impl Fn(&Watch) -> bool) -> Vec<Asker> {
        self.open
            .iter()
            .filter(|(_, open)| open.watches.as_ref().is_some_and(&is_meant))
            .map(|(asker, _)| *asker)
            .collect()
    }

    /// Replies; more may follow. Who does not read what it watches is let go.
    pub(crate) fn reply(&mut self, asker: Asker, mut value: Value) {
        let Some(open) = self.open.get(&asker) else { return };
        let token = open.connection;
        if let (true, Some(object)) = (open.stays, value.as_object_mut()) {
            object.insert("v".to_owned(), json!(VERSION));
            object.extend(open.id.clone().map(|id| ("id".to_owned(), id)));
        }
        let is_watcher = open.watches.is_some();
        let Some(connection) = self.all.get_mut(&token) else { return };
        connection.push(format!("{value}\n").as_bytes());
        if connection.write().is_err() || (is_watcher && connection.waiting > MOST_WAITING) {
            self.hang_up(token);
        }
    }

    /// Replies for the last time. The connection is over once all of it is written, unless more questions may come.
    pub(crate) fn reply_last(&mut self, asker: Asker, value: Value) {
        self.reply(asker, value);
        let Some(open) = self.open.remove(&asker) else { return };
        if let (false, Some(connection)) = (open.stays, self.all.get_mut(&open.connection)) {
            connection.is_last = true;
            if connection.is_over() {
                self.hang_up(open.connection);
            }
        }
    }

    /// Says why nothing comes of a question.
    pub(crate) fn refuse(&mut self, asker: Asker, exit: Exit, why: &impl fmt::Display) {
        self.reply_last(asker, json!({ "error": why.to_string(), "exit": exit.code() }));
    }

    fn hang_up(&mut self, token: usize) {
        if let Some(mut connection) = self.all.remove(&token) {
            connection.stream.leave(&self.registry);
        }
        self.open.retain(|_, open| open.connection != token);
    }
}

impl CommandConnection {
    fn new(stream: BufferedStream<UnixStream>) -> Self {
        let pieces = VecDeque::new();
        Self { stream, line: Vec::new(), pieces, waiting: 0, is_last: false, has_asked: false }
    }

    fn push(&mut self, line: &[u8]) {
        self.waiting += line.len();
        self.pieces.extend(line.chunks(PIECE).map(<[u8]>::to_vec));
    }

    /// Writes as much as the kernel takes.
    fn write(&mut self) -> io::Result<()> {
        self.stream.flush()?;
        while self.stream.is_flushed() {
            let Some(piece) = self.pieces.pop_front() else { break };
            self.waiting -= piece.len();
            self.stream.send(&piece)?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.is_last && self.pieces.is_empty() && self.stream.is_flushed()
    }

    /// Reads all whole lines; whether the one that follows is too long already.
    fn read(&mut self, lines: &mut Vec<Vec<u8>>) -> io::Result<bool> {
        let mut buffer = buffered_stream::buffer();
        while let Some(bytes) = self.stream.receive(&mut buffer)? {
            for &byte in bytes {
                if byte == b'\n' {
                    lines.push(std::mem::take(&mut self.line));
                } else {
                    self.line.push(byte);
                }
            }
            if self.line.len() > LONGEST_QUESTION {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
