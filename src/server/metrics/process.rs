//! What the kernel says of this process, under the names that Prometheus's own clients give it. Where there is no
//! `/proc`, nothing is said.

use std::fs;

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// In how many parts of a second Linux counts the time of processors, on every architecture that is still built for.
const TICKS: f64 = 100.0;

/// Registers what can be told at this moment.
pub(super) fn register(registry: &mut Registry) {
    let registry = registry.sub_registry_with_prefix("process");
    if let Some(seconds) = processor_seconds() {
        let counter = ConstCounter::new(seconds);
        registry.register_with_unit("cpu", "Time of processors that was used", Unit::Seconds, counter);
    }
    if let Some(bytes) = resident_bytes() {
        let gauge = ConstGauge::new(bytes);
        registry.register_with_unit("resident_memory", "Memory that is in use", Unit::Bytes, gauge);
    }
    if let Some(files) = open_files() {
        registry.register("open_fds", "Open files and sockets", ConstGauge::new(files));
    }
}

/// User and system time are the 14th and 15th words (proc_pid_stat(5)); the second may hold anything, in parentheses.
fn processor_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let words: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| words.get(at)?.parse::<u32>().ok();
    Some((f64::from(ticks(11)?) + f64::from(ticks(12)?)) / TICKS)
}

fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<i64>().ok()? * 1024)
}

fn open_files() -> Option<i64> {
    // One of them is the list itself.
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1)).ok()
}
