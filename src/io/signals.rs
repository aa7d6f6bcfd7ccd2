//! Signals as events of the loop.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

/// A stream that becomes readable with each of the signals.
///
/// # Errors
/// As the kernel says.
pub fn signals(signals: &[i32], registry: &Registry, token: Token) -> io::Result<UnixStream> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    let mut stream = UnixStream::from_std(ours);
    registry.register(&mut stream, token, Interest::READABLE)?;
    for signal in signals {
        signal_hook::low_level::pipe::register(*signal, theirs.try_clone()?)?;
    }
    Ok(stream)
}
