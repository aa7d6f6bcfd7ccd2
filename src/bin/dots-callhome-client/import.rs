//! Asking routers for what detectors and feeds report.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use dots_callhome::client::detectors::{BadReport, NoticeAction, Row, Sighting, read_feed, read_notice, read_reports};
use dots_callhome::io::clock;
use serde_json::{Value, json};

use crate::arguments::{ImportArguments, ReportKind};
use crate::asking::{Failed, ask};
use crate::control::{Ask, Page, Wanted};
use crate::exit::Exit;

/// Seconds for which an attack in progress is asked about, and a row of a feed: the device may call in once a day.
const ATTACK: i64 = 3600;
const ROW: i64 = 86_400;
/// The longest report: a day's feed of a large network.
const LONGEST: u64 = 256 << 20;

/// Reads a report and asks for all that is in it. Each answer is shown.
///
/// # Errors
/// The report can't be read, or some of it is not done: the exit code of the last.
pub(crate) fn import(
    control: &Path,
    arguments: &ImportArguments,
    mut show: impl FnMut(&Value) -> Result<(), String>,
) -> Result<(), Failed> {
    let asks = match arguments.kind {
        ReportKind::Fastnetmon => of_notice(control, arguments)?,
        ReportKind::Shadowserver => {
            let rows = read_feed(&input(arguments.arguments.first())?, clock::now().unix);
            of_rows(arguments, rows.map_err(|why| Failed::new(Exit::Usage, why))?, "shadowserver")
        }
        ReportKind::Xarf => {
            of_rows(arguments, read_reports(&input(arguments.arguments.first())?, clock::now().unix), "xarf")
        }
    };
    let mut outcome = Ok(());
    for one in asks {
        let done = match one {
            Err(why) => Err(Failed::new(Exit::Usage, why)),
            Ok(asked) if arguments.dry_run => show(&json!(asked)).map_err(|why| Failed::new(Exit::Other, why)),
            Ok(asked) => ask(control, asked, &mut show),
        };
        if let Err(failed) = done {
            crate::output::complain(&failed.why);
            outcome = Err(failed);
        }
    }
    outcome
}

fn input(file: Option<&String>) -> Result<String, Failed> {
    let mut bytes = Vec::new();
    let read = match file {
        Some(file) => fs::File::open(file).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes)),
        None => io::stdin().lock().take(LONGEST).read_to_end(&mut bytes),
    };
    let name = file.map_or("standard input", String::as_str);
    read.map_err(|error| Failed::new(Exit::Usage, format!("{name}: {error}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

type Asks = Vec<Result<Ask, String>>;

fn of_notice(control: &Path, arguments: &ImportArguments) -> Result<Asks, Failed> {
    let words = match &arguments.arguments[..] {
        [address, _, _, action] => Some((address.as_str(), action.as_str())),
        [] => None,
        _ => return Err(Failed::new(Exit::Usage, "fastnetmon passes four arguments, or none and JSON")),
    };
    let notice = read_notice(words, &input(None)?).map_err(|why| Failed::new(Exit::Usage, why))?;
    if notice.action == NoticeAction::Unban {
        // It sees nothing any more, as it must where a block works: the router knows whether the attack goes on.
        let key = Some(format!("fastnetmon/{}/*", notice.source));
        return Ok(vec![Ok(Ask::Withdraw { router: arguments.router.clone(), mid: None, key, spare_working: true })]);
    }
    if notice.sightings.is_empty() {
        crate::output::complain(&format!("nothing is asked: no flow leaves {}", notice.source));
    }
    let is_known = |sighting: &&Sighting| {
        notice.action == NoticeAction::AttackDetails && !arguments.dry_run && is_wanted(control, sighting)
    };
    let new: Vec<&Sighting> = notice.sightings.iter().filter(|sighting| !is_known(sighting)).collect();
    let wanted = |sighting| Ok(wanted(arguments, sighting, "fastnetmon", ATTACK, "attack in progress"));
    Ok(new.into_iter().map(wanted).collect())
}

/// Whether something is wanted already against this traffic: what a router has been asked for is not asked in other words.
fn is_wanted(control: &Path, sighting: &Sighting) -> bool {
    let key = Some(format!("fastnetmon/{}/{}/*", sighting.source, sighting.target));
    let mut found = false;
    let question = Ask::Wishes { router: None, key, page: Page::default() };
    let _ = ask(control, question, |answer| {
        let wishes = answer["wishes"].as_array();
        found = wishes.is_some_and(|all| all.iter().any(|one| one["state"] == "accepted" || one["state"] == "waiting"));
        Ok(())
    });
    found
}

fn of_rows(arguments: &ImportArguments, rows: Vec<Result<Row, BadReport>>, by: &str) -> Asks {
    let asked = rows.into_iter().map(|row| match row {
        Ok(row) => Ok(wanted(arguments, &row.sighting, by, ROW, &row.what)),
        Err(why) => Err(why.to_string()),
    });
    asked.collect()
}

fn wanted(arguments: &ImportArguments, sighting: &Sighting, by: &str, lifetime: i64, reason: &str) -> Ask {
    Ask::Request(Box::new(Wanted {
        router: arguments.router.clone(),
        scope: sighting.scope().into(),
        lifetime: arguments.lifetime.unwrap_or(lifetime),
        key: Some(sighting.key(by)),
        by: Some(by.to_owned()),
        reason: Some(reason.to_owned()),
    }))
}
