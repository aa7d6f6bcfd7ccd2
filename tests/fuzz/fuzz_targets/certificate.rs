#![no_main]
//! Whatever a peer shows as its certificate or key, reading it gives an answer: its name, its identifier, its dates.

use dots_callhome::transport::credentials::Identity;
use dots_callhome::transport::identity;
use libfuzzer_sys::fuzz_target;
use rustls::pki_types::CertificateDer;

const KEY: &[u8] = include_bytes!("../seeds/credentials/pair.pem");
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fuzz_target!(|der: &[u8]| {
    let shown = CertificateDer::from(der);
    let name = identity::name(&shown);
    assert!(name.is_none_or(|name| !name.is_empty()));
    let _ = identity::cuid(&shown);
    if let Ok(identity) = Identity::read(&pem(der), KEY) {
        let _ = identity.valid_until(1_781_481_600);
    }
});

/// As it stands in a file.
fn pem(der: &[u8]) -> Vec<u8> {
    let mut text = b"-----BEGIN CERTIFICATE-----\n".to_vec();
    for piece in der.chunks(3) {
        let bits = piece.iter().fold(0, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - piece.len()));
        let digits = [18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift & 63) as usize]);
        text.extend(digits.iter().take(piece.len() + 1));
        text.extend(&b"=="[..3 - piece.len()]);
    }
    text.extend(b"\n-----END CERTIFICATE-----\n");
    text
}
