//! The fuzz targets' seeds, run through the targets without a fuzzer: what one of them once broke stays mended.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "it is a library of its own to the fuzzer")]
mod targets;

/// The seeds of a target.
fn seeds(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("the entry is readable").path()).collect()
}

#[test]
fn every_seed_passes_its_target() {
    for (name, target) in targets::TARGETS {
        let seeds = seeds(name);
        assert!(seeds.len() >= 10, "{name} has hardly any seeds");
        for seed in seeds {
            let data = fs::read(&seed).expect("the seed is readable");
            if std::panic::catch_unwind(|| target(&data)).is_err() {
                panic!("{} fails", seed.display());
            }
        }
    }
}

#[test]
fn every_target_can_be_fuzzed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let manifest = fs::read_to_string(folder.with_file_name("Cargo.toml")).expect("fuzz/Cargo.toml");
    for (name, _) in targets::TARGETS {
        let text = fs::read_to_string(folder.join(name).with_extension("rs")).expect("a target's file");
        assert!(text.contains(&format!("staleguard_fuzz::{name}(data)")), "{name}");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
}
