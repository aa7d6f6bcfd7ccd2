//! What the provider makes of a certificate: the router's name, and its own `cuid`.

use ring::digest::{SHA256, digest};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use webpki::EndEntityCert;

use super::x509;

/// The name a router authenticates with: the first DNS name of its certificate, else the fingerprint of its key in
/// hexadecimal; a raw public key has nothing but that.
pub fn name(shown: &CertificateDer<'_>) -> Option<String> {
    let certificate = EndEntityCert::try_from(shown).ok();
    let dns = certificate.as_ref().and_then(|certificate| certificate.valid_dns_names().next().map(str::to_owned));
    dns.or_else(|| Some(fingerprint(shown)?.iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// The client's unique identifier made of its own certificate or raw public key (RFC 9132 section 4.4.1).
pub fn cuid(own: &CertificateDer<'_>) -> Option<String> {
    Some(base64url(fingerprint(own)?.get(..16)?))
}

/// The identifier to go on with where another client has this one already. The same each time, so that it stays over a
/// restart.
pub fn another_cuid(taken: &str) -> String {
    base64url(digest(&SHA256, taken.as_bytes()).as_ref().get(..16).unwrap_or_default())
}

/// SHA-256 of the public key as it stands in the certificate.
fn fingerprint(shown: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let key = match EndEntityCert::try_from(shown) {
        Ok(certificate) => certificate.subject_public_key_info(),
        Err(_) => SubjectPublicKeyInfoDer::from(shown.as_ref()),
    };
    x509::is_public_key(&key).then(|| digest(&SHA256, &key).as_ref().try_into().ok())?
}

/// RFC 4648 section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, at| (bits << 8) | usize::from(chunk.get(at).copied().unwrap_or(0)));
        for digit in 0..=chunk.len() {
            text.extend(ALPHABET.get((bits >> (18 - 6 * digit)) & 63).map(|&letter| char::from(letter)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_has_22_characters_for_16_bytes() {
        assert_eq!(base64url(b"\xfb\xff\xfe"), "-__-");
        assert_eq!(base64url(b"M"), "TQ");
        assert_eq!(base64url(&[0; 16]).len(), 22);
    }
}
