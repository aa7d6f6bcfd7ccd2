//! Session configuration: the parameters, their acceptable ranges, and their body (RFC 9132 section 4.5).

use std::time::Duration;

use super::cbor::Value;
use super::fields::{Fields, Invalid, number};
use crate::coap::TransmissionParameters;

const SIGNAL_CONFIG: u16 = 30;
const MITIGATING_CONFIG: u16 = 32;
const IDLE_CONFIG: u16 = 44;
const HEARTBEAT_INTERVAL: u16 = 33;
const MAX_VALUE: u16 = 34;
const MIN_VALUE: u16 = 35;
const CURRENT_VALUE: u16 = 36;
const MISSING_HB_ALLOWED: u16 = 37;
const MAX_RETRANSMIT: u16 = 38;
const ACK_TIMEOUT: u16 = 39;
const ACK_RANDOM_FACTOR: u16 = 40;
const MAX_VALUE_DECIMAL: u16 = 41;
const MIN_VALUE_DECIMAL: u16 = 42;
const CURRENT_VALUE_DECIMAL: u16 = 43;
const PROBING_RATE: u16 = 50;

/// One parameter: key, name, smallest and largest acceptable value, and how it is written.
struct Rule {
    key: u16,
    name: &'static str,
    min: u16,
    max: u16,
    decimal: bool,
    /// Whether it means anything over a reliable transport (RFC 9132 section 4.5).
    reliable: bool,
    get: fn(&Parameters) -> u16,
    set: fn(&mut Parameters, u16),
}

/// All six. Decimals are in hundredths.
const RULES: [Rule; 6] = [
    Rule {
        key: HEARTBEAT_INTERVAL,
        name: "heartbeat-interval",
        min: 15,
        max: 240,
        decimal: false,
        reliable: true,
        get: |p| p.heartbeat_interval,
        set: |p, value| p.heartbeat_interval = value,
    },
    Rule {
        key: MISSING_HB_ALLOWED,
        name: "missing-hb-allowed",
        min: 3,
        max: 20,
        decimal: false,
        reliable: false,
        get: |p| p.missing_hb_allowed,
        set: |p, value| p.missing_hb_allowed = value,
    },
    Rule {
        key: PROBING_RATE,
        name: "probing-rate",
        min: 5,
        max: 20,
        decimal: false,
        reliable: true,
        get: |p| p.probing_rate,
        set: |p, value| p.probing_rate = value,
    },
    Rule {
        key: MAX_RETRANSMIT,
        name: "max-retransmit",
        min: 2,
        max: 15,
        decimal: false,
        reliable: false,
        get: |p| p.max_retransmit,
        set: |p, value| p.max_retransmit = value,
    },
    Rule {
        key: ACK_TIMEOUT,
        name: "ack-timeout",
        min: 100,
        max: 3000,
        decimal: true,
        reliable: false,
        get: |p| p.ack_timeout,
        set: |p, value| p.ack_timeout = value,
    },
    Rule {
        key: ACK_RANDOM_FACTOR,
        name: "ack-random-factor",
        min: 110,
        max: 400,
        decimal: true,
        reliable: false,
        get: |p| p.ack_random_factor,
        set: |p, value| p.ack_random_factor = value,
    },
];

/// One set of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Seconds between heartbeats; 0: none.
    pub heartbeat_interval: u16,
    /// Unanswered heartbeats until the session counts as lost.
    pub missing_hb_allowed: u16,
    /// Bytes a second towards a peer that does not answer.
    pub probing_rate: u16,
    /// Retransmissions of a confirmable message.
    pub max_retransmit: u16,
    /// Hundredths of a second until the first retransmission.
    pub ack_timeout: u16,
    /// Hundredths; spreads the first retransmission.
    pub ack_random_factor: u16,
}

impl Default for Parameters {
    /// RFC 9132 section 4.5.2.
    fn default() -> Self {
        Self {
            heartbeat_interval: 30,
            missing_hb_allowed: 15,
            probing_rate: 5,
            max_retransmit: 3,
            ack_timeout: 200,
            ack_random_factor: 150,
        }
    }
}

impl Parameters {
    /// The interval between heartbeats, if there are any.
    pub fn heartbeat(&self) -> Option<Duration> {
        (self.heartbeat_interval > 0).then(|| Duration::from_secs(self.heartbeat_interval.into()))
    }

    /// The part that concerns the message layer.
    pub fn transmission(&self) -> TransmissionParameters {
        TransmissionParameters {
            ack_timeout: Duration::from_millis(u64::from(self.ack_timeout) * 10),
            ack_random_factor: f32::from(self.ack_random_factor) / 100.0,
            max_retransmit: self.max_retransmit,
        }
    }
}

/// How a client wants heartbeats to be.
#[cfg(feature = "client")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeats {
    /// Seconds between them.
    pub interval: u16,
    /// Unanswered ones until the session counts as lost.
    pub missing: u16,
}

/// The negotiated sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionConfig {
    /// While a mitigation is active.
    pub mitigating: Parameters,
    /// Else.
    pub idle: Parameters,
}

impl SessionConfig {
    /// This configuration with what a PUT changes of it; over a reliable transport what means nothing there stays.
    ///
    /// # Errors
    /// Answered with 4.22 where [`Invalid::Unacceptable`], else with 4.00; nothing is changed then.
    pub fn changed_by(self, payload: &[u8], reliable: bool) -> Result<Self, Invalid> {
        let body = Value::decode(payload)?;
        let body = Fields::of(&body, "body", &[SIGNAL_CONFIG])?;
        let signal = body.required(SIGNAL_CONFIG, "signal-config")?;
        let sets = Fields::of(signal, "signal-config", &[MITIGATING_CONFIG, IDLE_CONFIG])?;
        let mut changed = self;
        let mut count = 0;
        for (key, name, set) in [
            (MITIGATING_CONFIG, "mitigating-config", &mut changed.mitigating),
            (IDLE_CONFIG, "idle-config", &mut changed.idle),
        ] {
            if let Some(value) = sets.get(key) {
                count += change(set, value, name, reliable)?;
            }
        }
        if count == 0 { Err(Invalid::Missing("every parameter")) } else { Ok(changed) }
    }

    /// Writes the body of a GET's answer. Over a reliable transport only what means anything there.
    pub fn encode(&self, reliable: bool) -> Vec<u8> {
        let set = |parameters: &Parameters| {
            let rules = RULES.iter().filter(|rule| rule.reliable || !reliable);
            let entries = rules.map(|rule| (Value::Unsigned(rule.key.into()), rule.value(parameters)));
            Some(Value::Map(entries.collect()))
        };
        let sets = Value::map([(MITIGATING_CONFIG, set(&self.mitigating)), (IDLE_CONFIG, set(&self.idle))]);
        Value::only(SIGNAL_CONFIG, sets).encode()
    }

    /// Reads the body of a GET's answer; what it does not tell keeps its default.
    ///
    /// # Errors
    /// The server said something that RFC 9132 does not allow.
    pub fn parse(payload: &[u8]) -> Result<Self, Invalid> {
        let body = Value::decode(payload)?;
        let body = Fields::of(&body, "body", &[SIGNAL_CONFIG])?;
        let signal = body.required(SIGNAL_CONFIG, "signal-config")?;
        let sets = Fields::of(signal, "signal-config", &[MITIGATING_CONFIG, IDLE_CONFIG])?;
        let mut config = Self::default();
        for (key, set) in [(MITIGATING_CONFIG, &mut config.mitigating), (IDLE_CONFIG, &mut config.idle)] {
            let Some(value) = sets.get(key) else { continue };
            let fields = Fields::of(value, "configuration", &RULES.map(|rule| rule.key))?;
            for rule in &RULES {
                let Some(value) = fields.get(rule.key) else { continue };
                let all =
                    [MAX_VALUE, MIN_VALUE, CURRENT_VALUE, MAX_VALUE_DECIMAL, MIN_VALUE_DECIMAL, CURRENT_VALUE_DECIMAL];
                let inner = Fields::of(value, rule.name, &all)?;
                if let Some(current) = inner.get(rule.current_key()) {
                    (rule.set)(set, rule.read(current)?);
                }
            }
        }
        Ok(config)
    }
}

#[cfg(feature = "client")]
impl SessionConfig {
    /// The body of a PUT that asks for heartbeats like these where this configuration has fewer, or more that may be missing, as far as
    /// the limits allow that the body of a GET's answer tells; and the configuration that this makes. Nothing where all is well.
    ///
    /// # Errors
    /// The server said something that RFC 9132 does not allow.
    pub fn proposal(self, content: &[u8], wanted: Heartbeats) -> Result<Option<(Vec<u8>, Self)>, Invalid> {
        let body = Value::decode(content)?;
        let signal = Fields::of(&body, "body", &[SIGNAL_CONFIG])?.required(SIGNAL_CONFIG, "signal-config")?.clone();
        let told = Fields::of(&signal, "signal-config", &[MITIGATING_CONFIG, IDLE_CONFIG])?;
        let mut config = self;
        let sets = [
            (MITIGATING_CONFIG, propose(&mut config.mitigating, told.get(MITIGATING_CONFIG), wanted)?),
            (IDLE_CONFIG, propose(&mut config.idle, told.get(IDLE_CONFIG), wanted)?),
        ];
        let body = Value::only(SIGNAL_CONFIG, Value::map(sets)).encode();
        Ok((config != self).then_some((body, config)))
    }
}

/// Changes one set towards what is wanted; what is to be said of it.
#[cfg(feature = "client")]
fn propose(set: &mut Parameters, told: Option<&Value>, wanted: Heartbeats) -> Result<Option<Value>, Invalid> {
    let mut changes = Vec::new();
    // 0 is none at all: a server that wants it so is left alone.
    if set.heartbeat_interval == 0 {
        return Ok(None);
    }
    for rule in &RULES {
        let wanted = match rule.key {
            HEARTBEAT_INTERVAL => wanted.interval,
            MISSING_HB_ALLOWED => wanted.missing,
            _ => continue,
        };
        let (lowest, highest) = rule.limits(told)?;
        let (current, value) = ((rule.get)(set), wanted.min(highest).max(lowest));
        if current > value {
            (rule.set)(set, value);
            let value = Value::only(CURRENT_VALUE, Value::Unsigned(value.into()));
            changes.push((Value::Unsigned(rule.key.into()), value));
        }
    }
    Ok((!changes.is_empty()).then_some(Value::Map(changes.into_iter().collect())))
}

impl Rule {
    /// What a server says that it takes, of the set of a GET's answer; else what RFC 9132 says.
    #[cfg(feature = "client")]
    fn limits(&self, set: Option<&Value>) -> Result<(u16, u16), Invalid> {
        let Some(set) = set else { return Ok((self.min, self.max)) };
        let fields = Fields::of(set, "configuration", &RULES.map(|rule| rule.key))?;
        let Some(value) = fields.get(self.key) else { return Ok((self.min, self.max)) };
        let inner = Fields::of(value, self.name, &[MAX_VALUE, MIN_VALUE, CURRENT_VALUE])?;
        let limit = |key, default| inner.get(key).map_or(Ok(default), |value| self.read(value));
        Ok((limit(MIN_VALUE, self.min)?, limit(MAX_VALUE, self.max)?))
    }

    fn current_key(&self) -> u16 {
        if self.decimal { CURRENT_VALUE_DECIMAL } else { CURRENT_VALUE }
    }

    fn value(&self, parameters: &Parameters) -> Value {
        let current = (self.get)(parameters);
        if !self.decimal {
            let some = |number: u16| Some(Value::Unsigned(number.into()));
            return Value::map([
                (MAX_VALUE, some(self.max)),
                (MIN_VALUE, some(self.min)),
                (CURRENT_VALUE, some(current)),
            ]);
        }
        let some = |hundredths: u16| Some(Value::Decimal { exponent: -2, mantissa: hundredths.into() });
        Value::map([
            (MAX_VALUE_DECIMAL, some(self.max)),
            (MIN_VALUE_DECIMAL, some(self.min)),
            (CURRENT_VALUE_DECIMAL, some(current)),
        ])
    }

    fn read(&self, value: &Value) -> Result<u16, Invalid> {
        if !self.decimal {
            return number(value, self.name);
        }
        let Value::Decimal { exponent, mantissa } = *value else { return Err(Invalid::Type(self.name)) };
        hundredths(exponent, mantissa).ok_or_else(|| self.unacceptable())
    }

    fn unacceptable(&self) -> Invalid {
        let written = |value: u16| match self.decimal {
            true => format!("{}.{:02}", value / 100, value % 100),
            false => value.to_string(),
        };
        Invalid::Unacceptable(self.name, format!("{}..{}", written(self.min), written(self.max)))
    }

    /// 0 turns heartbeats off, below the announced minimum as it is (RFC 9132 section 4.5.2).
    fn accepts(&self, value: u16) -> bool {
        (self.min..=self.max).contains(&value) || (self.key == HEARTBEAT_INTERVAL && value == 0)
    }
}

/// Applies one set of a PUT; the number of parameters in it.
fn change(set: &mut Parameters, value: &Value, name: &'static str, reliable: bool) -> Result<usize, Invalid> {
    let fields = Fields::of(value, name, &RULES.map(|rule| rule.key))?;
    let mut count = 0;
    for rule in &RULES {
        let Some(value) = fields.get(rule.key) else { continue };
        let inner = Fields::of(value, rule.name, &[rule.current_key()])?;
        let value = rule.read(inner.required(rule.current_key(), "current-value")?)?;
        if !rule.accepts(value) {
            return Err(rule.unacceptable());
        }
        if rule.reliable || !reliable {
            (rule.set)(set, value);
        }
        count += 1;
    }
    Ok(count)
}

/// A decimal fraction in hundredths, where that is exact and fits.
fn hundredths(exponent: i64, mantissa: i64) -> Option<u16> {
    let shift = exponent.checked_add(2)?;
    let mut value = mantissa;
    for _ in 0..shift.unsigned_abs().min(20) {
        value = if shift > 0 { value.checked_mul(10)? } else { (value % 10 == 0).then_some(value / 10)? };
    }
    u16::try_from(value).ok().filter(|_| shift.unsigned_abs() <= 20 || value == 0)
}
