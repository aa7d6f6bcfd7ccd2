//! What is asked of nf_tables and read from it, in the kernel's own bytes (recorded from Linux 6.18 on a little-endian machine).

use dots_callhome::model::{Mac, Traffic};
use dots_callhome::netlink::nftables::{Element, Family, Message, elements, messages, rules, touches};

/// Two elements of `m7`: one with counter and timeout, one with a counter only; then the end of the list.
const COUNTED: &str = "cc0000000c0a020005000000e229c2be0100000212000100646f74735f63616c6c686f6d65000000070002006d3700009c\
    00030040000100100001000a00010002000000000c00002c0007000c000100636f756e746572001c0002000c0001000000000000000000\
    0c000200000000000000000058000100100001000a00010002000000000b00002c0007000c000100636f756e746572001c0002000c0001\
    0000000000000003840c00020000000000000000070c000400000000000036ee800c000500000000000036ee48";
/// One element of `accused`, which has no counters.
const PLAIN: &str = "640000000c0a020005000000e229c2be0100000212000100646f74735f63616c6c686f6d650000000c000200616363757365\
    6400300003002c000100100001000a00010002000000000b00000c000400000000000036ee800c000500000000000036ee48";
const END: &str = "340000000c0a020005000000e229c2be0100000212000100646f74735f63616c6c686f6d65000000070002006d370000040003\
    00140000000300020005000000e229c2be00000000";
/// There is no such set.
const MISSING: &str = "480000000200000005000000e229c2befeffffff340000000d0a010305000000000000000100000012000100646f74735f\
    63616c6c686f6d65000000090002006e6f6e6500000000";
/// The table has been deleted, and the event that closes every transaction.
const DELETED: &str = "3c000000020a000001000000411800000100000312000100646f74735f63616c6c686f6d65000000080003000000000\
    00c0004000000000000000001";
const GENERATION: &str = "2c0000000f0a000001000000411800000000000308000100000000030800020000001841080003006e667400";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let recorded = digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
    let mut bytes: Vec<u8> = recorded.collect();
    if cfg!(target_endian = "big") {
        turn_messages(&mut bytes);
    }
    bytes
}

/// The same messages as the kernel of a big-endian machine sends them: headers and errors are in the machine's own order,
/// what attributes hold is not.
fn turn_messages(mut bytes: &mut [u8]) {
    while !bytes.is_empty() {
        let length = usize::try_from(u32::from_le_bytes(bytes[..4].try_into().unwrap())).unwrap();
        let (message, rest) = bytes.split_at_mut(length.next_multiple_of(4).min(bytes.len()));
        let header_of = |at: usize| [(at, 4), (at + 4, 2), (at + 6, 2), (at + 8, 4), (at + 12, 4)];
        // Of what an error is about only the header follows it.
        let is_error = message[4..6] == [2, 0];
        let error = [(16, 4)].into_iter().chain(header_of(20)).filter(|_| is_error);
        for (at, size) in header_of(0).into_iter().chain(error) {
            message[at..at + size].reverse();
        }
        if !is_error && length > 20 {
            turn_attributes(&mut message[20..length]);
        }
        bytes = rest;
    }
}

/// Attributes are turned, and those in them; values are left alone. None here looks like an attribute.
fn turn_attributes(mut bytes: &mut [u8]) {
    while let [low, high, _, _, ..] = *bytes {
        let length = usize::from(u16::from_le_bytes([low, high]));
        if length < 4 || length > bytes.len() {
            return;
        }
        let (attribute, rest) = bytes.split_at_mut(length.next_multiple_of(4).min(bytes.len()));
        attribute[..2].reverse();
        attribute[2..4].reverse();
        turn_attributes(&mut attribute[4..length]);
        bytes = rest;
    }
}

fn read(datagram: &[u8]) -> Vec<(u32, Message)> {
    messages(datagram).collect()
}

#[test]
fn asks_for_the_elements_of_a_set() {
    let request = "2f0000000d0a010305000000000000000100000012000100646f74735f63616c6c686f6d65000000070002006d3700";
    assert_eq!(elements(Family::Inet, "dots_callhome", "m7", 5), bytes(request));
}

#[test]
fn asks_for_the_rules_of_a_table() {
    let request = "26000000070a010309000000000000000700000012000100646f74735f63616c6c686f6d6500";
    assert_eq!(rules(Family::Bridge, "dots_callhome", 9), bytes(request));
}

/// Counters are big-endian in the kernel's messages.
#[test]
fn reads_elements_and_their_counters() {
    let element = |last, counted| Element { mac: Mac([2, 0, 0, 0, 0, last]), place: None, counted };
    let listed = vec![element(0x0c, Some(Traffic::default())), element(0x0b, Some(Traffic { packets: 7, bytes: 900 }))];
    assert_eq!(read(&bytes(COUNTED)), [(5, Message::Elements(listed))]);
    assert_eq!(read(&bytes(PLAIN)), [(5, Message::Elements(vec![element(0x0b, None)]))]);
    assert_eq!(read(&bytes(END)), [(5, Message::Elements(vec![])), (5, Message::Done)]);
}

/// A list that breaks off is no list.
#[test]
fn reads_errors() {
    assert_eq!(read(&bytes(MISSING)), [(5, Message::Error(2))]);
    let mut broken_off = bytes(&END[END.len() - 40..]);
    broken_off[16..].copy_from_slice(&(-4_i32).to_ne_bytes());
    assert_eq!(read(&broken_off), [(5, Message::Error(4))]);
}

#[test]
fn hears_of_a_table() {
    let both = [bytes(GENERATION), bytes(DELETED)].concat();
    assert!(touches(&both, "dots_callhome"));
    assert!(!touches(&both, "dots"));
    assert!(!touches(&bytes(GENERATION), "dots_callhome"));
    assert!(touches(&bytes(COUNTED), "dots_callhome"));
}

/// Whatever is cut off or damaged is left out; nothing is made up and nothing breaks.
#[test]
fn survives_damaged_datagrams() {
    let whole: Vec<u8> = [COUNTED, PLAIN, END, MISSING, DELETED, GENERATION].map(bytes).concat();
    let first = bytes(COUNTED).len();
    for length in 0..whole.len() {
        let seen = read(&whole[..length]);
        assert!(length >= first || seen.is_empty());
        assert!(seen.len() <= 8);
        touches(&whole[..length], "dots_callhome");
    }
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..20_000 {
        let mut damaged = whole.clone();
        for _ in 0..3 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let bit = state as usize % (damaged.len() * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(read(&damaged).len() <= whole.len() / 16);
        touches(&damaged, "dots_callhome");
    }
}
