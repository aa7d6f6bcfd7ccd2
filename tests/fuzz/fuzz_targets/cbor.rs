#![no_main]
//! Any bytes are one CBOR item of bounded depth or refused, and what is read can be written and read again.

use dots_callhome::signal::cbor::Value;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = Value::decode(data) {
        let written = value.encode();
        assert_eq!(Value::decode(&written).map(|value| value.encode()), Ok(written));
    }
});
