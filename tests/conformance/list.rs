//! The list of requirements.

use std::fmt;

/// An end of the signal channel, each with a column of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Router,
    Provider,
}

pub const SIDES: [Side; 2] = [Side::Router, Side::Provider];

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Router => "router",
            Self::Provider => "provider",
        })
    }
}

/// How a requirement is reached on one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It does not concern that side.
    Foreign,
    /// A test proves it.
    Test,
    /// It should be reached, and is not; what is missing.
    Open(String),
    /// It is not to be reached here, and why.
    Excluded(String),
}

impl Reach {
    fn read(cell: &str) -> Result<Self, String> {
        let reason = |reason: &str| Some(reason.to_owned()).filter(|reason| !reason.is_empty());
        match (cell, cell.strip_prefix("open: ").and_then(reason), cell.strip_prefix("- ").and_then(reason)) {
            ("", ..) => Ok(Self::Foreign),
            ("test", ..) => Ok(Self::Test),
            (_, Some(missing), _) => Ok(Self::Open(missing)),
            (_, _, Some(why)) => Ok(Self::Excluded(why)),
            _ => Err(format!("`{cell}` says neither `test` nor why there is none")),
        }
    }
}

/// One line of the list.
#[derive(Debug)]
pub struct Requirement {
    pub id: String,
    pub level: String,
    pub text: String,
    reaches: [Reach; 2],
}

impl Requirement {
    pub fn reach(&self, side: Side) -> &Reach {
        let [router, provider] = &self.reaches;
        match side {
            Side::Router => router,
            Side::Provider => provider,
        }
    }

    fn read(line: &str) -> Result<Self, String> {
        let [id, level, text, router, provider] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err("not five columns".into());
        };
        let reaches = [Reach::read(router)?, Reach::read(provider)?];
        if reaches == [Reach::Foreign, Reach::Foreign] {
            return Err("it concerns nobody".into());
        }
        Ok(Self { id: id.into(), level: level.into(), text: text.into(), reaches })
    }
}

/// Reads the list, whose lines with `#` are words about it.
///
/// # Errors
/// The line that says nothing, or a number that is there twice.
pub fn read(text: &str) -> Result<Vec<Requirement>, String> {
    let mut list: Vec<Requirement> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let requirement = Requirement::read(line).map_err(|why| format!("{why}: {line}"))?;
        if list.iter().any(|other| other.id == requirement.id) {
            return Err(format!("{} is there twice", requirement.id));
        }
        list.push(requirement);
    }
    Ok(list)
}
