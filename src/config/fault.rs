//! What can be wrong in the file, in words for the log.

use std::fmt;

use crate::uci;

/// Most characters of a wrong value that are shown.
const SHOWN: usize = 60;

/// A peer that is not called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disabled {
    /// The section's name.
    pub section: String,
    /// Why it is not called.
    pub reason: DisabledReason,
}

/// Why a peer is not called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DisabledReason {
    /// By its own option `enabled`.
    SwitchedOff,
    /// Something is wrong with its section: the option, if it is one, and what.
    Fault(Option<String>, ConfigFault),
    /// Its credentials can't be used, or nobody is to be called; in words.
    Unusable(String),
}

impl fmt::Display for DisabledReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SwitchedOff => f.write_str("switched off"),
            Self::Fault(Some(option), fault) => write!(f, "option {option}: {fault}"),
            Self::Fault(None, fault) => fault.fmt(f),
            Self::Unusable(why) => f.write_str(why),
        }
    }
}

/// Something wrong in the file. Shown as one line of the log, without the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The section, `@device[0]` where it has no name; empty where the file as a whole is meant.
    pub section: String,
    /// The option's name.
    pub option: Option<String>,
    /// What is wrong with it.
    pub reason: ConfigFault,
    /// Where, counted from 1; nothing where the file is right, but what it speaks of is not.
    pub line: Option<u32>,
}

impl Problem {
    /// Whether all that is meant is done all the same.
    pub fn is_harmless(&self) -> bool {
        matches!(self.reason, ConfigFault::UnknownOption | ConfigFault::UnknownKind(_) | ConfigFault::OtherGlobals)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.section.as_str(), &self.option) {
            ("", _) => {}
            (section, None) => write!(f, "section {section}: ")?,
            (section, Some(option)) => write!(f, "section {section}, option {option}: ")?,
        }
        write!(f, "{}", self.reason)?;
        self.line.map_or(Ok(()), |line| write!(f, " (line {line})"))
    }
}

/// What is wrong with the file, a section or an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigFault {
    /// The file can't be read; in the system's words.
    Unreadable(String),
    /// The file is in UTF-16.
    Utf16,
    /// The file, or a line of it, is none of OpenWrt's configuration files.
    Syntax(uci::Reason),
    /// A section of a kind we don't know.
    UnknownKind(String),
    /// Globals of another name than `globals`.
    OtherGlobals,
    /// A peer without a name.
    Unnamed,
    /// Another section is about the same device.
    SameDevice,
    /// An option we don't know.
    UnknownOption,
    /// An option that is needed; why.
    Missing(&'static str),
    /// A list where one value is meant.
    List,
    /// A value that is not what it has to be.
    Malformed {
        /// The value.
        value: String,
        /// What it has to be.
        expected: ValueKind,
    },
    /// Zero is the prefix length of a domain.
    WholeInternet(String),
    /// Raw public keys over another transport than TLS.
    KeysNeedTls,
    /// A shared secret over another transport than DTLS.
    SecretNeedsDtls,
}

/// What the value of an option has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// 1 or 0, or one of OpenWrt's other words for them.
    Switch,
    /// A decimal number from the first to the second one.
    Number(u32, u32),
    /// Such a number, or 0.
    NumberOrZero(u32, u32),
    /// One of these words.
    OneOf(Vec<&'static str>),
    /// An Ethernet address.
    Mac,
    /// A name of a device of at most so many characters.
    DeviceName(usize),
    /// A domain name.
    DomainName,
    /// An IP address.
    Address,
    /// An IP address that can be called.
    CallableAddress,
    /// An IP prefix.
    Prefix,
    /// A logical interface of the router.
    Interface,
    /// An identity for pre-shared keys of at most so many bytes.
    Identity(usize),
    /// An absolute path.
    Path,
}

impl ValueKind {
    /// Returns the fault of a value that is something else.
    pub(super) fn but(self, value: &str) -> ConfigFault {
        ConfigFault::Malformed { value: value.to_owned(), expected: self }
    }
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => f.write_str(error),
            Self::Utf16 => f.write_str("the file is in UTF-16, which uci does not take: save it as UTF-8"),
            Self::Syntax(reason) => reason.fmt(f),
            Self::UnknownKind(kind) => write!(f, "{} is an unknown kind of section, ignored", quoted(kind)),
            Self::OtherGlobals => f.write_str("ignored, only config globals 'globals' counts"),
            Self::Unnamed => f.write_str("the section needs a name, as in: config peer 'isp'"),
            Self::SameDevice => f.write_str("the device has another section, the more careful policy of the two holds"),
            Self::UnknownOption => f.write_str("unknown, ignored"),
            Self::Missing(why) => write!(f, "missing, {why}"),
            Self::List => f.write_str("takes one value, not a list"),
            Self::Malformed { value, expected } => write!(f, "{} {expected}", quoted(value)),
            Self::WholeInternet(value) => write!(f, "{} is the whole internet", quoted(value)),
            Self::KeysNeedTls => f.write_str("raw public keys need tls or auto"),
            Self::SecretNeedsDtls => f.write_str("a shared secret needs dtls or auto"),
        }
    }
}

impl fmt::Display for ValueKind {
    /// What the value is not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch => f.write_str("is neither 1 nor 0"),
            Self::Number(low, high) => write!(f, "is no number from {low} to {high}"),
            Self::NumberOrZero(low, high) => write!(f, "is no number from {low} to {high}, nor 0"),
            Self::OneOf(words) => write!(f, "is none of {}", words.join(", ")),
            Self::Mac => f.write_str("is no address such as 02:00:00:00:00:11"),
            Self::DeviceName(most) => write!(f, "is no name of at most {most} letters"),
            Self::DomainName => f.write_str("is no domain name"),
            Self::Address => f.write_str("is no IP address"),
            Self::CallableAddress => f.write_str("is no address to call"),
            Self::Prefix => f.write_str("is no prefix such as 198.51.100.7/32"),
            Self::Interface => f.write_str("is no interface of /etc/config/network"),
            Self::Identity(most) => write!(f, "is no identity of at most {most} bytes"),
            Self::Path => f.write_str("does not start with /"),
        }
    }
}

/// A wrong value as it may stand in a log: on one line, and bounded.
fn quoted(text: &str) -> String {
    let dots = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
    let shown: String = text.chars().take(SHOWN).collect();
    format!("'{}{dots}'", shown.escape_debug())
}
