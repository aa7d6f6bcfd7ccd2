//! What no router is asked for, whoever wants it: the provider's own limits.

use std::collections::BTreeMap;
use std::fmt;

use ipnet::IpNet;

use crate::model::Scope;

/// Seconds in which requests are counted.
const HOUR: u64 = 3600;

/// The limits.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Neither source nor target may lie here.
    pub safe: Vec<IpNet>,
    /// Prefixes of IPv4 must be at least so long.
    pub widest_v4: u8,
    /// Likewise of IPv6.
    pub widest_v6: u8,
    /// Requests for one router in an hour; 0: as many as come.
    pub most_an_hour: u32,
}

/// Keeps to the limits.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    limits: Limits,
    /// Since when how many have been asked for, by router.
    asked: BTreeMap<String, (u64, u32)>,
}

/// Why nobody is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// It is in the list of what is safe.
    Safe(IpNet),
    /// It is more than one request may be about.
    Wide(IpNet),
    /// There have been so many in this hour already.
    Many(u32),
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Safe(prefix) => write!(f, "{prefix} is in the list of what is safe"),
            Self::Wide(prefix) => write!(f, "{prefix} is wider than one request may be"),
            Self::Many(most) => write!(f, "more than {most} requests for this router in an hour"),
        }
    }
}

impl std::error::Error for Objection {}

impl Guard {
    /// With these limits; what has been counted so far stays.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes note of a request.
    ///
    /// # Errors
    /// It must not be asked.
    pub fn admit(&mut self, router: &str, scope: &Scope, now: u64) -> Result<(), Objection> {
        let Limits { safe, widest_v4, widest_v6, most_an_hour } = &self.limits;
        for &prefix in scope.source_prefixes.iter().chain(&scope.target_prefixes) {
            if safe.iter().any(|safe| safe.contains(&prefix) || prefix.contains(safe)) {
                return Err(Objection::Safe(prefix));
            }
            let widest = if prefix.addr().is_ipv4() { widest_v4 } else { widest_v6 };
            if prefix.prefix_len() < *widest {
                return Err(Objection::Wide(prefix));
            }
        }
        if *most_an_hour == 0 {
            return Ok(());
        }
        self.asked.retain(|_, (since, _)| now.saturating_sub(*since) < HOUR);
        let (_, count) = self.asked.entry(router.to_owned()).or_insert((now, 0));
        if *count >= *most_an_hour {
            return Err(Objection::Many(*most_an_hour));
        }
        *count += 1;
        Ok(())
    }
}
