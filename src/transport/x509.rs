//! The little one has to know of a certificate beyond what its verification tells (RFC 5280 section 4.1).

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

// Identifiers (RFC 5280 appendix A).
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];

/// Characters of a name that are shown.
const LONGEST_NAME: usize = 64;

/// What a certificate says, as far as somebody asks.
pub(super) struct Parts<'a> {
    issuer: &'a [u8],
    validity: &'a [u8],
    subject: &'a [u8],
    /// With its frame.
    public_key: &'a [u8],
    /// What follows it.
    rest: &'a [u8],
}

/// Nothing where it can't be read.
pub(super) fn parts(certificate: &[u8]) -> Option<Parts<'_>> {
    let (body, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(body, SEQUENCE)?;
    if let Some((_, after)) = element(rest, VERSION) {
        rest = after;
    }
    // Serial number, signature algorithm.
    for _ in 0..2 {
        rest = any(rest)?.2;
    }
    let (issuer, rest) = element(rest, SEQUENCE)?;
    let (validity, rest) = element(rest, SEQUENCE)?;
    let (subject, framed) = element(rest, SEQUENCE)?;
    let (_, rest) = element(framed, SEQUENCE)?;
    let public_key = framed.get(..framed.len() - rest.len())?;
    Some(Parts { issuer, validity, subject, public_key, rest })
}

/// When a certificate is valid: first and last second, since 1970. Nothing where it can't be read.
pub(super) fn validity(certificate: &[u8]) -> Option<(u64, u64)> {
    let (tag, from, rest) = any(parts(certificate)?.validity)?;
    let (until_tag, until, _) = any(rest)?;
    Some((time(tag, from)?, time(until_tag, until)?))
}

/// Its public key, as RFC 5280 section 4.1.2.7 has it.
pub(super) fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    parts(certificate).map(|parts| parts.public_key)
}

/// Its subject, without its frame.
#[cfg(feature = "client")]
pub(super) fn subject(certificate: &[u8]) -> Option<&[u8]> {
    parts(certificate).map(|parts| parts.subject)
}

/// Whether one is named as the issuer of the other.
pub(super) fn is_issuer(of: &[u8], certificate: &[u8]) -> bool {
    parts(of).zip(parts(certificate)).is_some_and(|(of, it)| of.subject == it.issuer)
}

/// Whether it names itself as its issuer.
pub(super) fn signs_itself(certificate: &[u8]) -> bool {
    is_issuer(certificate, certificate)
}

/// What its subject is called: the common name, else the organization.
pub(super) fn subject_name(certificate: &[u8]) -> Option<String> {
    let named = |wanted: &[u8]| {
        let mut rest = parts(certificate)?.subject;
        let mut found = None;
        while let Some((_, set, after)) = any(rest) {
            rest = after;
            let (pair, _) = element(set, SEQUENCE)?;
            let (kind, value) = element(pair, OBJECT_IDENTIFIER)?;
            let text = any(value).filter(|_| kind == wanted).map(|(_, text, _)| String::from_utf8_lossy(text));
            found = text.map(|text| text.chars().take(LONGEST_NAME).collect()).or(found);
        }
        found
    };
    named(COMMON_NAME).or_else(|| named(ORGANIZATION))
}

/// Whether it says that it may sign others (RFC 5280 section 4.2.1.9).
pub(super) fn is_authority(certificate: &[u8]) -> bool {
    let says = || {
        let (constraints, _) = element(extension(certificate, BASIC_CONSTRAINTS)?, SEQUENCE)?;
        let (value, _) = element(constraints, BOOLEAN)?;
        Some(value != [0])
    };
    says().unwrap_or(false)
}

/// Whether its key may be used like that (RFC 5280 section 4.2.1.3); without the extension for everything.
pub(super) fn allows(certificate: &[u8], usage: KeyUsage) -> bool {
    let Some(bits) = extension(certificate, KEY_USAGE) else { return true };
    let first = || element(bits, BIT_STRING)?.0.get(1).copied();
    first().is_some_and(|first| first & usage as u8 != 0)
}

/// What keys are for, by their bits in the first byte.
#[derive(Clone, Copy)]
pub(super) enum KeyUsage {
    /// To prove who one is.
    DigitalSignature = 0x80,
    /// To sign certificates.
    CertificateSign = 0x04,
}

/// An extension's value.
fn extension<'a>(certificate: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut rest = parts(certificate)?.rest;
    let extensions = loop {
        let (tag, content, after) = any(rest)?;
        if tag == EXTENSIONS {
            break content;
        }
        rest = after;
    };
    let (mut rest, _) = element(extensions, SEQUENCE)?;
    while let Some((one, after)) = element(rest, SEQUENCE) {
        rest = after;
        let (kind, value) = element(one, OBJECT_IDENTIFIER)?;
        let value = element(value, BOOLEAN).map_or(value, |(_, value)| value);
        if kind == wanted {
            return element(value, OCTET_STRING).map(|(value, _)| value);
        }
    }
    None
}

/// Whether it is a public key and nothing else: an algorithm and bits.
pub(super) fn is_public_key(der: &[u8]) -> bool {
    let inner = || {
        let (body, after) = element(der, SEQUENCE)?;
        let (_, rest) = element(body, SEQUENCE)?;
        let (_, rest) = element(rest, BIT_STRING)?;
        Some(after.is_empty() && rest.is_empty())
    };
    inner().unwrap_or(false)
}

/// The first element's tag and content, and what follows it.
pub(super) fn any(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |sum, &byte| (sum << 8) | usize::from(byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The content of the first element, if it has this tag, and what follows it.
pub(super) fn element(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    any(der).filter(|(tag, _, _)| *tag == wanted).map(|(_, content, rest)| (content, rest))
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn time(tag: u8, content: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    let seconds = part(4)? * 3600 + part(6)? * 60 + part(8)?;
    u64::try_from(days(year, month, day) * 86_400 + seconds).ok()
}

/// Days from 1970-01-01 in the Gregorian calendar, with years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A day in the form `2031-07-04`.
pub(super) fn date(unix: u64) -> String {
    let shifted = i64::try_from(unix / 86_400).unwrap_or(0) + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_days_agree() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(days(2000, 2, 29) * 86_400, 951_782_400);
        for day in (0..40_000).step_by(17) {
            let text = date(day * 86_400);
            let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
            assert_eq!(days(part(0..4), part(5..7), part(8..10)), i64::try_from(day).unwrap());
        }
    }

    #[test]
    fn a_certificate_tells_its_validity() {
        let mut params = rcgen::CertificateParams::new(["router.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2024, 2, 29);
        params.not_after = rcgen::date_time_ymd(2071, 12, 31);
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let (from, until) = validity(certificate.der()).unwrap();
        assert_eq!((date(from).as_str(), date(until).as_str()), ("2024-02-29", "2071-12-31"));
        for end in 0..certificate.der().len() {
            let _ = validity(&certificate.der()[..end]);
        }
    }
}
