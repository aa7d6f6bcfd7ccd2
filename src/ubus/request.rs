//! What is asked of our object: ten methods, each with its arguments above the function that reads them.

use std::time::Duration;

use super::object::{Argument, Arguments, Kind, Method, Status};
use crate::mitigation::{Action, State};
use crate::model::{Mac, MitigationId};

/// A call, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Status,
    List { state: Option<State> },
    Get { id: MitigationId },
    Approve { id: MitigationId, action: Option<Action>, devices: Vec<Mac>, lifetime: Option<Duration> },
    Reject { id: MitigationId, comment: Option<String> },
    Withdraw { id: MitigationId, comment: Option<String> },
    Devices,
    Quarantine { mac: Mac, lifetime: Option<Duration>, comment: Option<String> },
    Release { mac: Mac },
    History { limit: Option<usize> },
}

impl Request {
    /// Whether it decides something: then it matters who asks.
    pub(super) fn decides(&self) -> bool {
        match self {
            Self::Approve { .. }
            | Self::Reject { .. }
            | Self::Withdraw { .. }
            | Self::Quarantine { .. }
            | Self::Release { .. } => true,
            Self::Status | Self::List { .. } | Self::Get { .. } | Self::Devices | Self::History { .. } => false,
        }
    }
}

/// The methods of our object.
pub(super) const METHODS: &[Method<Request>] = &[
    Method { name: "status", policy: &[], read: |_| Ok(Request::Status) },
    Method { name: "list", policy: LIST, read: list },
    Method { name: "get", policy: GET, read: get },
    Method { name: "approve", policy: APPROVE, read: approve },
    Method { name: "reject", policy: END, read: reject },
    Method { name: "withdraw", policy: END, read: withdraw },
    Method { name: "devices", policy: &[], read: |_| Ok(Request::Devices) },
    Method { name: "quarantine", policy: QUARANTINE, read: quarantine },
    Method { name: "release", policy: RELEASE, read: release },
    Method { name: "history", policy: HISTORY, read: history },
];

const LIST: &[Argument] = &[Argument::optional("state", Kind::Text)];

fn list(given: &Arguments<'_>) -> Result<Request, Status> {
    let state = given.text("state").map(|word| State::from_word(word).ok_or(Status::InvalidArgument));
    Ok(Request::List { state: state.transpose()? })
}

const GET: &[Argument] = &[Argument::required("id", Kind::Integer)];

fn get(given: &Arguments<'_>) -> Result<Request, Status> {
    Ok(Request::Get { id: id(given)? })
}

const APPROVE: &[Argument] = &[
    Argument::required("id", Kind::Integer),
    Argument::optional("action", Kind::Text),
    Argument::optional("devices", Kind::Texts),
    Argument::optional("lifetime", Kind::Integer),
];

fn approve(given: &Arguments<'_>) -> Result<Request, Status> {
    let action = match given.text("action") {
        None => None,
        Some(word) => Some(Action::from_word(word).ok_or(Status::InvalidArgument)?),
    };
    let devices = given.texts("devices")?.unwrap_or_default().into_iter().map(mac_of).collect::<Result<_, _>>()?;
    Ok(Request::Approve { id: id(given)?, action, devices, lifetime: lifetime(given)? })
}

const END: &[Argument] = &[Argument::required("id", Kind::Integer), Argument::optional("comment", Kind::Text)];

fn reject(given: &Arguments<'_>) -> Result<Request, Status> {
    Ok(Request::Reject { id: id(given)?, comment: comment(given) })
}

fn withdraw(given: &Arguments<'_>) -> Result<Request, Status> {
    Ok(Request::Withdraw { id: id(given)?, comment: comment(given) })
}

const QUARANTINE: &[Argument] = &[
    Argument::required("mac", Kind::Text),
    Argument::optional("lifetime", Kind::Integer),
    Argument::optional("comment", Kind::Text),
];

fn quarantine(given: &Arguments<'_>) -> Result<Request, Status> {
    Ok(Request::Quarantine { mac: mac(given)?, lifetime: lifetime(given)?, comment: comment(given) })
}

const RELEASE: &[Argument] = &[Argument::required("mac", Kind::Text)];

fn release(given: &Arguments<'_>) -> Result<Request, Status> {
    Ok(Request::Release { mac: mac(given)? })
}

const HISTORY: &[Argument] = &[Argument::optional("limit", Kind::Integer)];

fn history(given: &Arguments<'_>) -> Result<Request, Status> {
    let limit = given.integer("limit").map(usize::try_from).transpose();
    Ok(Request::History { limit: limit.map_err(|_| Status::InvalidArgument)? })
}

fn id(given: &Arguments<'_>) -> Result<MitigationId, Status> {
    let number = given.integer("id").and_then(|number| u32::try_from(number).ok());
    number.map(MitigationId).ok_or(Status::InvalidArgument)
}

/// Seconds, at least one, at most as many as DOTS can express.
fn lifetime(given: &Arguments<'_>) -> Result<Option<Duration>, Status> {
    let Some(seconds) = given.integer("lifetime") else { return Ok(None) };
    let seconds = u32::try_from(seconds).ok().filter(|seconds| *seconds > 0).ok_or(Status::InvalidArgument)?;
    Ok(Some(Duration::from_secs(seconds.into())))
}

fn comment(given: &Arguments<'_>) -> Option<String> {
    given.text("comment").filter(|comment| !comment.is_empty()).map(str::to_owned)
}

fn mac(given: &Arguments<'_>) -> Result<Mac, Status> {
    given.text("mac").ok_or(Status::InvalidArgument).and_then(mac_of)
}

fn mac_of(text: &str) -> Result<Mac, Status> {
    text.parse().map_err(|_| Status::InvalidArgument)
}
