//! What the serving program is told: by its configuration file, and by arguments, which count more.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dots_callhome::client::guard::Limits;
use ipnet::IpNet;
use serde::Deserialize;

use crate::arguments::{Serve, listen_address};

/// Where the state is kept unless it is said.
const STATE: &str = "/var/lib/dots-callhome-client";

/// The configuration file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct ConfigFile {
    listen: Vec<String>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    crl: Option<PathBuf>,
    peer_keys: Option<PathBuf>,
    psk_file: Option<PathBuf>,
    routers: Option<PathBuf>,
    state: Option<PathBuf>,
    metrics: Option<SocketAddr>,
    limits: LimitsTable,
}

/// Its table `[limits]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct LimitsTable {
    safe: Vec<IpNet>,
    widest_v4: u8,
    widest_v6: u8,
    most_an_hour: u32,
}

/// All of it.
pub(crate) struct Settings {
    pub listen: Vec<SocketAddr>,
    pub ca: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: PathBuf,
    pub crl: Option<PathBuf>,
    pub peer_keys: Option<PathBuf>,
    pub psk_file: Option<PathBuf>,
    pub routers: Option<PathBuf>,
    pub state: PathBuf,
    pub metrics: Option<SocketAddr>,
    pub limits: Limits,
}

impl Settings {
    /// Reads the configuration file, if there is one.
    ///
    /// # Errors
    /// In words, with the file and the line; or something needed is neither in the file nor among the arguments.
    pub(crate) fn read(arguments: &Serve) -> Result<Self, String> {
        let file = arguments.config.as_deref().map(read).transpose()?.unwrap_or_default();
        let or = |argument: &Option<PathBuf>, file: Option<PathBuf>| argument.clone().or(file);
        let mut listen = arguments.listen.clone();
        if listen.is_empty() {
            listen = file.listen.iter().map(|text| listen_address(text)).collect::<Result<_, _>>()?;
        }
        if listen.is_empty() {
            return Err("where to listen? --listen, or listen in the configuration".to_owned());
        }
        let LimitsTable { safe, widest_v4, widest_v6, most_an_hour } = file.limits;
        Ok(Self {
            listen,
            ca: or(&arguments.ca, file.ca),
            certificate: or(&arguments.certificate, file.certificate),
            key: or(&arguments.key, file.key).ok_or("which key? --key, or key in the configuration")?,
            crl: or(&arguments.crl, file.crl),
            peer_keys: or(&arguments.peer_keys, file.peer_keys),
            psk_file: or(&arguments.psk_file, file.psk_file),
            routers: or(&arguments.routers, file.routers),
            state: or(&arguments.state, file.state).unwrap_or_else(|| STATE.into()),
            metrics: arguments.metrics.or(file.metrics),
            limits: Limits { safe, widest_v4, widest_v6, most_an_hour },
        })
    }
}

fn read(path: &Path) -> Result<ConfigFile, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        format!("{}:{line}: {}", path.display(), error.message())
    })
}
