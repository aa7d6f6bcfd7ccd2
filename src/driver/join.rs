//! The connection to the bus.

use std::path::PathBuf;

use ipnet::IpNet;
use mio::net::UnixStream;
use mio::{Registry, Token};
use vecset::VecMap;

use crate::io::buffered_stream::{self, BufferedStream};
use crate::model::Now;
use crate::source;
use crate::ubus::{Bus, House, Interface};

/// Reads of one wake-up.
const READS: usize = 16;

/// The bus as we know it, and its socket while there is one.
pub struct Join {
    /// What is said on it.
    pub bus: Bus,
    socket: PathBuf,
    token: Token,
    link: Option<BufferedStream<UnixStream>>,
    unread: bool,
}

impl Join {
    /// Not joined yet.
    pub fn new(socket: PathBuf, token: Token) -> Self {
        Self { bus: Bus::new(env!("CARGO_PKG_VERSION")), socket, token, link: None, unread: false }
    }

    /// Whether something is left to read.
    pub fn is_unread(&self) -> bool {
        self.unread
    }

    /// Reads what the bus says, or goes on with it.
    pub fn ready(&mut self, writable: bool, house: &mut House<'_>, registry: &Registry, now: Now) {
        self.unread = false;
        if let Err(why) = self.exchange(writable, house, now) {
            self.lost(&why, registry, now);
        }
    }

    fn exchange(&mut self, writable: bool, house: &mut House<'_>, now: Now) -> Result<(), String> {
        let Some(link) = &mut self.link else { return Ok(()) };
        if writable {
            link.flush().map_err(|error| error.to_string())?;
        }
        let mut buffer = buffered_stream::buffer();
        for _ in 0..READS {
            let Some(bytes) = link.receive(&mut buffer).map_err(|error| error.to_string())? else { return Ok(()) };
            self.bus.handle_input(bytes, house, now).map_err(|broken| broken.to_string())?;
        }
        self.unread = true;
        Ok(())
    }

    /// Joins when it is time, and sends what is to be sent.
    pub fn transmit(&mut self, registry: &Registry, now: Now) {
        if self.link.is_none() && self.bus.poll_connect(now) {
            match UnixStream::connect(&self.socket).and_then(|stream| BufferedStream::new(stream, registry, self.token))
            {
                Ok(link) => {
                    self.link = Some(link);
                    self.bus.handle_connected();
                }
                Err(error) => {
                    log::debug!("bus: {}: {error}", self.socket.display());
                    self.bus.handle_lost(now);
                }
            }
        }
        let Some(link) = &mut self.link else { return };
        let mut outcome = Ok(());
        while let Some(bytes) = self.bus.poll_transmit() {
            outcome = outcome.and_then(|()| link.send(&bytes));
        }
        if let Err(error) = outcome {
            self.lost(&error.to_string(), registry, now);
        }
    }

    fn lost(&mut self, why: &str, registry: &Registry, now: Now) {
        log::warn!("bus: {why}; joining again");
        if let Some(mut link) = self.link.take() {
            link.leave(registry);
        }
        self.unread = false;
        self.bus.handle_lost(now);
    }
}

/// The router's interfaces as the search wants them.
pub fn known(interfaces: VecMap<String, Interface>) -> Vec<source::Interface> {
    let up = interfaces.into_iter().filter(|(_, interface)| interface.up);
    let translate = |(name, interface): (String, Interface)| source::Interface {
        name,
        devices: interface.device.into_iter().collect(),
        addresses: interface.addresses.iter().map(IpNet::addr).collect(),
        prefixes: interface.prefixes.into_iter().map(IpNet::from).collect(),
        gateways: interface.gateways,
    };
    up.map(translate).collect()
}
