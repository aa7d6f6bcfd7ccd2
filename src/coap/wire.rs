//! Reading a message by the rules of RFC 7252 section 3, which the library is lax about: token length, options that end
//! within the message, and a payload behind a payload marker.

use coap_lite::{CoapOption, MessageType, Packet};

use super::message::{Token, packet};

/// Options of one message. A DOTS request has a dozen; the bound keeps a message of nothing else cheap.
const MOST_OPTIONS: usize = 64;

/// Reads a datagram of version 1; nothing for a message format error.
pub(super) fn parse(datagram: &[u8]) -> Option<Packet> {
    let (&[first, code, high, low], rest) = datagram.split_first_chunk()?;
    let token_length = Some(usize::from(first & 15)).filter(|length| *length <= 8)?;
    let (token, mut rest) = rest.split_at_checked(token_length)?;
    if code == 0 && !(token.is_empty() && rest.is_empty()) {
        return None;
    }
    let mut message = packet(code, &Token(token.to_vec()), Vec::new());
    message.header.message_id = u16::from_be_bytes([high, low]);
    message.header.set_type(match (first >> 4) & 3 {
        0 => MessageType::Confirmable,
        1 => MessageType::NonConfirmable,
        2 => MessageType::Acknowledgement,
        _ => MessageType::Reset,
    });
    let mut number = 0;
    let mut count = 0;
    while let Some((&byte, after)) = rest.split_first() {
        if byte == 0xff {
            message.payload = Some(after.to_vec()).filter(|payload| !payload.is_empty())?;
            break;
        }
        let (delta, after) = extended(byte >> 4, after)?;
        let (length, after) = extended(byte & 15, after)?;
        let (value, after) = after.split_at_checked(length)?;
        number = u16::try_from(usize::from(number) + delta).ok()?;
        count += 1;
        if count > MOST_OPTIONS {
            return None;
        }
        message.add_option(CoapOption::from(number), value.to_vec());
        rest = after;
    }
    Some(message)
}

/// A delta or length, of which the nibble is the beginning, and what comes behind it.
fn extended(nibble: u8, rest: &[u8]) -> Option<(usize, &[u8])> {
    match nibble {
        13 => rest.split_first().map(|(&byte, rest)| (usize::from(byte) + 13, rest)),
        14 => rest.split_first_chunk().map(|(bytes, rest)| (usize::from(u16::from_be_bytes(*bytes)) + 269, rest)),
        15 => None,
        short => Some((short.into(), rest)),
    }
}
