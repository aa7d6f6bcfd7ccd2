//! The provider's profile: one file with all that the router needs to call, turned into configuration and credentials.
//!
//! Everything is checked before anything is changed: credentials are written under names of their own, a configuration that
//! names them is checked beside the one in use, and takes its place in one step.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::peers::{self, Findings};
use super::{Paths, files};
use crate::config::Config;
use crate::io::clock;
use crate::model::is_printable;
use crate::uci::{self, Section, SettingValue};

/// The form of profiles that is read.
const VERSION: &str = "1";
/// The longest value that is no file, and the most of a file.
const LONGEST: usize = 256;
const LARGEST: usize = 64 * 1024;
/// What a profile says as the configuration does.
const PLAIN: [&str; 9] =
    ["name", "address", "port", "transport", "auth", "psk_identity", "display_name", "help_url", "help_phone"];
/// What it bears instead of naming a file, and the option that names the file.
const CREDENTIALS: [(&str, &str); 5] =
    [("ca", "ca"), ("certificate", "certificate"), ("key", "key"), ("peer_key", "peer_key"), ("psk", "psk_file")];

/// Why a profile is not taken over. Nothing has changed then.
#[derive(Debug)]
pub enum ImportError {
    /// A file that can't be read or written.
    File(PathBuf, io::Error),
    /// A file that `uci` would refuse.
    Syntax(PathBuf, uci::SyntaxError),
    /// It is not one section `config profile 'name'`.
    NoProfile,
    /// Its name is none for a file: letters, digits and `_`, at most 32.
    Name(String),
    /// It is of another version.
    Version,
    /// An option that is unknown, or has no fitting value.
    Option(String),
    /// What the configuration would be does not work.
    Faults(Vec<String>),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Syntax(path, error) => {
                write!(f, "{}: line {}: {}", path.display(), error.line(), error.reason())
            }
            Self::NoProfile => f.write_str("it needs exactly one section: config profile 'name'"),
            Self::Name(name) => write!(f, "'{}' is no name of letters, digits and _", name.escape_debug()),
            Self::Version => write!(f, "its version is not {VERSION}"),
            Self::Option(name) => write!(f, "option {}: unknown, or of no use", name.escape_debug()),
            Self::Faults(faults) => f.write_str(&faults.join("\n")),
        }
    }
}

impl std::error::Error for ImportError {}

/// What an import has changed, or would change.
#[derive(Debug)]
pub struct Imported {
    /// The changes, a line each.
    pub changes: Vec<String>,
    /// What is to be known besides.
    pub warnings: Vec<String>,
}

/// Takes a profile over; `dry`: only tells what that would change.
///
/// # Errors
/// See [`ImportError`]. Nothing has changed then.
pub fn import(profile: &Path, paths: &Paths, dry: bool) -> Result<Imported, ImportError> {
    let profile = only_profile(parse(profile)?)?;
    let name = profile.name().unwrap_or_default();
    let state = std::path::absolute(&paths.state).map_err(|error| ImportError::File(paths.state.clone(), error))?;
    let files = credentials(&profile, name, &state)?;
    let before = if paths.config.exists() { parse(&paths.config)? } else { Vec::new() };
    let known = before.iter().find(|section| is_peer(section, name)).cloned();
    let peer = peer(&profile, known.as_ref(), &files)?;
    let changes = changes(&peer, known.is_some(), &files);
    let mut written = Written::default();
    for file in &files {
        written.write(&file.path, file.content.as_bytes())?;
    }
    let fresh = paths.config.with_extension("import");
    written.write(&fresh, uci::render(&merged(before, peer)).as_bytes())?;
    let Findings { faults, warnings, .. } = peers::check(&fresh);
    let old = if paths.config.exists() { peers::check(&paths.config).faults } else { Vec::new() };
    let faults: Vec<String> = faults.into_iter().filter(|fault| !old.contains(fault)).collect();
    if !faults.is_empty() {
        return Err(ImportError::Faults(faults));
    }
    if !dry {
        fs::rename(&fresh, &paths.config).map_err(|error| ImportError::File(paths.config.clone(), error))?;
        written.keep();
        forget(known.as_ref(), name, &state);
    }
    Ok(Imported { changes, warnings })
}

/// Whether a router takes over what such a profile says. What is in its credentials is not looked at. For whoever writes one.
///
/// # Errors
/// See [`ImportError`]: what an import of it is refused for.
pub fn check_profile(text: &str) -> Result<(), ImportError> {
    let sections = uci::parse(text).map_err(|error| ImportError::Syntax("profile".into(), error))?;
    let profile = only_profile(sections)?;
    let files = credentials(&profile, profile.name().unwrap_or_default(), Path::new("/"))?;
    let peer = peer(&profile, None, &files)?;
    let (_, problems) = Config::read(&uci::render(&merged(Vec::new(), peer)));
    let faults: Vec<String> = problems.iter().map(ToString::to_string).collect();
    if faults.is_empty() { Ok(()) } else { Err(ImportError::Faults(faults)) }
}

fn parse(path: &Path) -> Result<Vec<Section>, ImportError> {
    let text = files::read(path).and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other));
    let text = text.map_err(|error| ImportError::File(path.to_owned(), error))?;
    uci::parse(&text).map_err(|error| ImportError::Syntax(path.to_owned(), error))
}

fn only_profile(sections: Vec<Section>) -> Result<Section, ImportError> {
    let [profile] = <[Section; 1]>::try_from(sections).map_err(|_| ImportError::NoProfile)?;
    let name = profile.name().filter(|_| profile.kind() == "profile").ok_or(ImportError::NoProfile)?;
    let fits = name.len() <= 32 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !fits {
        return Err(ImportError::Name(name.to_owned()));
    }
    match scalar(&profile, "version") {
        None | Some(VERSION) => Ok(profile),
        Some(_) => Err(ImportError::Version),
    }
}

/// A file that the profile bears.
struct Credential {
    option: &'static str,
    path: PathBuf,
    content: String,
}

/// The files of a profile, under names that no other import has.
fn credentials(profile: &Section, name: &str, state: &Path) -> Result<Vec<Credential>, ImportError> {
    let stamp = clock::now().unix;
    let mut files = Vec::new();
    for setting in profile.settings() {
        let known = CREDENTIALS.into_iter().find(|(known, _)| *known == setting.name());
        let plain = PLAIN.contains(&setting.name()) || setting.name() == "version";
        match (known, setting.value()) {
            (Some((what, option)), SettingValue::Scalar(content)) if content.len() <= LARGEST => {
                let path = state.join(format!("{name}-{stamp}-{what}.pem"));
                files.push(Credential { option, path, content: format!("{}\n", content.trim()) });
            }
            (None, value) if plain && is_brief(value) => {}
            _ => return Err(ImportError::Option(setting.name().to_owned())),
        }
    }
    let web = scalar(profile, "help_url").is_none_or(|url| url.starts_with("https://") || url.starts_with("http://"));
    let phone = |text: &str| text.len() <= 32 && text.chars().all(|c| c.is_ascii_digit() || " +-/()".contains(c));
    let fits = [
        ("help_url", web),
        ("help_phone", scalar(profile, "help_phone").is_none_or(phone)),
        ("display_name", scalar(profile, "display_name").is_none_or(|text| text.chars().count() <= 64)),
    ];
    match fits.into_iter().find(|(_, fits)| !fits) {
        Some((option, _)) => Err(ImportError::Option(option.to_owned())),
        None => Ok(files),
    }
}

fn is_brief(value: &SettingValue) -> bool {
    let fits = |text: &String| text.len() <= LONGEST && text.chars().all(is_printable);
    match value {
        SettingValue::Scalar(text) => fits(text),
        SettingValue::List(items) => items.len() <= 16 && items.iter().all(fits),
    }
}

/// The section of the configuration: what the profile says, and of what was there what a profile can't say.
fn peer(profile: &Section, known: Option<&Section>, files: &[Credential]) -> Result<Section, ImportError> {
    let mut peer = Section::new("peer", profile.name().unwrap_or_default());
    peer.set_value("enabled", SettingValue::Scalar("1".to_owned()));
    for setting in profile.settings().iter().filter(|setting| PLAIN.contains(&setting.name())) {
        peer.set_value(setting.name(), setting.value().clone());
    }
    for file in files {
        let path = file.path.to_str().ok_or_else(|| ImportError::Option(file.option.to_owned()))?;
        peer.set_value(file.option, SettingValue::Scalar(path.to_owned()));
    }
    let says = |name: &str| {
        name == "enabled" || PLAIN.contains(&name) || CREDENTIALS.iter().any(|(_, option)| *option == name)
    };
    for setting in known.into_iter().flat_map(Section::settings).filter(|setting| !says(setting.name())) {
        peer.set_value(setting.name(), setting.value().clone());
    }
    Ok(peer)
}

/// The configuration with this provider in it, switched on.
fn merged(mut sections: Vec<Section>, peer: Section) -> Vec<Section> {
    let on = SettingValue::Scalar("1".to_owned());
    match sections.iter_mut().find(|section| section.kind() == "globals" && section.name() == Some("globals")) {
        Some(globals) => globals.set_value("enabled", on),
        None => {
            let mut globals = Section::new("globals", "globals");
            globals.set_value("enabled", on);
            sections.insert(0, globals);
        }
    }
    match sections.iter_mut().find(|section| is_peer(section, peer.name().unwrap_or_default())) {
        Some(known) => *known = peer,
        None => sections.push(peer),
    }
    sections
}

fn is_peer(section: &Section, name: &str) -> bool {
    section.kind() == "peer" && section.name() == Some(name)
}

fn changes(peer: &Section, known: bool, files: &[Credential]) -> Vec<String> {
    let name = peer.name().unwrap_or_default();
    let address = scalar(peer, "name").unwrap_or_default();
    let shown = scalar(peer, "display_name").map_or_else(String::new, |shown| format!(" ({shown})"));
    let mut all = vec![
        format!("{} provider '{name}': {address}{shown}", if known { "changed" } else { "new" }),
        "switched on".to_owned(),
    ];
    all.extend(files.iter().map(|file| format!("{}: {}", file.option, file.path.display())));
    all
}

fn scalar<'a>(section: &'a Section, name: &str) -> Option<&'a str> {
    let setting = section.settings().iter().find(|setting| setting.name() == name)?;
    match setting.value() {
        SettingValue::Scalar(text) => Some(text),
        SettingValue::List(_) => None,
    }
}

/// The files that an earlier import has written for this provider are of no use any more.
fn forget(known: Option<&Section>, name: &str, state: &Path) {
    let options = CREDENTIALS.iter().filter_map(|(_, option)| scalar(known?, option));
    for path in options.map(Path::new).filter(|path| path.parent() == Some(state)) {
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        let stamp =
            file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')).and_then(|rest| rest.split('-').next());
        if stamp.is_some_and(|stamp| stamp.parse::<u64>().is_ok()) {
            // One that stays does no harm.
            drop(fs::remove_file(path));
        }
    }
}

/// Files written, which go again unless they are kept.
#[derive(Default)]
struct Written(Vec<PathBuf>);

impl Written {
    /// For its owner alone; one of that name must not be there, but for what an import has left that was cut off.
    fn write(&mut self, path: &Path, content: &[u8]) -> Result<(), ImportError> {
        let write = || {
            drop(fs::remove_file(path));
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(content)?;
            file.sync_all()
        };
        self.0.push(path.to_owned());
        write().map_err(|error| ImportError::File(path.to_owned(), error))
    }

    fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        self.0.iter().for_each(|path| drop(fs::remove_file(path)));
    }
}
