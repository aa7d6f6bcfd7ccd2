//! Files of PEM blocks (RFC 7468), and what people put in their place. A byte order mark in front of a line, indentation and any
//! kind of line ends are passed over, as all text outside of blocks is; what else is no text is named.

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{PemObject, SectionKind};

use super::fault::Fault;

/// U+FEFF in UTF-8, with which some editors begin a file; two files put together have it in the middle.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Characters of a label that are shown.
const SHOWN: usize = 40;

/// What stands between BEGIN and END, and these lines.
pub(super) struct Block {
    label: String,
    lines: Vec<u8>,
}

impl Block {
    /// What is encoded in it; nothing where it is damaged.
    fn content(&self) -> Option<Vec<u8>> {
        <(SectionKind, Vec<u8>)>::from_pem_slice(&self.lines).ok().map(|(_, content)| content)
    }

    fn is_encrypted(&self) -> bool {
        // RFC 1421 section 4.6.1.1, as OpenSSL's older form of keys has it.
        self.label == "ENCRYPTED PRIVATE KEY" || self.lines.windows(10).any(|bytes| bytes == b"\nProc-Type")
    }

    fn add(&mut self, line: &[u8]) {
        self.lines.extend(line);
        self.lines.push(b'\n');
    }
}

/// Text without a byte order mark.
///
/// # Errors
/// [`Fault::Utf16`], [`Fault::ZeroBytes`]
pub(super) fn text(content: &[u8]) -> Result<&[u8], Fault> {
    match content {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=0xff, ..] | [1..=0xff, 0, ..] => Err(Fault::Utf16),
        _ if content.contains(&0) => Err(Fault::ZeroBytes),
        _ => Ok(content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content)),
    }
}

/// All blocks.
///
/// # Errors
/// [`Fault::Binary`], [`Fault::Utf16`], [`Fault::ZeroBytes`]
fn blocks(content: &[u8]) -> Result<Vec<Block>, Fault> {
    // A sequence with the long form of a length, as all of DER and PKCS #12 begin.
    if let [0x30, 0x80..=0xff, ..] = content {
        return Err(Fault::Binary);
    }
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for line in text(content)?.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let mut line = line.trim_ascii();
        while let Some(rest) = line.strip_prefix(BYTE_ORDER_MARK) {
            line = rest.trim_ascii();
        }
        if let Some(label) = label(line, b"-----BEGIN ") {
            is_open = true;
            blocks.push(Block { label, lines: Vec::new() });
        }
        if let Some(block) = blocks.last_mut().filter(|_| is_open) {
            is_open = label(line, b"-----END ").is_none();
            block.add(line);
        }
    }
    Ok(blocks)
}

fn label(line: &[u8], mark: &[u8]) -> Option<String> {
    let label = line.strip_prefix(mark)?.strip_suffix(b"-----")?;
    Some(String::from_utf8_lossy(label).into_owned())
}

/// Each certificate; nothing for one that is damaged.
///
/// # Errors
/// [`Fault::NoCertificate`], [`Fault::Instead`], and as of [`text`].
pub(super) fn certificates(content: &[u8]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
    all(content, "CERTIFICATE", Fault::NoCertificate)
}

/// Each public key; nothing for one that is damaged.
///
/// # Errors
/// [`Fault::NoPublicKey`], [`Fault::Instead`], and as of [`text`].
pub(super) fn public_keys(content: &[u8]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
    all(content, "PUBLIC KEY", Fault::NoPublicKey)
}

fn all(content: &[u8], label: &str, none: Fault) -> Result<Vec<Option<Vec<u8>>>, Fault> {
    let blocks = blocks(content)?;
    let wanted: Vec<_> = blocks.iter().filter(|block| block.label == label).map(Block::content).collect();
    if wanted.is_empty() { Err(instead(&blocks, none)) } else { Ok(wanted) }
}

/// What is in each block of another kind; nothing for one that is damaged.
///
/// # Errors
/// As of [`text`].
#[cfg(feature = "client")]
pub(super) fn blocks_of(content: &[u8], label: &str) -> Result<Vec<Option<Vec<u8>>>, Fault> {
    Ok(blocks(content)?.iter().filter(|block| block.label == label).map(Block::content).collect())
}

/// The first private key.
///
/// # Errors
/// [`Fault::NoKey`], [`Fault::Encrypted`], [`Fault::Instead`], and as of [`text`].
pub(super) fn private_key(content: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    let blocks = blocks(content)?;
    let is_key = |block: &&Block| matches!(block.label.as_str(), "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY");
    match blocks.iter().find(|block| is_key(block) && !block.is_encrypted()) {
        Some(block) => PrivateKeyDer::from_pem_slice(&block.lines).map_err(|_| Fault::BadKey),
        None if blocks.iter().any(Block::is_encrypted) => Err(Fault::Encrypted),
        None => Err(instead(&blocks, Fault::NoKey)),
    }
}

/// Something else is in the file than it is named for.
fn instead(blocks: &[Block], none: Fault) -> Fault {
    let found = blocks.first().map(|block| match block.label.as_str() {
        "CERTIFICATE" => "a certificate".to_owned(),
        "PUBLIC KEY" => "a public key".to_owned(),
        label if label.ends_with("CERTIFICATE REQUEST") => "the request for a certificate".to_owned(),
        label if label.starts_with("OPENSSH") => "a key in the form of OpenSSH".to_owned(),
        label if label.ends_with("PRIVATE KEY") => "a private key".to_owned(),
        label => format!("a block '{}'", label.chars().take(SHOWN).collect::<String>()),
    });
    found.map_or(none.clone(), |found| Fault::Instead { wanted: none.wanted(), found })
}
