//! Answers that are not given at once: one waits for the search of the home, one goes block by block.

use std::time::Instant;

use super::observers::Subject;
use crate::coap::{Block, Exchange, Response};
use crate::model::MitigationId;

/// A new request whose answer waits for the search.
pub(super) struct SeparateResponse {
    pub(super) id: MitigationId,
    pub(super) exchange: Exchange,
    pub(super) block1: Option<Block>,
    pub(super) due: Instant,
}

/// A content that goes block by block, as it was at the first: it changes every second.
pub(super) struct Transfer {
    pub(super) subject: Subject,
    pub(super) content: Response,
    pub(super) until: Instant,
}
