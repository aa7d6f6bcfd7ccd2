//! Bodies of mitigation requests and reports (RFC 9132 sections 4.4.1 and 4.4.2).

use ipnet::IpNet;

use super::cbor::Value;
use super::fields::{Fields, Invalid, number};
use super::scope;
use crate::model::Scope;

const MITIGATION_SCOPE: u16 = 1;
const SCOPE: u16 = 2;
const MID: u16 = 5;
const ALIAS_NAME: u16 = 13;
const LIFETIME: u16 = 14;
const MITIGATION_START: u16 = 15;
const STATUS: u16 = 16;
const CONFLICT_INFORMATION: u16 = 17;
const CONFLICT_STATUS: u16 = 18;
const CONFLICT_CAUSE: u16 = 19;
const RETRY_TIMER: u16 = 20;
const CONFLICT_SCOPE: u16 = 21;
const BYTES_DROPPED: u16 = 25;
const BPS_DROPPED: u16 = 26;
const PKTS_DROPPED: u16 = 27;
const PPS_DROPPED: u16 = 28;
const ATTACK_STATUS: u16 = 29;
const TRIGGER_MITIGATION: u16 = 45;
/// The tag that only says that CBOR follows (RFC 8949 section 3.4.6).
const SELF_DESCRIBED: [u8; 3] = [0xd9, 0xd9, 0xf7];
/// Entries of one report; more than any router keeps for one client.
const MOST_REPORTS: usize = 4096;

/// For how long mitigation is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until withdrawn.
    Indefinite,
    /// Seconds, never 0.
    Seconds(u32),
}

impl Lifetime {
    fn parse(value: &Value) -> Result<Self, Invalid> {
        match value {
            Value::Negative(-1) => Ok(Self::Indefinite),
            Value::Unsigned(0) => Err(Invalid::Value("lifetime", "0 is not allowed".into())),
            Value::Unsigned(_) => number(value, "lifetime").map(Self::Seconds),
            Value::Negative(_) => Err(Invalid::Value("lifetime", "negative".into())),
            _ => Err(Invalid::Type("lifetime")),
        }
    }

    fn value(self) -> Value {
        match self {
            Self::Indefinite => Value::Negative(-1),
            Self::Seconds(seconds) => Value::Unsigned(seconds.into()),
        }
    }
}

/// What the client sees of the attack, in an efficacy update (RFC 9132 section 4.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttackStatus {
    /// 1
    UnderAttack,
    /// 2
    Mitigated,
}

/// A valid mitigation request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MitigationRequest {
    /// What to mitigate.
    pub scope: Scope,
    /// For how long; absent only in efficacy updates.
    pub lifetime: Option<Lifetime>,
    /// Only in efficacy updates.
    pub attack_status: Option<AttackStatus>,
}

impl MitigationRequest {
    /// Reads a request; `efficacy` tells that it came with If-Match.
    ///
    /// # Errors
    /// Anything RFC 9132 section 4.4.1 or RFC 9066 section 5.3.1 calls invalid; each is answered with 4.00.
    pub fn parse(payload: &[u8], efficacy: bool) -> Result<Self, Invalid> {
        let body = Value::decode(payload)?;
        let body = Fields::of(&body, "body", &[MITIGATION_SCOPE])?;
        let outer = Fields::of(body.required(MITIGATION_SCOPE, "mitigation-scope")?, "mitigation-scope", &[SCOPE])?;
        outer.required(SCOPE, "scope")?;
        let scopes = outer.list(SCOPE, "scope", 1, |value| {
            let own = [ALIAS_NAME, LIFETIME, ATTACK_STATUS, TRIGGER_MITIGATION];
            Fields::of(value, "scope", &[&scope::KEYS[..], &own].concat())
        })?;
        let fields = scopes.first().ok_or(Invalid::Empty("scope"))?;
        if fields.get(ALIAS_NAME).is_some() {
            return Err(Invalid::Value("alias-name", "no such alias".into()));
        }
        if fields.boolean(TRIGGER_MITIGATION, "trigger-mitigation")? == Some(false) {
            return Err(Invalid::Value("trigger-mitigation", "false is not allowed in Call Home".into()));
        }
        let attack_status = match fields.number(ATTACK_STATUS, "attack-status")? {
            Some(1_u8) => Some(AttackStatus::UnderAttack),
            Some(2) => Some(AttackStatus::Mitigated),
            Some(other) => return Err(Invalid::Value("attack-status", format!("{other} is unknown"))),
            None if efficacy => return Err(Invalid::Missing("attack-status")),
            None => None,
        };
        let lifetime = match fields.get(LIFETIME) {
            Some(value) => Some(Lifetime::parse(value)?),
            None if efficacy => None,
            None => return Err(Invalid::Missing("lifetime")),
        };
        Ok(Self { scope: scope::parse(fields)?, lifetime, attack_status })
    }

    /// Writes the request.
    pub fn encode(&self) -> Vec<u8> {
        let status = self.attack_status.map(|status| match status {
            AttackStatus::UnderAttack => Value::Unsigned(1),
            AttackStatus::Mitigated => Value::Unsigned(2),
        });
        let own = [(LIFETIME, self.lifetime.map(Lifetime::value)), (ATTACK_STATUS, status)];
        wrap(vec![join(scope::entries(&self.scope), own)])
    }
}

/// What stands in the way of a request (RFC 9132 section 4.4.1.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflict {
    /// 1 this one is inactive, 2 this one is active, 3 none is.
    pub status: Option<u8>,
    /// 1 overlapping targets, 3 cuid collision, 4 legitimate traffic (RFC 9066 section 5.3.1).
    pub cause: Option<u8>,
    /// Seconds until trying again makes sense.
    pub retry_timer: Option<u32>,
    /// The mitigation it clashes with.
    pub mid: Option<u32>,
    /// The targets both name.
    pub target_prefixes: Vec<IpNet>,
}

/// The status of a conflict: the request is in force in spite of it.
pub const REQUEST_ACTIVE: u8 = 2;
/// The cause of a conflict: targets overlap.
pub const OVERLAPPING_TARGETS: u8 = 1;
/// The cause of a conflict: another client has this cuid.
pub const CUID_COLLISION: u8 = 3;
/// The cause of a conflict: the traffic is legitimate.
pub const LEGITIMATE_TRAFFIC: u8 = 4;

impl Conflict {
    /// With nothing but its cause.
    pub fn because(cause: u8) -> Self {
        Self { cause: Some(cause), ..Self::default() }
    }

    /// Whether for its sake the request is not in force.
    pub fn is_objection(&self) -> bool {
        self.status != Some(REQUEST_ACTIVE)
    }

    fn value(&self) -> Value {
        let small = |number: Option<u8>| number.map(|number| Value::Unsigned(number.into()));
        let clash = self.mid.is_some() || !self.target_prefixes.is_empty();
        let mid = (MID, self.mid.map(|mid| Value::Unsigned(mid.into())));
        Value::map([
            (CONFLICT_STATUS, small(self.status)),
            (CONFLICT_CAUSE, small(self.cause)),
            (RETRY_TIMER, self.retry_timer.map(|seconds| Value::Unsigned(seconds.into()))),
            (CONFLICT_SCOPE, clash.then(|| Value::map([scope::target_entry(&self.target_prefixes), mid]))),
        ])
    }

    fn parse(value: &Value) -> Result<Self, Invalid> {
        let fields = Fields::of_report(value, "conflict-information")?;
        let scope = fields.get(CONFLICT_SCOPE).map(|value| Fields::of_report(value, "conflict-scope"));
        let scope = scope.transpose()?;
        Ok(Self {
            status: fields.number(CONFLICT_STATUS, "conflict-status")?,
            cause: fields.number(CONFLICT_CAUSE, "conflict-cause")?,
            retry_timer: fields.number(RETRY_TIMER, "retry-timer")?,
            mid: scope.as_ref().map(|s| s.number(MID, "mid")).transpose()?.flatten(),
            target_prefixes: scope.as_ref().map(scope::targets).transpose()?.unwrap_or_default(),
        })
    }
}

/// What has been dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Bytes since the start.
    pub bytes: u64,
    /// Bytes a second, over five minutes.
    pub bps: u64,
    /// Packets since the start.
    pub packets: u64,
    /// Packets a second, over five minutes.
    pub pps: u64,
}

/// What the server says of one mitigation. What is absent is not told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Which.
    pub mid: Option<u32>,
    /// Seconds left; -1 indefinite.
    pub lifetime: Option<i64>,
    /// When it began, seconds since 1970.
    pub start: Option<u64>,
    /// What it covers.
    pub scope: Option<Scope>,
    /// 1 to 7 (RFC 9132 section 4.4.2).
    pub status: Option<u8>,
    /// What stands in its way.
    pub conflict: Option<Conflict>,
    /// What it has dropped.
    pub dropped: Option<Dropped>,
}

impl Report {
    fn value(&self) -> Value {
        let count = |of: fn(&Dropped) -> u64| self.dropped.as_ref().map(|dropped| Value::Unsigned(of(dropped)));
        let lifetime = self.lifetime.map(|seconds| match u64::try_from(seconds) {
            Ok(seconds) => Value::Unsigned(seconds),
            Err(_) => Value::Negative(-1),
        });
        let own = [
            (MID, self.mid.map(|mid| Value::Unsigned(mid.into()))),
            (LIFETIME, lifetime),
            (MITIGATION_START, self.start.map(Value::Unsigned)),
            (STATUS, self.status.map(|status| Value::Unsigned(status.into()))),
            (CONFLICT_INFORMATION, self.conflict.as_ref().map(Conflict::value)),
            (BYTES_DROPPED, count(|dropped| dropped.bytes)),
            (BPS_DROPPED, count(|dropped| dropped.bps)),
            (PKTS_DROPPED, count(|dropped| dropped.packets)),
            (PPS_DROPPED, count(|dropped| dropped.pps)),
        ];
        match &self.scope {
            Some(scope) => join(scope::entries(scope), own),
            None => Value::map(own),
        }
    }

    fn parse(value: &Value) -> Result<Self, Invalid> {
        let fields = Fields::of_report(value, "scope")?;
        let lifetime = match fields.get(LIFETIME) {
            Some(Value::Negative(-1)) => Some(-1),
            Some(value) => Some(i64::from(number::<u32>(value, "lifetime")?)),
            None => None,
        };
        let scope = Some(scope::parse_report(&fields)?).filter(|scope| *scope != Scope::default());
        let bytes = fields.number(BYTES_DROPPED, "bytes-dropped")?;
        let packets = fields.number(PKTS_DROPPED, "pkts-dropped")?;
        let dropped = (bytes.is_some() || packets.is_some()).then_some(Dropped {
            bytes: bytes.unwrap_or(0),
            bps: fields.number(BPS_DROPPED, "bps-dropped")?.unwrap_or(0),
            packets: packets.unwrap_or(0),
            pps: fields.number(PPS_DROPPED, "pps-dropped")?.unwrap_or(0),
        });
        Ok(Self {
            mid: fields.number(MID, "mid")?,
            lifetime,
            start: fields.number(MITIGATION_START, "mitigation-start")?,
            scope,
            status: fields.number(STATUS, "status")?,
            conflict: fields.get(CONFLICT_INFORMATION).map(Conflict::parse).transpose()?,
            dropped,
        })
    }

    /// Writes the body of a response.
    pub fn encode_all(reports: &[Self]) -> Vec<u8> {
        wrap(reports.iter().map(Self::value).collect())
    }

    /// Reads the body of a response. What is unknown in it is left alone, and so is what is absent: it is no request, whose every word
    /// has to be understood.
    ///
    /// # Errors
    /// The server said something that RFC 9132 does not allow.
    pub fn parse_all(payload: &[u8]) -> Result<Vec<Self>, Invalid> {
        let body = Value::decode(payload.strip_prefix(&SELF_DESCRIBED).unwrap_or(payload))?;
        let body = Fields::of_report(&body, "body")?;
        let outer = Fields::of_report(body.required(MITIGATION_SCOPE, "mitigation-scope")?, "mitigation-scope")?;
        outer.required(SCOPE, "scope")?;
        let mut reports = outer.list(SCOPE, "scope", MOST_REPORTS, Self::parse)?;
        reports.truncate(MOST_REPORTS);
        if reports.is_empty() { Err(Invalid::Empty("scope")) } else { Ok(reports) }
    }
}

fn join<const A: usize, const B: usize>(scope: [(u16, Option<Value>); A], own: [(u16, Option<Value>); B]) -> Value {
    let all = scope.into_iter().chain(own);
    Value::Map(all.filter_map(|(key, value)| Some((Value::Unsigned(key.into()), value?))).collect())
}

fn wrap(scopes: Vec<Value>) -> Vec<u8> {
    Value::only(MITIGATION_SCOPE, Value::only(SCOPE, Value::Array(scopes))).encode()
}
