//! Compiles the shim of `src/transport/mbedtls`, against the system's Mbed TLS 3.6 where `MBEDTLS_DIR` names its prefix
//! (as on OpenWrt), else together with the library's source.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const SHIM: &str = "src/transport/mbedtls";
/// The crate that carries the source.
const SOURCE: &str = "mbedtls-rs-sys-0.3.1";
/// What of the library `config.h` needs.
const FILES: &str = "aes aesce aesni asn1parse asn1write bignum_mod bignum_mod_raw ccm chacha20 chachapoly cipher cipher_wrap \
    constant_time ecdh ecdsa ecp gcm md oid pk pk_ecc pk_wrap pkparse platform_util poly1305 rsa rsa_alt_helpers \
    sha256 sha512 ssl_ciphersuites ssl_client ssl_msg ssl_tls ssl_tls12_client ssl_tls12_server x509 x509_crt";
/// What a handshake spends its time in: a sixth of its instructions less, for 7 KB.
const FAST: &str = "bignum bignum_core ecp_curves";

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-changed={SHIM}");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rerun-if-env-changed=MBEDTLS_DIR");
    println!("cargo::rustc-check-cfg=cfg(mbedtls_source)");
    let mut build = cc::Build::new();
    build.std("c99");
    if env::var_os("CARGO_FEATURE_CLIENT").is_some() {
        build.define("DOTS_SERVER", None);
    }
    match env::var_os("MBEDTLS_DIR").map(PathBuf::from) {
        Some(prefix) => system(&mut build, &prefix),
        None => bundled(&mut build)?,
    }
    compile(build.file(format!("{SHIM}/shim.c")), "dots_shim")
}

fn system(build: &mut cc::Build, prefix: &Path) {
    build.include(prefix.join("include"));
    println!("cargo::rustc-link-search=native={}", prefix.join("lib").display());
    for library in ["mbedtls", "mbedx509", "mbedcrypto"] {
        println!("cargo::rustc-link-lib={library}");
    }
}

fn bundled(build: &mut cc::Build) -> Result<(), String> {
    let source = source()?.join("mbedtls");
    let config = env::current_dir().map_err(|error| error.to_string())?.join(SHIM).join("config.h");
    build.define("MBEDTLS_CONFIG_FILE", format!("\"{}\"", config.display()).as_str());
    build.include(source.join("include"));
    // Unoptimized, a handshake with RSA takes seconds.
    if env::var("OPT_LEVEL").is_ok_and(|level| level == "0") {
        build.opt_level(1);
    }
    let mut library = build.clone();
    library.include(source.join("library")).warnings(false).cargo_warnings(false);
    let files = |names: &str| -> Vec<PathBuf> {
        names.split_whitespace().map(|name| source.join("library").join(name).with_extension("c")).collect()
    };
    let mut fast = library.clone();
    compile(library.files(files(FILES)), "dots_mbedtls")?;
    compile(fast.opt_level(2).files(files(FAST)), "dots_mbedtls_fast")
}

fn compile(build: &cc::Build, name: &str) -> Result<(), String> {
    build.try_compile(name).map_err(|error| error.to_string())
}

/// Where Cargo has put the source. Cargo tells, and fetches it if need be, when asked for a target that has this cfg.
fn source() -> Result<PathBuf, String> {
    let variable = |name: &str| env::var(name).map_err(|_| format!("{name} is not set"));
    let output = Command::new(variable("CARGO")?)
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", &variable("HOST")?])
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "--cfg=mbedtls_source")
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let metadata = String::from_utf8_lossy(&output.stdout);
    let end = metadata.find(&format!("{SOURCE}/Cargo.toml\"")).ok_or_else(|| {
        format!("{SOURCE} is not to be had, and MBEDTLS_DIR not set\n{}", String::from_utf8_lossy(&output.stderr))
    })?;
    let start = metadata[..end].rfind('"').map_or(0, |quote| quote + 1);
    Ok(Path::new(&metadata[start..end]).join(SOURCE))
}
