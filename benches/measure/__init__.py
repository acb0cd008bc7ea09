"""Measures Staleguard: what benches/gates and benches/compare share, in files of one noun each."""
