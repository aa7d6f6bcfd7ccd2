//! Contents that come in blocks (RFC 7959 section 2.4).

use crate::coap::{Block, Code, Endpoint, Response};

/// As much as has come of one content.
#[derive(Default)]
pub(super) struct Assembly {
    body: Vec<u8>,
    etag: Option<Vec<u8>>,
}

/// What an answer makes of it.
pub(super) enum Piece {
    /// The content as a whole, or an answer that is none.
    Whole(Response),
    /// This block is to be asked for next.
    Next(Block, Assembly),
    /// The pieces are not of one content.
    Broken,
}

impl Assembly {
    /// Adds what an answer brings.
    pub(super) fn add(mut self, response: Response) -> Piece {
        let Some(block) = response.block2.filter(|_| response.code == Code::CONTENT) else {
            // The rest of something can't come without its number, nor as an error that says nothing of the whole.
            let is_whole = self.body.is_empty() || response.code == Code::NOT_FOUND;
            return if is_whole { Piece::Whole(response) } else { Piece::Broken };
        };
        let begin = usize::try_from(block.number).ok().and_then(|number| number.checked_mul(block.size()));
        let is_other = !self.body.is_empty() && self.etag != response.etag;
        if begin != Some(self.body.len()) || response.payload.is_empty() || is_other {
            return Piece::Broken;
        }
        self.body.extend(&response.payload);
        if !block.more {
            return Piece::Whole(Response { payload: self.body, ..response });
        }
        let next = u32::try_from(self.body.len() / block.size()).ok();
        let Some(number) = next.filter(|_| self.body.len() <= Endpoint::max_body()) else { return Piece::Broken };
        self.etag = response.etag;
        Piece::Next(Block { number, more: false, szx: block.szx }, self)
    }
}
