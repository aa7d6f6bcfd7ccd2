//! A byte stream of the loop: the connection to a provider, or to the bus.

use std::io::{self, ErrorKind, Read, Write};

use mio::event::Source;
use mio::{Interest, Registry, Token};

/// Bytes that may wait for a peer that does not read; more ends the connection.
const MOST_WAITING: usize = 1024 * 1024;
/// One read. Several fit one wake-up, but none starves the others.
const CHUNK: usize = 16 * 1024;

/// A non-blocking stream with what waits to be written.
pub struct BufferedStream<S> {
    stream: S,
    waiting: Vec<u8>,
    blocked: bool,
}

impl<S: Read + Write + Source> BufferedStream<S> {
    /// Registers the stream for both directions.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn new(mut stream: S, registry: &Registry, token: Token) -> io::Result<Self> {
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, waiting: Vec::new(), blocked: true })
    }

    /// The stream itself.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Writes what can be written and keeps the rest.
    ///
    /// # Errors
    /// The connection is lost, or its peer has not read for too long.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.waiting.len().saturating_add(bytes.len()) > MOST_WAITING {
            return Err(io::Error::new(ErrorKind::TimedOut, "the peer does not read"));
        }
        self.waiting.extend_from_slice(bytes);
        if self.blocked { Ok(()) } else { self.flush() }
    }

    /// The kernel takes bytes again.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn flush(&mut self) -> io::Result<()> {
        self.blocked = false;
        let mut written = 0;
        while let Some(rest) = self.waiting.get(written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(length) => written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked = true;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.waiting.drain(..written);
        Ok(())
    }

    /// Whether nothing waits to be written any more.
    pub fn is_flushed(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Reads one chunk; nothing when there is none for now.
    ///
    /// # Errors
    /// The connection is lost; its orderly end is `UnexpectedEof`.
    pub fn receive<'a>(&mut self, buffer: &'a mut [u8; CHUNK]) -> io::Result<Option<&'a [u8]>> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => return Ok(buffer.get(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Leaves the loop; dropping the link then closes it.
    pub fn leave(&mut self, registry: &Registry) {
        let _ = registry.deregister(&mut self.stream);
    }
}

/// A buffer for [`BufferedStream::receive`].
pub fn buffer() -> [u8; CHUNK] {
    [0; CHUNK]
}
