//! The `nft` child process: one at a time, fed a ruleset, watched by its pipes.

use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mio::unix::pipe::{Receiver, Sender};
use mio::{Interest, Registry, Token};

/// More than this of what nft says is of no use to anyone.
const MOST_ERRORS: usize = 4096;

/// Where the program is looked for when nobody says: OpenWrt's jails start us without an environment.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The slowest router is done with the largest ruleset long before.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `nft -f -`.
pub struct Nft {
    due: Instant,
    child: Child,
    input: Option<Sender>,
    errors: Receiver,
    ruleset: Vec<u8>,
    written: usize,
    said: Vec<u8>,
}

impl Nft {
    /// Starts it; both pipes are registered under `token`.
    ///
    /// # Errors
    /// When the program is missing or can't be started.
    pub fn start(ruleset: String, registry: &Registry, token: Token, now: Instant) -> io::Result<Self> {
        let mut command = Command::new("nft");
        command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        if env::var_os("PATH").is_none() {
            command.env("PATH", PATH);
        }
        let mut child = command.spawn()?;
        let (Some(input), Some(errors)) = (child.stdin.take(), child.stderr.take()) else {
            return Err(ErrorKind::BrokenPipe.into());
        };
        let (mut input, mut errors) = (Sender::from(input), Receiver::from(errors));
        input.set_nonblocking(true)?;
        errors.set_nonblocking(true)?;
        registry.register(&mut errors, token, Interest::READABLE)?;
        registry.register(&mut input, token, Interest::WRITABLE)?;
        let (ruleset, due) = (ruleset.into_bytes(), now + PATIENCE);
        Ok(Self { due, child, input: Some(input), errors, ruleset, written: 0, said: Vec::new() })
    }

    /// When it is to be given up: dropping it ends it.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Moves on; the outcome once the process has ended, with the first line of what it complained about.
    pub fn proceed(&mut self) -> Option<Result<(), String>> {
        self.feed();
        if !self.listen() {
            return None;
        }
        // Its standard error is closed, so it has ended or is about to: this wait is short.
        let outcome = self.child.wait();
        Some(match outcome {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(self.complaint().unwrap_or_else(|| format!("nft ended with {status}"))),
            Err(error) => Err(format!("nft: {error}")),
        })
    }

    fn feed(&mut self) {
        let Some(input) = &mut self.input else { return };
        while let Some(rest) = self.ruleset.get(self.written..).filter(|rest| !rest.is_empty()) {
            match input.write(rest) {
                Ok(length) => self.written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It went away early; its exit status tells why.
                Err(_) => break,
            }
        }
        self.input = None;
    }

    /// Whether standard error is closed.
    fn listen(&mut self) -> bool {
        let mut chunk = [0; 512];
        loop {
            match self.errors.read(&mut chunk) {
                Ok(0) => return true,
                Ok(length) => {
                    let room = MOST_ERRORS.saturating_sub(self.said.len());
                    self.said.extend(chunk.iter().take(length.min(room)));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
    }

    fn complaint(&self) -> Option<String> {
        let said = String::from_utf8_lossy(&self.said);
        let line = said.lines().next()?.trim();
        (!line.is_empty()).then(|| format!("nft: {line}"))
    }
}

impl Drop for Nft {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
