//! The shape of a secure channel, over a stream or over datagrams.

use std::time::Instant;

use rustls::pki_types::CertificateDer;

use super::dtls_config::SavedSession;
use super::failure::Failure;
#[cfg(feature = "client")]
use super::revocation::Proven;
use crate::model::Now;

/// A secure channel with one peer, both ends authenticated; no I/O.
///
/// Its owner hands it what the network brings, then takes from it what is to be read, what is to be sent and when its next timeout is due.
pub trait Channel {
    /// Takes bytes of the stream, or one datagram.
    ///
    /// # Errors
    /// The channel is dead. [`Channel::poll_transmit`] still has the last word to the peer, [`Channel::poll_plaintext`] what the
    /// peer had said before. Damaged, repeated and foreign datagrams are no errors once the channel is established.
    fn handle_input(&mut self, bytes: &[u8], now: Now) -> Result<(), Failure>;

    /// The next piece of the stream, or the next message, in clear.
    fn poll_plaintext(&mut self) -> Option<Vec<u8>>;

    /// Encrypts a piece of the stream, or one message.
    ///
    /// Over datagrams, what does not fit one or comes before the channel is established is lost.
    fn write(&mut self, plaintext: &[u8]);

    /// The next bytes of the stream, or the next datagram, for the network.
    fn poll_transmit(&mut self) -> Option<Vec<u8>>;

    /// The moment at which [`Channel::handle_timeout`] is due; none over a stream.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Repeats what was not answered, if that is due.
    ///
    /// # Errors
    /// [`Failure::Silent`] when it was repeated often enough.
    fn handle_timeout(&mut self, _now: Now) -> Result<(), Failure> {
        Ok(())
    }

    /// Says that nothing more will come.
    fn close(&mut self);

    /// Whether both sides have proven who they are.
    fn is_established(&self) -> bool;

    /// Whether the handshake began with the offer to go on from an earlier session, which not every peer takes well.
    fn has_offered(&self) -> bool;

    /// Whether the handshake was short, thanks to an earlier session.
    fn is_resumed(&self) -> bool;

    /// The certificate the peer has shown, or its raw public key.
    ///
    /// A resumed session has it from the earlier one. Only the provider's end of DTLS does not; [`Channel::peer_name`] tells of both.
    fn peer_certificate(&self) -> Option<&CertificateDer<'static>>;

    /// The name the router has proven to the provider: of its certificate, or the identity of its pre-shared key.
    #[cfg(feature = "client")]
    fn peer_name(&self) -> Option<String>;

    /// What the router has proven that name with, in this session or the one that it goes on from.
    #[cfg(feature = "client")]
    fn proven(&self) -> Proven;

    /// The session that a later DTLS channel may resume; none before the channel is established, or with pre-shared keys.
    ///
    /// TLS keeps its sessions in its configuration.
    fn session(&self) -> Option<&SavedSession> {
        None
    }
}
