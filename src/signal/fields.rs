//! Typed access to the maps of a DOTS body, with the rules that hold for all of them: keys are numbers of the key map,
//! unknown comprehension-required ones spoil the request, empty values are forbidden (RFC 9132 sections 4.4.1 and 6).

use std::collections::BTreeMap;
use std::fmt;

use super::cbor::{Malformed, Value};

/// Longest text in a body: a name, an address, a URI.
const LONGEST_TEXT: usize = 1024;

/// Why a body can't be processed. Its text is the diagnostic payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Not one well-formed CBOR item.
    Malformed,
    /// No integer of 1 to 65535 as a key.
    Key,
    /// Keys one has to understand, and we don't, or not at this place.
    UnknownKeys(Vec<u16>),
    /// A mandatory attribute is absent.
    Missing(&'static str),
    /// An attribute of the wrong CBOR type.
    Type(&'static str),
    /// An attribute without content.
    Empty(&'static str),
    /// More items than anybody needs.
    TooMany(&'static str, usize),
    /// A value that is not allowed, and what is wrong with it.
    Value(&'static str, String),
    /// A session configuration value outside the range given (4.22, RFC 9132 section 4.5.2).
    Unacceptable(&'static str, String),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => write!(f, "malformed CBOR"),
            Self::Key => write!(f, "a key is no integer from 1 to 65535"),
            Self::UnknownKeys(keys) => {
                write!(f, "unknown comprehension-required key")?;
                keys.iter().try_for_each(|key| write!(f, " {key}"))
            }
            Self::Missing(name) => write!(f, "{name} missing"),
            Self::Type(name) => write!(f, "{name} has the wrong type"),
            Self::Empty(name) => write!(f, "{name} is empty"),
            Self::TooMany(name, most) => write!(f, "{name}: more than {most}"),
            Self::Value(name, why) => write!(f, "{name}: {why}"),
            Self::Unacceptable(name, range) => write!(f, "{name} outside {range}"),
        }
    }
}

impl std::error::Error for Invalid {}

impl From<Malformed> for Invalid {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// The entries of one map.
pub(super) struct Fields<'a> {
    entries: &'a BTreeMap<Value, Value>,
    /// Whether it is a report: those rules are for requests, and what can be read of a report is read.
    is_report: bool,
}

impl<'a> Fields<'a> {
    /// Reads a map that may have the keys `allowed` at this place.
    pub(super) fn of(value: &'a Value, name: &'static str, allowed: &[u16]) -> Result<Self, Invalid> {
        let Value::Map(entries) = value else { return Err(Invalid::Type(name)) };
        let mut unknown = Vec::new();
        for key in entries.keys() {
            let Value::Unsigned(number) = key else { return Err(Invalid::Key) };
            let key = u16::try_from(*number).ok().filter(|&key| key > 0).ok_or(Invalid::Key)?;
            if !allowed.contains(&key) && is_comprehension_required(key) {
                unknown.push(key);
            }
        }
        if unknown.is_empty() { Ok(Self { entries, is_report: false }) } else { Err(Invalid::UnknownKeys(unknown)) }
    }

    /// Reads a map of a report, whatever else is in it.
    pub(super) fn of_report(value: &'a Value, name: &'static str) -> Result<Self, Invalid> {
        let Value::Map(entries) = value else { return Err(Invalid::Type(name)) };
        Ok(Self { entries, is_report: true })
    }

    pub(super) fn get(&self, key: u16) -> Option<&'a Value> {
        let value = self.entries.get(&Value::Unsigned(key.into()));
        value.filter(|value| !self.is_report || **value != Value::Other)
    }

    pub(super) fn required(&self, key: u16, name: &'static str) -> Result<&'a Value, Invalid> {
        self.get(key).ok_or(Invalid::Missing(name))
    }

    /// An unsigned number that fits `T`.
    pub(super) fn number<T: TryFrom<u64>>(&self, key: u16, name: &'static str) -> Result<Option<T>, Invalid> {
        self.get(key).map(|value| number(value, name)).transpose()
    }

    pub(super) fn boolean(&self, key: u16, name: &'static str) -> Result<Option<bool>, Invalid> {
        match self.get(key) {
            Some(Value::Bool(truth)) => Ok(Some(*truth)),
            Some(_) => Err(Invalid::Type(name)),
            None => Ok(None),
        }
    }

    /// A list, each item through `one`; empty when absent.
    pub(super) fn list<T>(
        &self,
        key: u16,
        name: &'static str,
        most: usize,
        one: impl Fn(&'a Value) -> Result<T, Invalid>,
    ) -> Result<Vec<T>, Invalid> {
        match self.get(key) {
            Some(Value::Array(items)) if self.is_report => items.iter().map(one).collect(),
            Some(Value::Array(items)) if items.is_empty() => Err(Invalid::Empty(name)),
            Some(Value::Array(items)) if items.len() > most => Err(Invalid::TooMany(name, most)),
            Some(Value::Array(items)) => items.iter().map(one).collect(),
            Some(_) => Err(Invalid::Type(name)),
            None => Ok(Vec::new()),
        }
    }
}

/// RFC 9132 section 10.6.1.1.
fn is_comprehension_required(key: u16) -> bool {
    matches!(key, 1..=127 | 256..=16383)
}

/// An unsigned number that fits `T`.
pub(super) fn number<T: TryFrom<u64>>(value: &Value, name: &'static str) -> Result<T, Invalid> {
    match value {
        Value::Unsigned(number) => {
            T::try_from(*number).map_err(|_| Invalid::Value(name, format!("{number} is too large")))
        }
        _ => Err(Invalid::Type(name)),
    }
}

/// A text that is not empty and of bearable length.
pub(super) fn text<'a>(value: &'a Value, name: &'static str) -> Result<&'a str, Invalid> {
    match value {
        Value::Text(text) if text.is_empty() => Err(Invalid::Empty(name)),
        Value::Text(text) if text.len() > LONGEST_TEXT => Err(Invalid::TooMany(name, LONGEST_TEXT)),
        Value::Text(text) => Ok(text),
        _ => Err(Invalid::Type(name)),
    }
}
