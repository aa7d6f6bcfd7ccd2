//! Compiles what counts the edges of C code.

fn main() {
    println!("cargo::rerun-if-changed=coverage.c");
    cc::Build::new().file("coverage.c").cargo_metadata(false).compile("coverage");
    let out = std::env::var("OUT_DIR").expect("cargo tells it");
    println!("cargo::rustc-link-search=native={out}");
    println!("cargo::rustc-link-lib=static:+whole-archive=coverage");
    // The fuzzer has one that counts nothing, and the first counts.
    println!("cargo::rustc-link-arg-bins=-Wl,--allow-multiple-definition");
}
