//! The `nft` child process: one at a time, fed a ruleset, watched by its pipes.

use std::env;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use mio::unix::pipe::{Receiver, Sender};
use mio::{Interest, Registry, Token};

/// More than this of what nft says is of no use to anyone.
const MOST_ERRORS: usize = 4096;

/// Where the program is looked for when nobody says: OpenWrt's jails start us without an environment.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The slowest router is done with the largest ruleset long before.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs begin that far apart at least: a burst of requests becomes a few transactions, a single one never waits.
const PACE: Duration = Duration::from_millis(50);

/// Why the kernel has not taken a ruleset.
#[derive(Debug)]
pub(super) enum NftError {
    /// The program is missing, or can't be started or waited for.
    Process(io::Error),
    /// What it complained about.
    Refused(String),
    /// It failed without a word.
    Status(ExitStatus),
    /// It did not end in time.
    Stuck,
}

impl fmt::Display for NftError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(error) => write!(f, "nft: {error}"),
            Self::Refused(line) => write!(f, "nft: {line}"),
            Self::Status(status) => write!(f, "nft ended with {status}"),
            Self::Stuck => f.write_str("nft does not end"),
        }
    }
}

/// Runs `nft`, one process at a time.
pub(super) struct NftRunner {
    token: Token,
    running: Option<Nft>,
    /// Until when the next run waits for company.
    hold: Option<Instant>,
}

impl NftRunner {
    /// The pipes of its processes are registered under `token`.
    pub(super) fn new(token: Token) -> Self {
        Self { token, running: None, hold: None }
    }

    /// Whether a run may begin now that belongs to a burst.
    pub(super) fn is_free(&self, now: Instant) -> bool {
        self.is_idle() && self.hold.is_none_or(|until| until <= now)
    }

    /// Whether none is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none()
    }

    /// The next run need not wait for company: this one belonged to no burst.
    pub(super) fn release(&mut self) {
        self.hold = None;
    }

    /// Begins a run.
    ///
    /// # Errors
    /// When the program is missing or can't be started.
    pub(super) fn start(&mut self, ruleset: String, registry: &Registry, now: Instant) -> Result<(), NftError> {
        log::debug!("nft run, {} bytes", ruleset.len());
        self.hold = Some(now + PACE);
        self.running = Some(Nft::start(ruleset, registry, self.token, now).map_err(NftError::Process)?);
        Ok(())
    }

    /// Takes what the pipes are ready for; the outcome once the process has ended.
    pub(super) fn ready(&mut self) -> Option<Result<(), NftError>> {
        let outcome = self.running.as_mut()?.proceed()?;
        self.running = None;
        Some(outcome)
    }

    /// Ends a run that takes too long, with that outcome.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Result<(), NftError>> {
        self.hold = self.hold.filter(|until| *until > now);
        self.running.take_if(|nft| nft.due <= now).map(|_| Err(NftError::Stuck))
    }

    /// When [`NftRunner::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.hold.into_iter().chain(self.running.as_ref().map(|nft| nft.due)).min()
    }
}

/// A running `nft -f -`. Dropping it ends it.
struct Nft {
    due: Instant,
    child: Child,
    input: Option<Sender>,
    errors: Receiver,
    ruleset: Vec<u8>,
    written: usize,
    said: Vec<u8>,
}

impl Nft {
    fn start(ruleset: String, registry: &Registry, token: Token, now: Instant) -> io::Result<Self> {
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

    /// Moves on; the outcome once the process has ended, with the first line of what it complained about.
    fn proceed(&mut self) -> Option<Result<(), NftError>> {
        self.feed();
        if !self.listen() {
            return None;
        }
        // Its standard error is closed, so it has ended or is about to: this wait is short.
        Some(match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(self.complaint().map_or(NftError::Status(status), NftError::Refused)),
            Err(error) => Err(NftError::Process(error)),
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
        (!line.is_empty()).then(|| line.to_owned())
    }
}

impl Drop for Nft {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
