//! The fourteen methods of our object: what each takes, how that is read, and what it does.

use std::net::IpAddr;
use std::time::Duration;

use ubus::BlobMsgTable;

use super::context::CallContext;
use super::device;
use super::object::{Argument, ArgumentType, CallArguments, ObjectMethod, UbusStatus};
use super::reply;
use crate::mitigation::{Action, Denied, State, Term, Until, Whom};
use crate::model::{Mac, MitigationId, Now};

/// A call whose arguments have been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MethodCall {
    Status,
    List { state: Option<State> },
    Get { id: MitigationId },
    Approve { id: MitigationId, action: Option<Action>, devices: Vec<Mac>, addresses: Vec<IpAddr>, term: Term },
    Reject { id: MitigationId, comment: Option<String> },
    Withdraw { id: MitigationId, comment: Option<String> },
    Devices,
    Quarantine { mac: Mac, lifetime: Option<Duration>, comment: Option<String> },
    Release { mac: Mac },
    History { limit: Option<usize> },
    Vetoes,
    Ended,
    Incidents { mac: Option<Mac> },
    Lift { id: MitigationId },
}

impl MethodCall {
    /// Whether it decides something: then it matters who asks.
    pub(super) fn decides(&self) -> bool {
        match self {
            Self::Approve { .. }
            | Self::Reject { .. }
            | Self::Withdraw { .. }
            | Self::Quarantine { .. }
            | Self::Release { .. }
            | Self::Lift { .. } => true,
            Self::Status
            | Self::List { .. }
            | Self::Get { .. }
            | Self::Devices
            | Self::History { .. }
            | Self::Vetoes
            | Self::Ended
            | Self::Incidents { .. } => false,
        }
    }

    /// Whether it shows what devices do.
    pub(super) fn shows(&self) -> bool {
        matches!(self, Self::List { .. } | Self::Get { .. })
    }

    /// Carries out the call on behalf of `by`, and returns the reply.
    ///
    /// # Errors
    /// The status that tells why not; nothing has changed then.
    pub(super) fn perform(
        &self,
        by: &str,
        version: &str,
        context: &mut CallContext<'_>,
        now: Now,
    ) -> Result<BlobMsgTable, UbusStatus> {
        match self {
            Self::Status => Ok(reply::status(version, context, now)),
            Self::List { state } => Ok(reply::list(*state, context, now)),
            Self::Get { id } => mitigation(context, *id, now),
            Self::Approve { id, action, devices, addresses, term } => {
                let whom = Whom { devices, addresses };
                context.ledger.approve_only(*id, *action, whom, *term, by, now)?;
                mitigation(context, *id, now)
            }
            Self::Reject { id, comment } => {
                context.ledger.reject(*id, comment.as_deref(), by, now)?;
                mitigation(context, *id, now)
            }
            Self::Withdraw { id, comment } => {
                let ended = || context.ledger.ended().find(|m| m.id() == *id);
                let before = context.ledger.get(*id).or_else(ended).cloned().ok_or(UbusStatus::NotFound)?;
                context.ledger.withdraw(*id, comment.as_deref(), by, now)?;
                // One that the provider had withdrawn itself is gone now.
                let gone = |_| reply::last_state(&before, State::Expired, context.inventory, now);
                Ok(mitigation(context, *id, now).unwrap_or_else(gone))
            }
            Self::Devices => Ok(reply::devices(context)),
            Self::Quarantine { mac, lifetime, comment } => {
                device::find(context, *mac).ok_or(UbusStatus::NotFound)?;
                context.ledger.quarantine(*mac, *lifetime, comment.as_deref(), by, now)?;
                one_device(context, *mac)
            }
            Self::Release { mac } => {
                device::find(context, *mac).ok_or(UbusStatus::NotFound)?;
                context.ledger.release(*mac, by, now)?;
                one_device(context, *mac)
            }
            Self::History { limit } => Ok(reply::history(context, *limit)),
            Self::Incidents { mac } => Ok(reply::incidents(context, *mac)),
            Self::Ended => Ok(reply::ended(context, now)),
            Self::Vetoes => Ok(reply::vetoes(context, now)),
            Self::Lift { id } => {
                context.ledger.lift(*id, by, now)?;
                Ok(reply::vetoes(context, now))
            }
        }
    }
}

/// The methods of our object.
pub(super) const METHODS: &[ObjectMethod<MethodCall>] = &[
    ObjectMethod { name: "status", policy: &[], read: |_| Ok(MethodCall::Status) },
    ObjectMethod { name: "list", policy: LIST, read: list },
    ObjectMethod { name: "get", policy: GET, read: get },
    ObjectMethod { name: "approve", policy: APPROVE, read: approve },
    ObjectMethod { name: "reject", policy: END, read: reject },
    ObjectMethod { name: "withdraw", policy: END, read: withdraw },
    ObjectMethod { name: "devices", policy: &[], read: |_| Ok(MethodCall::Devices) },
    ObjectMethod { name: "quarantine", policy: QUARANTINE, read: quarantine },
    ObjectMethod { name: "release", policy: RELEASE, read: release },
    ObjectMethod { name: "history", policy: HISTORY, read: history },
    ObjectMethod { name: "vetoes", policy: &[], read: |_| Ok(MethodCall::Vetoes) },
    ObjectMethod { name: "ended", policy: &[], read: |_| Ok(MethodCall::Ended) },
    ObjectMethod { name: "incidents", policy: INCIDENTS, read: incidents },
    ObjectMethod { name: "lift", policy: GET, read: |given| Ok(MethodCall::Lift { id: id(given)? }) },
];

const LIST: &[Argument] = &[Argument::optional("state", ArgumentType::Text)];

fn list(given: &CallArguments<'_>) -> Result<MethodCall, UbusStatus> {
    let state = given.text("state").map(|word| State::from_word(word).ok_or(UbusStatus::InvalidArgument));
    Ok(MethodCall::List { state: state.transpose()? })
}

const GET: &[Argument] = &[Argument::required("id", ArgumentType::Integer)];

fn get(given: &CallArguments<'_>) -> Result<MethodCall, UbusStatus> {
    Ok(MethodCall::Get { id: id(given)? })
}

const APPROVE: &[Argument] = &[
    Argument::required("id", ArgumentType::Integer),
    Argument::optional("action", ArgumentType::Text),
    Argument::optional("devices", ArgumentType::Texts),
    Argument::optional("addresses", ArgumentType::Texts),
    Argument::optional("lifetime", ArgumentType::Integer),
    Argument::optional("until", ArgumentType::Text),
];

fn approve(given: &CallArguments<'_>) -> Result<MethodCall, UbusStatus> {
    let action = match given.text("action") {
        None => None,
        Some(word) => Some(Action::from_word(word).ok_or(UbusStatus::InvalidArgument)?),
    };
    let devices = given.texts("devices")?.unwrap_or_default().into_iter().map(mac_of).collect::<Result<_, _>>()?;
    let until = given.text("until").map(|word| Until::from_word(word).ok_or(UbusStatus::InvalidArgument));
    let term = Term::new(until.transpose()?, lifetime(given)?).ok_or(UbusStatus::InvalidArgument)?;
    let parse = |text: &str| text.parse().map_err(|_| UbusStatus::InvalidArgument);
    let addresses = given.texts("addresses")?.unwrap_or_default().into_iter().map(parse).collect::<Result<_, _>>()?;
    Ok(MethodCall::Approve { id: id(given)?, action, devices, addresses, term })
}

const END: &[Argument] =
    &[Argument::required("id", ArgumentType::Integer), Argument::optional("comment", ArgumentType::Text)];

fn reject(given: &CallArguments<'_>) -> Result<MethodCall, UbusStatus> {
    Ok(MethodCall::Reject { id: id(given)?, comment: comment(given) })
}

fn withdraw(given: &CallArguments<'_>) -> Result<MethodCall, UbusStatus> {
    Ok(MethodCall::Withdraw { id: id(given)?, comment: comment(given) })
}

const QUARANTINE: &[Argument] = &[
    Argument::required("mac", ArgumentType::Text),
    Argument::optional("lifetime", ArgumentType::Integer),
    Argument::optional("comment", ArgumentType::Text),
];

fn quarantine(given: &CallArguments<'_>) -> Result<MethodCall, UbusStatus> {
    Ok(MethodCall::Quarantine { mac: mac(given)?, lifetime: lifetime(given)?, comment: comment(given) })
}

const RELEASE: &[Argument] = &[Argument::required("mac", ArgumentType::Text)];

fn release(given: &CallArguments<'_>) -> Result<MethodCall, UbusStatus> {
    Ok(MethodCall::Release { mac: mac(given)? })
}

const INCIDENTS: &[Argument] = &[Argument::optional("mac", ArgumentType::Text)];

fn incidents(given: &CallArguments<'_>) -> Result<MethodCall, UbusStatus> {
    Ok(MethodCall::Incidents { mac: given.text("mac").map(mac_of).transpose()? })
}

const HISTORY: &[Argument] = &[Argument::optional("limit", ArgumentType::Integer)];

fn history(given: &CallArguments<'_>) -> Result<MethodCall, UbusStatus> {
    let limit = given.integer("limit").map(usize::try_from).transpose();
    Ok(MethodCall::History { limit: limit.map_err(|_| UbusStatus::InvalidArgument)? })
}

fn id(given: &CallArguments<'_>) -> Result<MitigationId, UbusStatus> {
    let number = given.integer("id").and_then(|number| u32::try_from(number).ok());
    number.map(MitigationId).ok_or(UbusStatus::InvalidArgument)
}

/// Seconds, at least one, at most as many as DOTS can express.
fn lifetime(given: &CallArguments<'_>) -> Result<Option<Duration>, UbusStatus> {
    let Some(seconds) = given.integer("lifetime") else { return Ok(None) };
    let seconds = u32::try_from(seconds).ok().filter(|seconds| *seconds > 0).ok_or(UbusStatus::InvalidArgument)?;
    Ok(Some(Duration::from_secs(seconds.into())))
}

fn comment(given: &CallArguments<'_>) -> Option<String> {
    given.text("comment").filter(|comment| !comment.is_empty()).map(str::to_owned)
}

fn mac(given: &CallArguments<'_>) -> Result<Mac, UbusStatus> {
    given.text("mac").ok_or(UbusStatus::InvalidArgument).and_then(mac_of)
}

fn mac_of(text: &str) -> Result<Mac, UbusStatus> {
    text.parse().map_err(|_| UbusStatus::InvalidArgument)
}

fn mitigation(context: &CallContext<'_>, id: MitigationId, now: Now) -> Result<BlobMsgTable, UbusStatus> {
    context.ledger.get(id).map(|m| reply::whole_mitigation(m, context.inventory, now)).ok_or(UbusStatus::NotFound)
}

fn one_device(context: &CallContext<'_>, mac: Mac) -> Result<BlobMsgTable, UbusStatus> {
    device::find(context, mac).map(|found| reply::device(&found)).ok_or(UbusStatus::NotFound)
}

impl From<Denied> for UbusStatus {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::NoSuchMitigation | Denied::NoSuchDevice | Denied::NoSuchVeto => Self::NotFound,
            Denied::Ambiguous => Self::InvalidArgument,
            Denied::Exempt | Denied::NotInThisState => Self::NotSupported,
        }
    }
}
