//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use dots_callhome::model::CALL_HOME_PORT;

use crate::control::Ask;
use crate::scope_arguments::ScopeAsked;

/// The provider's side of DOTS Signal Channel Call Home (RFC 9066).
#[derive(Parser)]
#[command(version, about)]
pub(crate) struct Arguments {
    /// Prints JSON instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// The socket through which the serving program is asked.
    #[arg(long, global = true, value_name = "SOCKET", default_value = "/var/run/dots-callhome-client.sock")]
    pub control: PathBuf,
    #[command(subcommand)]
    pub command: ClientCommand,
}

#[derive(Subcommand)]
pub(crate) enum ClientCommand {
    /// Waits for routers to call home.
    Serve(Serve),
    /// Lists the routers that have called.
    Routers,
    /// Asks a router to stop attack traffic.
    Request(RequestArguments),
    /// Shows mitigations as their routers report them.
    Status(StatusArguments),
    /// Withdraws a request.
    Withdraw(WithdrawArguments),
    /// Sends a router to another address to call.
    Redirect(RedirectArguments),
}

#[derive(Args)]
pub(crate) struct Serve {
    /// Where to listen, TLS over TCP and DTLS over UDP; may be repeated.
    #[arg(long, required = true, value_name = "ADDR[:PORT]", value_parser = listen_address)]
    pub listen: Vec<SocketAddr>,
    /// Certificates of the authority that signs the routers' certificates.
    #[arg(long, value_name = "FILE", required_unless_present = "peer_keys", conflicts_with = "peer_keys")]
    pub ca: Option<PathBuf>,
    /// Our certificate chain.
    #[arg(long, value_name = "FILE", required_unless_present = "peer_keys", conflicts_with = "peer_keys")]
    pub certificate: Option<PathBuf>,
    /// Our private key.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Public keys of the routers, instead of certificates; they are then named by the fingerprints of their keys.
    #[arg(long, value_name = "FILE")]
    pub peer_keys: Option<PathBuf>,
    /// Pre-shared keys of routers, a line IDENTITY:KEY each, the key in hexadecimal; over UDP, besides certificates.
    #[arg(long, value_name = "FILE")]
    pub psk_file: Option<PathBuf>,
    /// Names of the routers that may call, one a line; without it any that the authority vouches for.
    #[arg(long, value_name = "FILE")]
    pub routers: Option<PathBuf>,
    /// Where requests and their numbers survive a restart.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/dots-callhome-client")]
    pub state: PathBuf,
}

#[derive(Args)]
pub(crate) struct RequestArguments {
    /// The router, by the name it proves.
    #[arg(long, value_name = "NAME")]
    pub router: String,
    #[command(flatten)]
    pub scope: ScopeAsked,
    /// Seconds; -1 for as long as the router allows.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i64).range(-1..=i64::from(u32::MAX)))]
    pub lifetime: i64,
}

#[derive(Args)]
pub(crate) struct StatusArguments {
    /// Only this router's.
    #[arg(long, value_name = "NAME")]
    pub router: Option<String>,
    /// Only this one.
    #[arg(long, value_name = "N")]
    pub mid: Option<u32>,
    /// Goes on with every change.
    #[arg(long)]
    pub watch: bool,
}

#[derive(Args)]
pub(crate) struct WithdrawArguments {
    /// The router.
    #[arg(long, value_name = "NAME")]
    pub router: String,
    /// The mitigation's number.
    #[arg(long, value_name = "N")]
    pub mid: u32,
}

#[derive(Args)]
pub(crate) struct RedirectArguments {
    /// The router.
    #[arg(long, value_name = "NAME")]
    pub router: String,
    /// Name of the alternate Call Home DOTS client.
    #[arg(long, value_name = "FQDN")]
    pub to: String,
    /// Its address; may be repeated.
    #[arg(long, value_name = "IP")]
    pub address: Vec<IpAddr>,
    /// For how many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub ttl: Option<u32>,
}

/// Reads an address to listen on, whose port is that of Call Home unless it names one.
///
/// # Errors
/// In words: it is none.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(|address| SocketAddr::new(address, CALL_HOME_PORT)))
        .map_err(|_| format!("{text} is neither an address nor an address and a port"))
}

impl ClientCommand {
    /// What to ask the serving program; or, that this is to be the serving program.
    pub(crate) fn ask(self) -> Result<Ask, Box<Serve>> {
        Ok(match self {
            Self::Serve(serve) => return Err(Box::new(serve)),
            Self::Routers => Ask::Routers,
            Self::Request(RequestArguments { router, scope, lifetime }) => Ask::Request { router, scope, lifetime },
            Self::Status(StatusArguments { router, mid, watch }) => Ask::Status { router, mid, watch },
            Self::Withdraw(WithdrawArguments { router, mid }) => Ask::Withdraw { router, mid },
            Self::Redirect(RedirectArguments { router, to, address, ttl }) => {
                Ask::Redirect { router, to, addresses: address, ttl }
            }
        })
    }
}
