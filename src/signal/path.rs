//! Paths of the DOTS resources and their parameters (RFC 9132 sections 4.2 and 4.4.1).

/// A resource of the signal channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `mitigate`
    Mitigate {
        /// The client's unique identifier.
        cuid: Option<String>,
        /// The mitigation's identifier.
        mid: Option<u32>,
    },
    /// `config`
    Config {
        /// The configuration's identifier.
        sid: Option<u32>,
    },
    /// `hb`
    Heartbeat,
    /// `redirect` (RFC 9066 section 5.2.2)
    Redirect,
}

/// Why a path names no resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// 4.04
    Unknown,
    /// 4.00, with the reason.
    Invalid(&'static str),
}

/// What of a report is wanted (RFC 9132 section 4.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// `c=a`, and without the query.
    All,
    /// `c=c`
    Configuration,
    /// `c=n`
    NonConfiguration,
}

impl Content {
    /// Reads the query; what is not understood counts as absent.
    pub fn of(query: &[String]) -> Self {
        match query.iter().find_map(|argument| argument.strip_prefix("c=")) {
            Some("c") => Self::Configuration,
            Some("n") => Self::NonConfiguration,
            _ => Self::All,
        }
    }
}

impl Resource {
    /// Reads a path.
    ///
    /// # Errors
    /// [`BadPath`]
    pub fn parse(path: &[String]) -> Result<Self, BadPath> {
        let [well_known, dots, operation, parameters @ ..] = path else { return Err(BadPath::Unknown) };
        if well_known != ".well-known" || dots != "dots" {
            return Err(BadPath::Unknown);
        }
        match operation.as_str() {
            "mitigate" => {
                let (cuid, mid) = identifiers(parameters)?;
                Ok(Self::Mitigate { cuid, mid })
            }
            "config" => Ok(Self::Config { sid: sid(parameters)? }),
            "hb" if parameters.is_empty() => Ok(Self::Heartbeat),
            "hb" => Err(BadPath::Invalid("hb takes no parameters")),
            "redirect" => identifiers(parameters).map(|_| Self::Redirect),
            _ => Err(BadPath::Unknown),
        }
    }
}

/// `cdid`, which is for gateways only and ignored, then `cuid`, then `mid`.
fn identifiers(parameters: &[String]) -> Result<(Option<String>, Option<u32>), BadPath> {
    let mut rest = parameters;
    if let Some(("cdid", _)) = next(rest)? {
        rest = rest.get(1..).unwrap_or_default();
    }
    let mut cuid = None;
    if let Some(("cuid", value)) = next(rest)? {
        cuid = Some(value.to_owned());
        rest = rest.get(1..).unwrap_or_default();
    }
    let mut mid = None;
    if let Some(("mid", value)) = next(rest)? {
        mid = Some(number(value).ok_or(BadPath::Invalid("mid is no number from 0 to 4294967295"))?);
        rest = rest.get(1..).unwrap_or_default();
    }
    match next(rest)? {
        None => Ok((cuid, mid)),
        Some(("cdid" | "cuid" | "mid", _)) => Err(BadPath::Invalid("path parameters out of order or repeated")),
        Some(_) => Err(BadPath::Invalid("unknown path parameter")),
    }
}

fn sid(parameters: &[String]) -> Result<Option<u32>, BadPath> {
    match (next(parameters)?, parameters.len()) {
        (None, _) => Ok(None),
        (Some(("sid", value)), 1) => {
            number(value).map(Some).ok_or(BadPath::Invalid("sid is no number from 0 to 4294967295"))
        }
        _ => Err(BadPath::Invalid("config takes sid only")),
    }
}

/// The first parameter, as name and value.
fn next(parameters: &[String]) -> Result<Option<(&str, &str)>, BadPath> {
    let Some(first) = parameters.first() else { return Ok(None) };
    match first.split_once('=') {
        Some((_, "")) => Err(BadPath::Invalid("a path parameter is empty")),
        Some(pair) => Ok(Some(pair)),
        None => Err(BadPath::Unknown),
    }
}

/// Decimal digits only: no sign, no spaces.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
