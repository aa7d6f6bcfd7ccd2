//! Commands: one question on a connection of the control socket, and its answers.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::time::Duration;

use dots_callhome::io::buffered_stream::{self, BufferedStream};
use mio::net::{UnixListener, UnixStream};
use mio::{Registry, Token};
use serde_json::{Value, json};

use crate::accepting::accept_some;
use crate::control::Ask;
use crate::tokens::Tokens;

/// A command is one short line.
const LONGEST_COMMAND: usize = 64 * 1024;

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

/// Why a command can't be read.
enum BadCommand {
    Lost(io::Error),
    Malformed(serde_json::Error),
    TooLong,
}

impl fmt::Display for BadCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(error) => error.fmt(f),
            Self::Malformed(error) => error.fmt(f),
            Self::TooLong => f.write_str("the command is too long"),
        }
    }
}

/// A connection of a command.
struct CommandConnection {
    stream: BufferedStream<UnixStream>,
    line: Vec<u8>,
    watches: Option<Selection>,
}

/// All connections of commands.
pub(crate) struct Commands {
    registry: Registry,
    most: usize,
    all: BTreeMap<usize, CommandConnection>,
    asked: VecDeque<(usize, Ask)>,
}

impl Commands {
    /// None yet, and at most so many at once.
    pub(crate) fn new(registry: Registry, most: usize) -> Self {
        Self { registry, most, all: BTreeMap::new(), asked: VecDeque::new() }
    }

    /// Accepts who wants to ask. Returns after what time more are to be accepted.
    pub(crate) fn accept(&mut self, listener: &UnixListener, tokens: &mut Tokens) -> Option<Duration> {
        accept_some(
            || listener.accept(),
            |(stream, _)| {
                let token = tokens.take();
                if self.all.len() < self.most
                    && let Ok(stream) = BufferedStream::new(stream, &self.registry, Token(token))
                {
                    self.all.insert(token, CommandConnection { stream, line: Vec::new(), watches: None });
                }
            },
        )
    }

    /// A connection can be read or written.
    pub(crate) fn handle_ready(&mut self, token: usize, writable: bool) {
        let Some(command) = self.all.get_mut(&token) else { return };
        match command.read(writable) {
            Ok(Some(ask)) => self.asked.push_back((token, ask)),
            Ok(None) => {}
            Err(why) => self.refuse(token, &why),
        }
    }

    /// The next command, and the number of its connection.
    pub(crate) fn poll_command(&mut self) -> Option<(usize, Ask)> {
        self.asked.pop_front()
    }

    /// Lets a connection have all that is new of these mitigations.
    pub(crate) fn watch(&mut self, token: usize, selection: Selection) {
        if let Some(command) = self.all.get_mut(&token) {
            command.watches = Some(selection);
        }
    }

    /// The connections that have all that is new of this mitigation.
    pub(crate) fn watchers(&self, router: &str, mid: u32) -> Vec<usize> {
        let watches =
            |command: &CommandConnection| command.watches.as_ref().is_some_and(|wanted| wanted.covers(router, mid));
        self.all.iter().filter(|(_, command)| watches(command)).map(|(token, _)| *token).collect()
    }

    /// Replies; more may follow.
    pub(crate) fn reply(&mut self, token: usize, value: &Value) {
        let Some(command) = self.all.get_mut(&token) else { return };
        if command.stream.send(format!("{value}\n").as_bytes()).is_err() {
            self.hang_up(token);
        }
    }

    /// Replies and ends the connection. What is small fits the socket's buffer, so nothing is cut off.
    pub(crate) fn reply_last(&mut self, token: usize, value: &Value) {
        self.reply(token, value);
        if let Some(command) = self.all.get_mut(&token) {
            let _ = command.stream.flush();
        }
        self.hang_up(token);
    }

    /// Says why nothing comes of a command, and ends the connection.
    pub(crate) fn refuse(&mut self, token: usize, why: &impl fmt::Display) {
        self.reply_last(token, &json!({ "error": why.to_string() }));
    }

    fn hang_up(&mut self, token: usize) {
        if let Some(mut command) = self.all.remove(&token) {
            command.stream.leave(&self.registry);
        }
    }
}

impl CommandConnection {
    /// Reads the command, once its line is whole.
    fn read(&mut self, writable: bool) -> Result<Option<Ask>, BadCommand> {
        if writable {
            self.stream.flush().map_err(BadCommand::Lost)?;
        }
        let mut buffer = buffered_stream::buffer();
        while let Some(bytes) = self.stream.receive(&mut buffer).map_err(BadCommand::Lost)? {
            self.line.extend_from_slice(bytes);
            if let Some(end) = self.line.iter().position(|&byte| byte == b'\n') {
                let line = self.line.get(..end).unwrap_or_default();
                return serde_json::from_slice(line).map(Some).map_err(BadCommand::Malformed);
            }
            if self.line.len() > LONGEST_COMMAND {
                return Err(BadCommand::TooLong);
            }
        }
        Ok(None)
    }
}
