//! The project's rules about what it depends on: licenses, sources, and one version of each. It takes the registry alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Licenses that ask for no more than to be named.
const LICENSES: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

/// Where every package that is not of this repository comes from.
const SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Packages of which there may be several versions, and why.
const DUPLICATES: [(&str, &str); 9] = [
    ("bit-set", "only tests: jsonschema and proptest have different ones"),
    ("bit-vec", "only tests: with bit-set, and rcgen writes DER with another"),
    ("getrandom", "with rand, and with ring"),
    ("hashbrown", "dashmap 6 has 0.14, and what indexmap and quick_cache share is newer"),
    ("r-efi", "only tests, and only on UEFI: with getrandom"),
    ("rand", "opentelemetry_sdk and stateright have 0.9; only tests: proptest has a newer one"),
    ("rand_core", "with rand"),
    ("windows-sys", "only on Windows, where this does not run: ring has 0.52"),
    ("syn", "only while building: derive macros are about to move to 3"),
];

/// Of each line at most one: two of them would be twice the code that secrets pass through.
const STACKS: [&[&str]; 2] = [
    &["rustls", "native-tls", "openssl", "boring", "s2n-tls", "mbedtls", "wolfssl"],
    &["ring", "aws-lc-rs", "openssl-sys", "boring-sys", "graviola"],
];

/// What cargo knows of every package in the lock file, on every platform.
fn packages() -> Vec<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    metadata["packages"].as_array().expect("a list").clone()
}

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

fn is_ours(package: &Value) -> bool {
    package["source"].is_null() && text(package, "name").starts_with("staleguard")
}

#[test]
fn every_license_is_one_that_asks_for_no_more_than_to_be_named() {
    let packages = packages();
    assert!(packages.len() > 50, "cargo knows the packages");
    for package in packages.iter().filter(|package| !is_ours(package)) {
        let license = text(package, "license");
        assert!(allows(license), "{}: {license:?}", text(package, "id"));
    }
}

#[test]
fn everything_comes_from_the_registry() {
    for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(lock);
        let lock: toml::Table = fs::read_to_string(path).expect("a lock file").parse().expect("TOML");
        for package in lock["package"].as_array().expect("a list") {
            let of = |key: &str| package.get(key).and_then(toml::Value::as_str).unwrap_or_default();
            let is_pinned = of("source") == SOURCE && of("checksum").len() == 64;
            let is_ours = package.get("source").is_none() && of("name").starts_with("staleguard");
            assert!(is_pinned || is_ours, "{package}");
        }
    }
}

#[test]
fn there_is_one_version_of_each() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let version = text(&package, "version").to_owned();
        versions.entry(text(&package, "name").to_owned()).or_default().insert(version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let excused: BTreeSet<&str> = DUPLICATES.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = versions.keys().map(String::as_str).collect();
    assert_eq!(found, excused, "several versions of one package, and those that are excused: {versions:?}");
}

#[test]
fn there_is_at_most_one_stack_for_tls_and_one_for_cryptography() {
    let packages = packages();
    for stacks in STACKS {
        let found: BTreeSet<&str> = packages
            .iter()
            .map(|package| text(package, "name"))
            .filter(|name| stacks.contains(name))
            .collect();
        assert!(found.len() <= 1, "{found:?}");
    }
}

#[test]
fn license_expressions_are_read() {
    for license in [
        "MIT",
        "MIT OR GPL-3.0",
        "GPL-3.0/MIT",
        "(GPL-3.0 OR MIT) AND Zlib",
        "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
        "MIT AND (Apache-2.0 OR GPL-3.0) AND ISC",
    ] {
        assert!(allows(license), "{license}");
    }
    for license in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR Zlib) AND GPL-3.0",
        "MIT OR",
        "(MIT",
        "MIT)",
        "MIT Zlib",
        "mit",
    ] {
        assert!(!allows(license), "{license}");
    }
}

/// Whether an SPDX expression can be met with the allowed licenses; `/` is how `OR` was written once.
fn allows(license: &str) -> bool {
    let spaced = license.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut words = words.as_slice();
    either(&mut words).unwrap_or(false) && words.is_empty()
}

fn either(words: &mut &[&str]) -> Option<bool> {
    let mut met = both(words)?;
    while skip(words, "OR") {
        met |= both(words)?;
    }
    Some(met)
}

fn both(words: &mut &[&str]) -> Option<bool> {
    let mut met = one(words)?;
    while skip(words, "AND") {
        met &= one(words)?;
    }
    Some(met)
}

fn one(words: &mut &[&str]) -> Option<bool> {
    if skip(words, "(") {
        let met = either(words)?;
        return skip(words, ")").then_some(met);
    }
    let (license, rest) = words.split_first()?;
    *words = rest;
    // An exception only takes obligations away.
    if skip(words, "WITH") {
        *words = words.split_first()?.1;
    }
    Some(LICENSES.contains(license))
}

fn skip(words: &mut &[&str], word: &str) -> bool {
    let is_next = words.first() == Some(&word);
    if is_next {
        *words = &words[1..];
    }
    is_next
}
