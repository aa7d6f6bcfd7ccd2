//! What a search is about, in short.

pub mod table;

use dots_callhome::model::{Detail, PortRange, Scope, Tuple};

pub use super::home::*;
pub use super::kernel::{Kernel, Route, messages};
pub use super::router::TestRouter;

pub fn tuple(source: &str, destination: &str, protocol: u8, detail: Detail) -> Tuple {
    Tuple { source: ip(source), destination: ip(destination), protocol, detail, zone: 0 }
}

/// A request in short: `source source-ports > target target-ports / protocols`, ports and protocols comma separated or
/// left out with `-`.
pub fn scope(text: &str) -> Scope {
    let words: Vec<&str> = text.split_whitespace().filter(|word| !matches!(*word, ">" | "/")).collect();
    let [source, from, target, to, protocols] = words[..] else { panic!("{text}") };
    let list = |word: &str| -> Vec<String> { word.split(',').filter(|w| *w != "-").map(str::to_owned).collect() };
    let ranges = |word: &str| {
        let range = |text: &String| {
            let (lower, upper) = text.split_once('-').unwrap_or((text, text));
            PortRange::new(lower.parse().unwrap(), upper.parse().unwrap()).unwrap()
        };
        list(word).iter().map(range).collect::<Vec<_>>()
    };
    let prefixes = |word: &str| list(word).iter().map(|text| net(text)).collect::<Vec<_>>();
    Scope {
        source_prefixes: prefixes(source),
        source_ports: ranges(from),
        target_prefixes: prefixes(target),
        target_ports: ranges(to),
        target_protocols: list(protocols).iter().map(|text| text.parse().unwrap()).collect(),
        ..Scope::default()
    }
}
