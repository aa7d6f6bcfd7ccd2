//! What our object does: each request carried out on the house.

use ubus::BlobMsgTable;

use super::device;
use super::house::House;
use super::object::Status;
use super::reply;
use super::request::Request;
use crate::mitigation::{Denied, State};
use crate::model::{Mac, MitigationId, Now};

/// Carries out a request on behalf of `by`, and replies.
///
/// # Errors
/// The status that tells why not; nothing has changed then.
pub(super) fn perform(
    request: &Request,
    by: &str,
    version: &str,
    house: &mut House<'_>,
    now: Now,
) -> Result<BlobMsgTable, Status> {
    match request {
        Request::Status => Ok(reply::status(version, house, now)),
        Request::List { state } => Ok(reply::list(*state, house, now)),
        Request::Get { id } => mitigation(house, *id, now),
        Request::Approve { id, action, devices, lifetime } => {
            house.ledger.approve(*id, *action, devices, *lifetime, by, now)?;
            mitigation(house, *id, now)
        }
        Request::Reject { id, comment } => {
            house.ledger.reject(*id, comment.as_deref(), by, now)?;
            mitigation(house, *id, now)
        }
        Request::Withdraw { id, comment } => {
            let before = house.ledger.get(*id).cloned().ok_or(Status::NotFound)?;
            house.ledger.withdraw(*id, comment.as_deref(), by, now)?;
            // One that the provider had withdrawn itself is gone now.
            let gone = |_| reply::last_state(&before, State::Expired, house.inventory, now);
            Ok(mitigation(house, *id, now).unwrap_or_else(gone))
        }
        Request::Devices => Ok(reply::devices(house)),
        Request::Quarantine { mac, lifetime, comment } => {
            device::find(house, *mac).ok_or(Status::NotFound)?;
            house.ledger.quarantine(*mac, *lifetime, comment.as_deref(), by, now)?;
            one_device(house, *mac)
        }
        Request::Release { mac } => {
            device::find(house, *mac).ok_or(Status::NotFound)?;
            house.ledger.release(*mac, by, now)?;
            one_device(house, *mac)
        }
        Request::History { limit } => Ok(reply::history(house.ledger, *limit)),
    }
}

fn mitigation(house: &House<'_>, id: MitigationId, now: Now) -> Result<BlobMsgTable, Status> {
    house.ledger.get(id).map(|m| reply::whole_mitigation(m, house.inventory, now)).ok_or(Status::NotFound)
}

fn one_device(house: &House<'_>, mac: Mac) -> Result<BlobMsgTable, Status> {
    device::find(house, mac).map(|found| reply::device(&found)).ok_or(Status::NotFound)
}

impl From<Denied> for Status {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::NoSuchMitigation | Denied::NoSuchDevice => Self::NotFound,
            Denied::Ambiguous => Self::InvalidArgument,
            Denied::Exempt | Denied::NotInThisState => Self::NotSupported,
        }
    }
}
