//! The router's daemon: the Call Home DOTS server.

use std::path::PathBuf;
use std::process::ExitCode;

use dots_callhome::driver::{self, Daemon, Options, logger};

const USAGE: &str = "\
Usage: dots-callhome [OPTION]...
Call Home DOTS server (RFC 9066): finds and blocks the compromised device behind NAT, with consent.

  --config FILE   configuration (/etc/config/dots-callhome)
  --ubus SOCKET   the bus (/var/run/ubus/ubus.sock)
  --state DIR     what survives a reboot (/etc/dots-callhome)
  --run DIR       what does not (/var/run/dots-callhome)
  --check         check the configuration and the files it names, and end
  --version       print the version and end
  --help          print this and end

Stays in the foreground and logs to standard error. SIGHUP reads the configuration again, SIGTERM ends.
";

/// What the arguments ask for.
enum Asked {
    Run(Options),
    Check(PathBuf),
    Say(String),
}

fn main() -> ExitCode {
    match arguments(std::env::args().skip(1)) {
        Ok(Asked::Say(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Asked::Check(config)) => check(&config),
        Ok(Asked::Run(options)) => run(options),
        Err(why) => {
            eprintln!("dots-callhome: {why}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut options = Options {
        config: "/etc/config/dots-callhome".into(),
        ubus: "/var/run/ubus/ubus.sock".into(),
        state: "/etc/dots-callhome".into(),
        run: "/var/run/dots-callhome".into(),
    };
    let mut check = false;
    while let Some(word) = words.next() {
        let place = match word.as_str() {
            "--version" => return Ok(Asked::Say(format!("dots-callhome {}\n", env!("CARGO_PKG_VERSION")))),
            "--help" => return Ok(Asked::Say(USAGE.to_owned())),
            "--check" => {
                check = true;
                continue;
            }
            "--config" => &mut options.config,
            "--ubus" => &mut options.ubus,
            "--state" => &mut options.state,
            "--run" => &mut options.run,
            other => return Err(format!("unknown argument {other}")),
        };
        *place = words.next().ok_or_else(|| format!("{word} needs a value"))?.into();
    }
    Ok(if check { Asked::Check(options.config) } else { Asked::Run(options) })
}

/// Tells everything that is wrong with the configuration.
fn check(config: &std::path::Path) -> ExitCode {
    let problems = driver::check(config);
    for problem in &problems {
        eprintln!("{}: {problem}", config.display());
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(options: Options) -> ExitCode {
    logger::start();
    match Daemon::new(options).and_then(|mut daemon| daemon.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            log::error!("{why}");
            ExitCode::FAILURE
        }
    }
}
