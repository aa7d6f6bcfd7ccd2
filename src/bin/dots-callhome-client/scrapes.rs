//! Where metrics are fetched by HTTP: on a loopback address, `GET /metrics`, one answer a connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dots_callhome::io::buffered_stream::{self, BufferedStream};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use crate::accepting::accept_some;
use crate::tokens::{METRICS, Tokens};

/// Connections at once: whoever came first gives way.
const MOST: usize = 16;
/// Bytes of a question; what Prometheus asks has some hundred.
const LONGEST: usize = 8 * 1024;
/// Time for a connection from its first to its last byte.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection, what it has said so far, and when its time is over.
struct Scrape {
    stream: BufferedStream<TcpStream>,
    said: Vec<u8>,
    is_answered: bool,
    until: Instant,
}

/// All connections of those who fetch metrics.
pub(crate) struct Scrapes {
    registry: Registry,
    listener: Option<TcpListener>,
    all: BTreeMap<usize, Scrape>,
}

impl Scrapes {
    /// Listens there, if anywhere.
    ///
    /// # Errors
    /// In words: it is not on the loopback interface, or the system does not let us listen.
    pub(crate) fn listen(address: Option<SocketAddr>, registry: Registry) -> Result<Self, String> {
        let listen = |address: SocketAddr| {
            // What routers do is nobody else's business, and there are no passwords here.
            if !address.ip().is_loopback() {
                return Err(format!("{address}: metrics are told on loopback addresses only"));
            }
            let mut listener = TcpListener::bind(address).map_err(|error| format!("{address}: {error}"))?;
            let registered = registry.register(&mut listener, Token(METRICS), Interest::READABLE);
            registered.map(|()| listener).map_err(|error| format!("{address}: {error}"))
        };
        let listener = address.map(listen).transpose()?;
        Ok(Self { registry, listener, all: BTreeMap::new() })
    }

    /// Accepts who wants to know. Returns after what time more are to be accepted.
    pub(crate) fn accept(&mut self, tokens: &mut Tokens) -> Option<Duration> {
        let Self { registry, listener, all } = self;
        let listener = listener.as_ref()?;
        accept_some(
            || listener.accept(),
            |(stream, _)| {
                if all.len() >= MOST
                    && let Some((_, mut first)) = all.pop_first()
                {
                    first.stream.leave(registry);
                }
                let token = tokens.take();
                if let Ok(stream) = BufferedStream::new(stream, registry, Token(token)) {
                    let until = Instant::now() + PATIENCE;
                    all.insert(token, Scrape { stream, said: Vec::new(), is_answered: false, until });
                }
            },
        )
    }

    /// When [`Scrapes::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.all.values().map(|scrape| scrape.until).min()
    }

    /// Lets go of those whose time is over.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let late: Vec<usize> =
            self.all.iter().filter(|(_, scrape)| scrape.until <= now).map(|(token, _)| *token).collect();
        for mut scrape in late.into_iter().filter_map(|token| self.all.remove(&token)) {
            scrape.stream.leave(&self.registry);
        }
    }

    /// A connection can be read or written. Returns whether it is one of these.
    pub(crate) fn handle_ready(&mut self, token: usize, writable: bool, metrics: impl FnOnce() -> String) -> bool {
        let Some(mut scrape) = self.all.remove(&token) else { return false };
        if scrape.go_on(writable, metrics) {
            self.all.insert(token, scrape);
        } else {
            scrape.stream.leave(&self.registry);
        }
        true
    }
}

impl Scrape {
    /// Returns whether there is more to come.
    fn go_on(&mut self, writable: bool, metrics: impl FnOnce() -> String) -> bool {
        if writable && self.stream.flush().is_err() {
            return false;
        }
        let mut buffer = buffered_stream::buffer();
        while !self.is_answered {
            match self.stream.receive(&mut buffer) {
                Ok(Some(bytes)) => self.said.extend_from_slice(bytes),
                Ok(None) => return true,
                Err(_) => return false,
            }
            if self.said.len() > LONGEST {
                return false;
            }
            if self.said.windows(4).any(|end| end == b"\r\n\r\n") {
                self.is_answered = true;
                let answer = answer(&self.said, metrics);
                if self.stream.send(answer.as_bytes()).is_err() {
                    return false;
                }
                break;
            }
        }
        !self.stream.is_flushed()
    }
}

/// The answer to a question (RFC 9112).
fn answer(said: &[u8], metrics: impl FnOnce() -> String) -> String {
    let line = said.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let (status, body) = match line.strip_prefix(b"GET ") {
        Some(rest) if rest.starts_with(b"/metrics ") || rest.starts_with(b"/metrics?") => ("200 OK", metrics()),
        Some(_) => ("404 Not Found", "there is only /metrics\n".to_owned()),
        None => ("405 Method Not Allowed", "only GET\n".to_owned()),
    };
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}
