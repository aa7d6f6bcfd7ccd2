//! Block-wise transfer (RFC 7959): large bodies in pieces.

use super::message::{BERT, Block, Code, Request, Response};

/// Whether a response goes in blocks: because the peer wishes so, or because it is larger than `limit` bytes.
pub fn is_cut(response: &Response, asked: Option<Block>, limit: usize) -> bool {
    asked.is_some() || response.payload.len() > limit
}

/// Cuts the block `asked` of at most `limit` bytes out of a response, or without a wish the first. Entity tag and size go
/// along.
///
/// A block beyond the end is 4.00 (RFC 7959 section 2.4 leaves the code open).
pub fn cut(response: &Response, asked: Option<Block>, limit: usize) -> Response {
    let length = response.payload.len();
    let asked = asked.unwrap_or(Block { number: 0, more: false, szx: 6 });
    let most = (0..=6).rev().find(|szx| 1 << (szx + 4) <= limit).unwrap_or(0);
    let szx = asked.szx.min(most);
    let whole = Block { szx, ..asked };
    // A smaller block than asked for is only numbered alike at the very beginning.
    let number = if asked.szx.min(6) == szx { asked.number } else { asked.number << (asked.szx.min(6) - szx) };
    let start = usize::try_from(number).unwrap_or(usize::MAX).saturating_mul(whole.size());
    let end = start.saturating_add(whole.size()).min(length);
    let Some(piece) = response.payload.get(start..end).filter(|piece| !piece.is_empty() || number == 0) else {
        return Response::text(Code::BAD_REQUEST, "no such block");
    };
    Response {
        block2: Some(Block { number, more: end < length, szx }),
        size2: u32::try_from(length).ok(),
        etag: Some(response.etag.clone().unwrap_or_else(|| etag(&response.payload))),
        payload: piece.to_vec(),
        ..*response
    }
}

/// An entity tag from the content (FNV-1a): it only has to differ when the content does.
pub fn etag(content: &[u8]) -> Vec<u8> {
    let hash = content
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash.to_be_bytes().to_vec()
}

/// A request body that arrives in blocks.
#[derive(Debug, Default)]
pub struct Assembly {
    /// The path it is for.
    path: Vec<String>,
    body: Vec<u8>,
}

impl Assembly {
    /// Adds the block of a request, whose payload becomes the whole body once it is the last one; tells whether it is. A
    /// request without blocks is whole, one for another path begins a new body. A block that comes once more, as
    /// non-confirmable ones do until they are answered, is answered once more.
    ///
    /// # Errors
    /// The response to give: 4.08 when a block is missing, 4.13 beyond `limit` bytes, 4.00 for a block of a wrong size.
    pub fn handle_request(&mut self, request: &mut Request, limit: usize) -> Result<bool, Response> {
        let Some(block) = request.block1 else { return Ok(true) };
        if self.path != request.path || block.number == 0 {
            self.path.clone_from(&request.path);
            self.body.clear();
        }
        let payload = &request.payload;
        let start = usize::try_from(block.number).unwrap_or(usize::MAX).saturating_mul(block.size());
        if block.more && !payload.is_empty() && self.body.get(start..) == Some(payload) {
            return Ok(false);
        }
        if start != self.body.len() {
            return Err(Response::text(Code::INCOMPLETE, "a block is missing"));
        }
        if !is_full(block, payload.len()) {
            return Err(Response::text(Code::BAD_REQUEST, "block size and payload disagree"));
        }
        let announced = request.size1.and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
        if start.saturating_add(payload.len()).max(announced) > limit {
            self.body = Vec::new();
            let size1 = u32::try_from(limit).ok();
            return Err(Response { size1, ..Response::text(Code::TOO_LARGE, "the body is too large") });
        }
        self.body.extend_from_slice(payload);
        if !block.more {
            request.payload = std::mem::take(&mut self.body);
        }
        Ok(!block.more)
    }
}

/// Whether a block has as many bytes of payload as its option says; the last may have fewer.
fn is_full(block: Block, length: usize) -> bool {
    match (block.szx < BERT, block.more) {
        (true, true) => length == block.size(),
        (true, false) => length <= block.size(),
        (false, true) => length > 0 && length.is_multiple_of(block.size()),
        (false, false) => true,
    }
}
