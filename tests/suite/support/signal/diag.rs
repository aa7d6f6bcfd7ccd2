//! CBOR in diagnostic notation (RFC 8949 section 8), so that bodies can be read in tests: written to bytes, and read back
//! with the keys of maps in order. Independent of the code under test.

/// The bytes of an item such as `{1:{2:[{6:["2001:db8::/32"],14:-1}]}}`, `4([-2,150])`, `h'0102'` or `1.5`.
pub fn encode(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let rest = item(text.trim(), &mut out);
    assert!(rest.is_empty(), "left over: {rest}");
    out
}

/// The item in diagnostic notation.
pub fn decode(bytes: &[u8]) -> String {
    let (text, rest) = show(bytes);
    assert!(rest.is_empty(), "left over behind {text}: {rest:?}");
    text
}

/// The same item as [`decode`] would write it.
pub fn canonical(text: &str) -> String {
    decode(&encode(text))
}

pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Initial byte and argument in the shortest form.
pub fn head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let bytes = argument.to_be_bytes();
    let (info, tail) = match argument {
        0..24 => (argument as u8, &[][..]),
        24..0x100 => (24, &bytes[7..]),
        0x100..0x1_0000 => (25, &bytes[6..]),
        0x1_0000..0x1_0000_0000 => (26, &bytes[4..]),
        _ => (27, &bytes[..]),
    };
    out.push((major << 5) | info);
    out.extend_from_slice(tail);
}

/// Writes the first item of `text`; what stands behind it.
fn item<'a>(text: &'a str, out: &mut Vec<u8>) -> &'a str {
    for (word, byte) in [("false", 0xf4), ("true", 0xf5), ("null", 0xf6), ("undefined", 0xf7)] {
        if let Some(rest) = text.strip_prefix(word) {
            out.push(byte);
            return rest;
        }
    }
    match text.as_bytes()[0] {
        b'"' => {
            let (inner, rest) = text[1..].split_once('"').expect("a closing quote");
            head(3, inner.len() as u64, out);
            out.extend_from_slice(inner.as_bytes());
            rest
        }
        b'h' => {
            let (inner, rest) = text[2..].split_once('\'').expect("a closing quote");
            head(2, hex(inner).len() as u64, out);
            out.extend(hex(inner));
            rest
        }
        b'[' => container(4, &text[1..], ']', out),
        b'{' => container(5, &text[1..], '}', out),
        _ => number(text, out),
    }
}

fn container<'a>(major: u8, mut text: &'a str, end: char, out: &mut Vec<u8>) -> &'a str {
    let mut content = Vec::new();
    let mut count = 0;
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix(end) {
            head(major, count, out);
            out.extend(content);
            return rest;
        }
        text = item(text, &mut content);
        if major == 5 {
            text = item(text.strip_prefix(':').expect("a colon"), &mut content);
        }
        count += 1;
    }
}

fn number<'a>(text: &'a str, out: &mut Vec<u8>) -> &'a str {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '-' && c != '.').unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if let Some(inner) = rest.strip_prefix('(') {
        head(6, digits.parse().expect("a tag"), out);
        return item(inner, out).strip_prefix(')').expect("a closing parenthesis");
    }
    if digits.contains('.') {
        out.push(0xfb);
        out.extend_from_slice(&digits.parse::<f64>().expect("a float").to_be_bytes());
    } else if let Some(positive) = digits.strip_prefix('-') {
        head(1, (positive.parse::<u128>().expect("a number") - 1) as u64, out);
    } else {
        head(0, digits.parse().unwrap_or_else(|_| panic!("no item: {text}")), out);
    }
    rest
}

fn show(bytes: &[u8]) -> (String, &[u8]) {
    let (major, info) = (bytes[0] >> 5, bytes[0] & 31);
    let length = match info {
        0..24 => 0,
        24..28 => 1 << (info - 24),
        _ => panic!("no definite length"),
    };
    let (tail, mut rest) = bytes[1..].split_at(length);
    let argument =
        if length == 0 { info.into() } else { tail.iter().fold(0, |sum, &byte| (sum << 8) | u64::from(byte)) };
    let mut next = || {
        let (text, after) = show(rest);
        rest = after;
        text
    };
    let text = match major {
        0 => argument.to_string(),
        1 => (-1 - i128::from(argument)).to_string(),
        3 => {
            let (text, after) = rest.split_at(argument as usize);
            rest = after;
            format!("{:?}", std::str::from_utf8(text).expect("UTF-8"))
        }
        4 => format!("[{}]", (0..argument).map(|_| next()).collect::<Vec<_>>().join(",")),
        5 => {
            let mut entries: Vec<(String, String)> = (0..argument).map(|_| (next(), next())).collect();
            entries.sort_by_key(|(key, _)| key.parse::<u64>().unwrap_or(u64::MAX));
            format!("{{{}}}", entries.iter().map(|(k, v)| format!("{k}:{v}")).collect::<Vec<_>>().join(","))
        }
        6 => format!("{argument}({})", next()),
        7 if info == 20 || info == 21 => (info == 21).to_string(),
        _ => panic!("nothing DOTS sends: {:02x}", bytes[0]),
    };
    (text, rest)
}
