//! What one provider may have the router hold and do, over all its requests: the undecided ones above all, for they cost
//! nobody's consent.
//!
//! All that a request costs grows with its parts: elements and rules in the kernel, what is sent there, the memory of the
//! daemon, and the time that each flow takes to be compared with it.

use crate::enforce::rules_per_target;
use crate::model::Scope;

/// Most parts of one request.
pub(super) const MOST_OF_REQUEST: usize = 512;
/// Most parts of all requests of a provider: 128 with eight parts each.
pub(super) const MOST_OF_PROVIDER: usize = 1024;
/// Suspects of a request, with their flows: all that fit, as long as the provider has few requests.
const MOST_SUSPECTS: usize = 64;
/// With many, each further one may have its share of these, but always some.
const SUSPECTS_OF_PROVIDER: usize = 512;
const FEWEST_SUSPECTS: usize = 4;
/// Bytes of names and URIs kept of a request; the first ones are.
const MOST_TEXT: usize = 512;

/// What a request goes beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    /// What a single one may have.
    Request,
    /// What its provider may have.
    Provider,
}

/// What a provider has taken of what it may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    taken: usize,
}

impl Budget {
    /// After these requests.
    pub(super) fn after<'a>(requests: impl Iterator<Item = &'a Scope>) -> Self {
        Self { taken: requests.map(parts).sum() }
    }

    /// What the next request would go beyond.
    pub(super) fn excess(self, scope: &Scope) -> Option<Excess> {
        let parts = parts(scope);
        if parts > MOST_OF_REQUEST {
            Some(Excess::Request)
        } else {
            (self.taken + parts > MOST_OF_PROVIDER).then_some(Excess::Provider)
        }
    }
}

/// Prefixes, ports, protocols and ICMP types, target prefixes as often as rules repeat them at the worst: where overlaps are
/// too many to be sorted out.
fn parts(scope: &Scope) -> usize {
    let sources = scope.source_prefixes.len() + scope.source_ports.len();
    let kinds = scope.target_ports.len() + scope.target_protocols.len() + scope.source_icmp_types.len();
    scope.target_prefixes.len() * rules_per_target(scope) + kinds + sources
}

/// Suspects kept of a request whose provider has so many, with this one. However often requests come and go, those with
/// many suspects are few.
pub(super) fn suspects(requests: usize) -> usize {
    (SUSPECTS_OF_PROVIDER / requests.max(1)).clamp(FEWEST_SUSPECTS, MOST_SUSPECTS)
}

/// The scope as it is kept: of the provider's texts, which nothing is done with but to show them, the first ones.
pub(super) fn kept(scope: &Scope) -> Scope {
    let mut room = MOST_TEXT;
    let mut first = |texts: &[String]| -> Vec<String> {
        let fits = |text: &&String| room.checked_sub(text.len()).inspect(|left| room = *left).is_some();
        texts.iter().take_while(fits).cloned().collect()
    };
    let (target_fqdns, target_uris) = (first(&scope.target_fqdns), first(&scope.target_uris));
    Scope { target_fqdns, target_uris, ..scope.without_names() }
}
