//! The numbers by which the loop tells what is ready.

/// The control socket's listener.
pub(crate) const CONTROL: usize = 0;
/// The first of the TCP listeners.
pub(crate) const LISTENERS: usize = 1;
/// The first of the UDP sockets.
pub(crate) const SOCKETS: usize = 32;
/// The signals' pipe, behind the last UDP socket.
pub(crate) const SIGNALS: usize = 63;
/// The pipe of the signal to read all files once more.
pub(crate) const HANGUP: usize = 64;
/// The listener for those who fetch metrics.
pub(crate) const METRICS: usize = 65;
/// The first of the connections.
const FIRST: usize = 66;

/// Addresses to listen on.
pub(crate) const MOST_ADDRESSES: usize = SIGNALS - SOCKETS;
/// Gives each connection a number of its own.
pub(crate) struct Tokens(usize);

impl Tokens {
    /// None given yet.
    pub(crate) fn new() -> Self {
        Self(FIRST)
    }

    /// A number that no connection has had before.
    pub(crate) fn take(&mut self) -> usize {
        self.0 += 1;
        self.0
    }
}
