//! Commands: one question on a connection of the control socket, and its answers.

use std::time::Instant;

use dots_callhome::io::buffered_stream::{self, BufferedStream};
use dots_callhome::signal::body::Lifetime;
use dots_callhome::signal::redirect::Redirect;
use mio::Token;
use mio::net::{UnixListener, UnixStream};
use serde_json::{Value, json};

use crate::calls::Call;
use crate::control::Ask;
use crate::serve::{MOST, Server, words};
use crate::show;
use dots_callhome::client::{Outcome, Refusal, Requester, Session};

/// A command is one short line.
const LONGEST_COMMAND: usize = 64 * 1024;

/// A connection of a command.
pub struct Command {
    link: BufferedStream<UnixStream>,
    line: Vec<u8>,
    watches: Option<(Option<String>, Option<u32>)>,
}

impl Server {
    /// Somebody wants to ask.
    pub fn accept_commands(&mut self, listener: &UnixListener) {
        while let Ok((stream, _)) = listener.accept() {
            let token = self.take_token();
            if self.commands.len() < MOST
                && let Ok(link) = BufferedStream::new(stream, self.poll.registry(), Token(token))
            {
                self.commands.insert(token, Command { link, line: Vec::new(), watches: None });
            }
        }
    }

    /// A connection can be read or written.
    pub fn command_ready(&mut self, token: usize, writable: bool) {
        let Some(command) = self.commands.get_mut(&token) else { return };
        match read_command(command, writable) {
            Ok(Some(ask)) => self.asked(token, ask),
            Ok(None) => {}
            Err(why) => self.reply_last(token, &json!({ "error": why })),
        }
    }

    fn asked(&mut self, token: usize, ask: Ask) {
        match ask {
            Ask::Routers => {
                let routers: Vec<Value> = self.calls.values().filter_map(Call::json).collect();
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
                let scope = dots_callhome::model::Scope::from(scope);
                if let Some(foreign) = self.roster.foreign(&router, &scope.source_prefixes) {
                    let why = format!("{foreign} does not belong to {router}");
                    return self.reply_last(token, &json!({ "error": why }));
                }
                let lifetime = u32::try_from(lifetime).map_or(Lifetime::Indefinite, Lifetime::Seconds);
                let own = self.calls.values().filter(|call| call.name.as_ref() == Some(&router));
                let in_peace = !own.filter_map(|call| call.router.as_ref()).any(Session::is_mitigating);
                match self.numbers.take(&router, in_peace) {
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
    fn tell(&mut self, token: usize, name: &str, what: impl FnOnce(&mut Session, Instant)) {
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

    /// A router has answered.
    pub fn answered(&mut self, asker: Requester, router: &str, outcome: Result<Outcome, Refusal>) {
        let Ok(token) = usize::try_from(asker) else { return };
        match outcome {
            Ok(Outcome::Mitigation(mid)) => {
                let one = self.mitigations(Some(router), Some(mid)).into_iter().next();
                self.reply_last(token, &one.unwrap_or_else(|| json!({ "router": router, "mid": mid })));
            }
            Ok(Outcome::Redirected) => self.reply_last(token, &json!({ "router": router })),
            Err(why) => self.reply_last(token, &json!({ "error": why.to_string() })),
        }
    }

    /// A router has told something new.
    pub fn reported(&mut self, router: &str, mid: u32) {
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
}

fn read_command(command: &mut Command, writable: bool) -> Result<Option<Ask>, String> {
    if writable {
        command.link.flush().map_err(words)?;
    }
    let mut buffer = buffered_stream::buffer();
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

fn asker(token: usize) -> Requester {
    token as Requester
}
