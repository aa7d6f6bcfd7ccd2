//! The connection to the bus.

use std::fmt;
use std::io;
use std::path::PathBuf;

use ipnet::IpNet;
use mio::net::UnixStream;
use mio::{Registry, Token};
use vecset::VecMap;

use crate::io::buffered_stream::{self, BufferedStream};
use crate::model::Now;
use crate::source;
use crate::ubus::{Bus, BusProtocolError, CallContext, LogicalInterface};

/// Reads of one wake-up.
const READS: usize = 16;

/// Why the connection is lost.
#[derive(Debug)]
enum BusLost {
    Stream(io::Error),
    Protocol(BusProtocolError),
}

impl fmt::Display for BusLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(error) => error.fmt(f),
            Self::Protocol(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for BusLost {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

/// The bus as we know it, and its socket while there is one.
pub(super) struct BusConnection {
    /// What is said on it.
    pub(super) bus: Bus,
    socket: PathBuf,
    token: Token,
    stream: Option<BufferedStream<UnixStream>>,
    unread: bool,
}

impl BusConnection {
    /// Not joined yet.
    pub(super) fn new(socket: PathBuf, token: Token) -> Self {
        Self { bus: Bus::new(env!("CARGO_PKG_VERSION")), socket, token, stream: None, unread: false }
    }

    /// Whether something is left to read.
    pub(super) fn is_unread(&self) -> bool {
        self.unread
    }

    /// Reads what the bus says, or goes on with it.
    pub(super) fn ready(&mut self, writable: bool, context: &mut CallContext<'_>, registry: &Registry, now: Now) {
        self.unread = false;
        if let Err(why) = self.exchange(writable, context, now) {
            self.handle_lost(&why, registry, now);
        }
    }

    fn exchange(&mut self, writable: bool, context: &mut CallContext<'_>, now: Now) -> Result<(), BusLost> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        if writable {
            stream.flush()?;
        }
        let mut buffer = buffered_stream::buffer();
        for _ in 0..READS {
            let Some(bytes) = stream.receive(&mut buffer)? else { return Ok(()) };
            self.bus.handle_input(bytes, context, now).map_err(BusLost::Protocol)?;
        }
        self.unread = true;
        Ok(())
    }

    /// Joins when it is time, and sends what is to be sent.
    pub(super) fn transmit(&mut self, registry: &Registry, now: Now) {
        if self.stream.is_none() && self.bus.poll_connect(now) {
            let stream = UnixStream::connect(&self.socket);
            match stream.and_then(|stream| BufferedStream::new(stream, registry, self.token)) {
                Ok(stream) => {
                    self.stream = Some(stream);
                    self.bus.handle_connected();
                }
                Err(error) => {
                    log::debug!("bus: {}: {error}", self.socket.display());
                    self.bus.handle_lost(now);
                }
            }
        }
        let Some(stream) = &mut self.stream else { return };
        let mut outcome = Ok(());
        while let Some(bytes) = self.bus.poll_transmit() {
            outcome = outcome.and_then(|()| stream.send(&bytes));
        }
        if let Err(error) = outcome {
            self.handle_lost(&error.into(), registry, now);
        }
    }

    fn handle_lost(&mut self, why: &BusLost, registry: &Registry, now: Now) {
        log::warn!("bus: {why}; joining again");
        if let Some(mut stream) = self.stream.take() {
            stream.leave(registry);
        }
        self.unread = false;
        self.bus.handle_lost(now);
    }
}

/// The router's interfaces as the search wants them.
pub(super) fn interfaces_up(interfaces: VecMap<String, LogicalInterface>) -> Vec<source::Interface> {
    let up = interfaces.into_iter().filter(|(_, interface)| interface.up);
    let translate = |(name, interface): (String, LogicalInterface)| source::Interface {
        name,
        protocol: interface.protocol,
        dynamic: interface.dynamic,
        devices: interface.device.into_iter().collect(),
        lower: interface.lower,
        addresses: interface.addresses.iter().map(IpNet::addr).collect(),
        translated: interface.translated,
        prefixes: interface.prefixes.into_iter().map(IpNet::from).collect(),
        gateways: interface.gateways,
        default_route: interface.default_route,
    };
    up.map(translate).collect()
}
