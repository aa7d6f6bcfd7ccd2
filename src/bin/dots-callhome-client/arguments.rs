//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use dots_callhome::model::CALL_HOME_PORT;

use crate::control::{Ask, Attack, Page, Wanted};
use crate::scope_arguments::ScopeAsked;

/// Where the authority is.
const AUTHORITY: &str = "/etc/dots-callhome-client/authority";

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
    Routers(Page),
    /// Asks a router to stop attack traffic, for as long as that is wanted.
    Request(RequestArguments),
    /// Shows mitigations as their routers report them.
    Status(StatusArguments),
    /// Shows what is wanted of routers, and what has become of it.
    Wishes(WishesArguments),
    /// Withdraws a request.
    Withdraw(WithdrawArguments),
    /// Prints metrics in the text format of Prometheus.
    Metrics,
    /// Sends all routers to another address to call, and whoever comes.
    Drain(DrainArguments),
    /// Tells routers how an attack stands in spite of what they do.
    Efficacy(EfficacyArguments),
    /// Prints what happens, until it is ended.
    Events,
    /// Asks routers for what a detector or a feed has reported.
    Import(ImportArguments),
    /// Makes the credentials of a router, and one file with all that it needs.
    Enrol(EnrolArguments),
    /// Makes a new certificate for a key that has one.
    Renew(RenewArguments),
    /// Ends the session of a router whose certificates count no more, and lets it call no more with them.
    Revoke(RevokeArguments),
    /// Reads the configuration, credentials and routers once more; no session ends that is still allowed.
    Reload,
    /// Reads all that serving needs and says what is wrong, without serving.
    Check(Serve),
    /// Sends a router to another address to call.
    Redirect(RedirectArguments),
}

#[derive(Args)]
pub(crate) struct Serve {
    /// A configuration in TOML; what is said by arguments counts more.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen, TLS over TCP and DTLS over UDP; may be repeated.
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = listen_address, required_unless_present = "config")]
    pub listen: Vec<SocketAddr>,
    /// Certificates of the authority that signs the routers' certificates.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["peer_keys", "config"], conflicts_with = "peer_keys")]
    pub ca: Option<PathBuf>,
    /// Our certificate chain.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["peer_keys", "config"], conflicts_with = "peer_keys")]
    pub certificate: Option<PathBuf>,
    /// Our private key.
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    pub key: Option<PathBuf>,
    /// Lists of certificates that count no more, signed by the authority.
    #[arg(long, value_name = "FILE", conflicts_with = "peer_keys")]
    pub crl: Option<PathBuf>,
    /// Public keys of the routers, instead of certificates; they are then named by the fingerprints of their keys.
    #[arg(long, value_name = "FILE")]
    pub peer_keys: Option<PathBuf>,
    /// Pre-shared keys of routers, a line IDENTITY:KEY each, the key in hexadecimal; over UDP, besides certificates.
    #[arg(long, value_name = "FILE")]
    pub psk_file: Option<PathBuf>,
    /// Names of the routers that may call, one a line; without it any that the authority vouches for.
    #[arg(long, value_name = "FILE")]
    pub routers: Option<PathBuf>,
    /// Where metrics are told to Prometheus, on a loopback address.
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<SocketAddr>,
    /// Where requests and their numbers survive a restart [default: /var/lib/dots-callhome-client].
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ImportArguments {
    /// Whose report it is.
    #[arg(value_enum)]
    pub kind: ReportKind,
    /// fastnetmon: the arguments of its notify script; shadowserver and xarf: the file, else standard input.
    #[arg(value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
    /// The router; without it the one that has the source.
    #[arg(long, value_name = "NAME")]
    pub router: Option<String>,
    /// Seconds; -1 until it is withdrawn. Without it an hour, and a day for shadowserver and xarf.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true,
          value_parser = clap::value_parser!(i64).range(-1..=i64::from(u32::MAX)))]
    pub lifetime: Option<i64>,
    /// Prints what would be asked, and asks nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Whose report it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ReportKind {
    /// What FastNetMon passes to its notify script, text or JSON.
    Fastnetmon,
    /// A report of the Shadowserver Foundation, CSV.
    Shadowserver,
    /// Reports in XARF, version 4, JSON.
    Xarf,
}

#[derive(Args)]
pub(crate) struct EnrolArguments {
    /// The name of the router, as its certificate is to prove it.
    pub name: String,
    /// Where the authority's ca.pem and ca.key are; made where they are missing.
    #[arg(long, value_name = "DIR", default_value = AUTHORITY)]
    pub authority: PathBuf,
    /// Makes a certificate for this program, NAME.pem and NAME.key in the authority's directory, and no profile.
    #[arg(long)]
    pub own: bool,
    /// The name in this program's certificate, which the router checks.
    #[arg(long, value_name = "FQDN", required_unless_present_any = ["own", "csr"])]
    pub provider: Option<String>,
    /// Signs this request, of which only the key counts, and writes only a certificate.
    #[arg(long, value_name = "FILE", conflicts_with = "own")]
    pub csr: Option<PathBuf>,
    /// The file to write; without it NAME.profile, or NAME.pem for a request.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Name of the profile: letters, digits and underscores.
    #[arg(long, value_name = "NAME", default_value = "isp")]
    pub section: String,
    /// Where the router calls, unless the provider's name is resolved; may be repeated.
    #[arg(long, value_name = "IP")]
    pub address: Vec<IpAddr>,
    /// The port it calls.
    #[arg(long, value_name = "PORT", default_value_t = CALL_HOME_PORT)]
    pub port: u16,
    /// auto, dtls or tls.
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = ["auto", "dtls", "tls"])]
    pub transport: String,
    /// What people are shown instead of the provider's name.
    #[arg(long, value_name = "TEXT")]
    pub display_name: Option<String>,
    /// Where people find help.
    #[arg(long, value_name = "URL")]
    pub help_url: Option<String>,
    /// Whom people can call.
    #[arg(long, value_name = "NUMBER")]
    pub help_phone: Option<String>,
    #[command(flatten)]
    pub validity: Validity,
}

/// How long a certificate is valid.
#[derive(Args)]
pub(crate) struct Validity {
    /// Days for which the certificate is valid.
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: u32,
    /// Hours for which it is valid, instead of days.
    #[arg(long, value_name = "HOURS", conflicts_with = "days", value_parser = clap::value_parser!(u32).range(1..=8760))]
    pub hours: Option<u32>,
}

impl Validity {
    /// From now on.
    pub(crate) fn duration(&self) -> Duration {
        let seconds = self.hours.map_or(u64::from(self.days) * 86_400, |hours| u64::from(hours) * 3600);
        Duration::from_secs(seconds)
    }
}

#[derive(Args)]
pub(crate) struct RenewArguments {
    /// The name that was enrolled.
    pub name: String,
    /// Where the authority is.
    #[arg(long, value_name = "DIR", default_value = AUTHORITY)]
    pub authority: PathBuf,
    /// Renews the certificate of this program.
    #[arg(long)]
    pub own: bool,
    /// Signs this request, of which only the key counts.
    #[arg(long, value_name = "FILE", conflicts_with = "own")]
    pub csr: Option<PathBuf>,
    /// The profile to renew, or the certificate's file for a request; without it NAME.profile, or NAME.pem.
    #[arg(long, value_name = "FILE", conflicts_with = "own")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub validity: Validity,
}

#[derive(Args)]
pub(crate) struct RequestArguments {
    /// Reads requests from standard input, a JSON object a line, and prints an answer for each.
    #[arg(value_name = "-", value_parser = ["-"], exclusive = true)]
    pub batch: Option<String>,
    /// The router, by the name it proves; without it the one that has the sources.
    #[arg(long, value_name = "NAME")]
    pub router: Option<String>,
    #[command(flatten)]
    pub scope: ScopeAsked,
    /// Your own name for it: the same again only goes on for longer.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Who asks.
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Seconds; -1 until it is withdrawn.
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
    #[command(flatten)]
    pub page: Page,
}

#[derive(Args)]
pub(crate) struct WishesArguments {
    /// Only this router's.
    #[arg(long, value_name = "NAME")]
    pub router: Option<String>,
    /// Only those with this key; with * at its end all keys that begin so.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    #[command(flatten)]
    pub page: Page,
}

#[derive(Args)]
pub(crate) struct WithdrawArguments {
    /// The router; with a key all that have it, without.
    #[arg(long, value_name = "NAME", required_unless_present = "key")]
    pub router: Option<String>,
    /// The mitigation's number.
    #[arg(long, value_name = "N", required_unless_present = "key")]
    pub mid: Option<u32>,
    /// The key it was asked for with; with * at its end all keys that begin so.
    #[arg(long, value_name = "KEY", conflicts_with = "mid")]
    pub key: Option<String>,
    /// Leaves alone what a router mitigates, or may.
    #[arg(long, requires = "key")]
    pub spare_working: bool,
}

#[derive(Args)]
pub(crate) struct DrainArguments {
    /// Name of the alternate Call Home DOTS client.
    #[arg(long, value_name = "FQDN", required_unless_present = "stop")]
    pub to: Option<String>,
    /// Its address; may be repeated.
    #[arg(long, value_name = "IP")]
    pub address: Vec<IpAddr>,
    /// For how many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub ttl: Option<u32>,
    /// How many routers at most are told in a second.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub per_second: u32,
    /// Sends no more of them.
    #[arg(long, conflicts_with_all = ["to", "address", "ttl"])]
    pub stop: bool,
}

#[derive(Args)]
pub(crate) struct EfficacyArguments {
    /// The router; with a key all that have it, without.
    #[arg(long, value_name = "NAME", required_unless_present = "key")]
    pub router: Option<String>,
    /// The mitigation's number.
    #[arg(long, value_name = "N", required_unless_present = "key")]
    pub mid: Option<u32>,
    /// The key it was asked for with; with * at its end all keys that begin so.
    #[arg(long, value_name = "KEY", conflicts_with = "mid")]
    pub key: Option<String>,
    /// How the attack stands.
    #[arg(long, value_name = "HOW")]
    pub attack: Attack,
}

#[derive(Args)]
pub(crate) struct RevokeArguments {
    /// The name for which the authority has signed.
    #[arg(required_unless_present = "router")]
    pub name: Option<String>,
    /// Where the authority is.
    #[arg(long, value_name = "DIR", default_value = AUTHORITY)]
    pub authority: PathBuf,
    /// Instead lets none of this name call any more, however it proves it.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["name", "authority"])]
    pub router: Option<String>,
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
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(|address| SocketAddr::new(address, CALL_HOME_PORT)))
        .map_err(|_| format!("{text} is neither an address nor an address and a port"))
}

/// What a command is.
pub(crate) enum Task {
    /// To be the serving program.
    Serve(Box<Serve>),
    /// To ask it something.
    Ask(Ask),
    /// To ask it all that comes on standard input.
    AskAll,
    /// To ask it for what was reported.
    Import(ImportArguments),
    /// To make credentials.
    Enrol(EnrolArguments),
    /// To make them last.
    Renew(RenewArguments),
    /// To let those of this name, signed by the authority there, count no more.
    Revoke(String, PathBuf),
    /// To look whether it could serve.
    Check(Box<Serve>),
}

impl ClientCommand {
    /// What is to be done.
    pub(crate) fn task(self) -> Task {
        Task::Ask(match self {
            Self::Serve(serve) => return Task::Serve(Box::new(serve)),
            Self::Request(RequestArguments { batch: Some(_), .. }) => return Task::AskAll,
            Self::Import(import) => return Task::Import(import),
            Self::Enrol(enrol) => return Task::Enrol(enrol),
            Self::Check(serve) => return Task::Check(Box::new(serve)),
            Self::Renew(renew) => return Task::Renew(renew),
            Self::Revoke(RevokeArguments { name: Some(name), authority, .. }) => return Task::Revoke(name, authority),
            Self::Revoke(RevokeArguments { router, .. }) => {
                Ask::Revoke { router: router.unwrap_or_default(), certificates: Vec::new() }
            }
            Self::Reload => Ask::Reload,
            Self::Routers(page) => Ask::Routers { page },
            Self::Request(RequestArguments { router, scope, lifetime, key, by, reason, batch: None }) => {
                Ask::Request(Box::new(Wanted { router, scope, lifetime, key, by, reason }))
            }
            Self::Status(StatusArguments { router, mid, watch, page }) => Ask::Status { router, mid, watch, page },
            Self::Wishes(WishesArguments { router, key, page }) => Ask::Wishes { router, key, page },
            Self::Withdraw(WithdrawArguments { router, mid, key, spare_working }) => {
                Ask::Withdraw { router, mid, key, spare_working }
            }
            Self::Efficacy(EfficacyArguments { router, mid, key, attack }) => {
                Ask::Efficacy { router, mid, key, attack }
            }
            Self::Metrics => Ask::Metrics,
            Self::Drain(DrainArguments { stop, to, address, ttl, per_second }) => match to.filter(|_| !stop) {
                Some(to) => Ask::Drain { to: Some(to), addresses: address, ttl, per_second },
                None => Ask::Drain { to: None, addresses: Vec::new(), ttl: None, per_second },
            },
            Self::Events => Ask::Events,
            Self::Redirect(RedirectArguments { router, to, address, ttl }) => {
                Ask::Redirect { router, to, addresses: address, ttl }
            }
        })
    }
}
