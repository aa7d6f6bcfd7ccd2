//! The router's daemon: the Call Home DOTS server.

#![warn(unreachable_pub)]

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dots_callhome::driver::{self, Daemon, Findings, Paths, logger};

const USAGE: &str = "\
Usage: dots-callhome [OPTION]...
Call Home DOTS server (RFC 9066): finds and blocks the compromised device behind NAT, with consent.

  --config FILE   configuration (/etc/config/dots-callhome)
  --ubus SOCKET   the bus (/var/run/ubus/ubus.sock)
  --state DIR     what survives a reboot (/etc/dots-callhome)
  --run DIR       what does not (/var/run/dots-callhome)
  --check         check the configuration and the files it names, and end
  --import FILE   take over the provider's profile, and end; with --check only tell what would change
  --version       print the version and end
  --help          print this and end

Stays in the foreground. Logs warnings and errors to standard error, the rest to standard output. SIGHUP reads the configuration again, SIGTERM ends.
";

/// What the arguments ask for.
enum CommandLine {
    Run(Paths),
    Check(PathBuf),
    Import { profile: PathBuf, paths: Paths, dry: bool },
    Print(String),
}

/// What is wrong with the arguments.
enum UsageError {
    Unknown(String),
    NoValue(String),
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "unknown argument {word}"),
            Self::NoValue(word) => write!(f, "{word} needs a value"),
        }
    }
}

fn main() -> ExitCode {
    match arguments(std::env::args().skip(1)) {
        Ok(CommandLine::Print(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Ok(CommandLine::Check(config)) => check(&config),
        Ok(CommandLine::Import { profile, paths, dry }) => import(&profile, &paths, dry),
        Ok(CommandLine::Run(paths)) => run(paths),
        Err(error) => {
            eprintln!("dots-callhome: {error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<CommandLine, UsageError> {
    let mut paths = Paths {
        config: "/etc/config/dots-callhome".into(),
        ubus: "/var/run/ubus/ubus.sock".into(),
        state: "/etc/dots-callhome".into(),
        run: "/var/run/dots-callhome".into(),
    };
    let mut check = false;
    let mut profile = None;
    while let Some(word) = words.next() {
        let path = match word.as_str() {
            "--version" => return Ok(CommandLine::Print(format!("dots-callhome {}\n", env!("CARGO_PKG_VERSION")))),
            "--help" => return Ok(CommandLine::Print(USAGE.to_owned())),
            "--check" => {
                check = true;
                continue;
            }
            "--config" => &mut paths.config,
            "--ubus" => &mut paths.ubus,
            "--state" => &mut paths.state,
            "--run" => &mut paths.run,
            "--import" => profile.insert(PathBuf::new()),
            _ => return Err(UsageError::Unknown(word)),
        };
        *path = words.next().ok_or(UsageError::NoValue(word))?.into();
    }
    Ok(match profile {
        Some(profile) => CommandLine::Import { profile, paths, dry: check },
        None if check => CommandLine::Check(paths.config),
        None => CommandLine::Run(paths),
    })
}

/// Tells everything that is wrong with the configuration, and what it amounts to.
fn check(config: &Path) -> ExitCode {
    let Findings { faults, warnings, summary, is_idle } = driver::check(config);
    for problem in faults.iter().chain(&warnings) {
        eprintln!("{}: {problem}", config.display());
    }
    if !faults.is_empty() {
        return ExitCode::FAILURE;
    }
    println!("{}: {summary}", if is_idle || !warnings.is_empty() { "warning" } else { "ok" });
    ExitCode::SUCCESS
}

/// Takes over a profile, and tells what has changed.
fn import(profile: &Path, paths: &Paths, dry: bool) -> ExitCode {
    match driver::import(profile, paths, dry) {
        Ok(driver::Imported { changes, warnings }) => {
            changes.iter().for_each(|change| println!("{change}"));
            warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}\nnothing has changed", profile.display());
            ExitCode::FAILURE
        }
    }
}

fn run(paths: Paths) -> ExitCode {
    logger::start();
    match Daemon::new(paths).and_then(|mut daemon| daemon.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            log::error!("{why}");
            ExitCode::FAILURE
        }
    }
}
