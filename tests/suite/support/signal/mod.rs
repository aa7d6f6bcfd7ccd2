//! What a provider writes, in short.

pub mod diag;
pub mod wire;

use dots_callhome::source::{Confidence, Suspect};

pub use super::home::{CAMERA, policy, seconds};
pub use super::random::Dice;
pub use super::router::TestRouter;
pub use diag::{canonical, hex};
pub use wire::*;

pub const TARGET: &str = "2001:db8:c000::1/128";
pub const SOURCE: &str = "2001:db8:123::1/128";

/// The body of a request: the usual target and source, and what `more` adds or, with the same key, puts in their place.
pub fn wanted(more: &str) -> String {
    let mut entries = String::new();
    for (key, value) in [("6", format!("[\"{TARGET}\"]")), ("32768", format!("[\"{SOURCE}\"]")), ("14", "3600".into())]
    {
        if !more.starts_with(&format!("{key}:")) && !more.contains(&format!(",{key}:")) {
            entries += &format!("{key}:{value},");
        }
    }
    scope(&format!("{entries}{more}"))
}

/// A request with these attributes and no others.
pub fn scope(attributes: &str) -> String {
    format!("{{1:{{2:[{{{attributes}}}]}}}}")
}

/// A request about another target, which overlaps with no other number's.
pub fn about(n: u32) -> String {
    wanted(&format!("6:[\"2001:db8:d000::{n:x}/128\"]"))
}

pub fn camera(confidence: Confidence) -> Suspect {
    Suspect {
        mac: CAMERA,
        name: None,
        addresses: Vec::new(),
        interface: None,
        behind: false,
        senders: Vec::new(),
        sharers: Vec::new(),
        former: Vec::new(),
        confidence,
        evidence: Vec::new(),
    }
}

/// What holds for every response: RFC 9132 sections 3 and 4.4.1.
pub fn check(answer: &Message) {
    if answer.block(23).is_some() || (answer.payload.is_empty() && (answer.code >> 5 == 2 || answer.code() == "4.06")) {
        return;
    }
    match answer.code >> 5 {
        2 => assert_eq!(answer.uint(12), Some(271), "a success has application/dots+cbor: {answer:?}"),
        _ if answer.code() == "4.09" => assert_eq!(answer.uint(12), Some(271)),
        _ => assert!(!answer.text().is_empty()),
    }
}
