//! What the node's own process takes of the machine, in the words every Prometheus client uses.

use std::fmt::Write as _;

/// Ticks of `/proc` in a second: 100 on every Linux a node runs on (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// `process_cpu_seconds_total`, `process_resident_memory_bytes` and `process_open_fds` as Prometheus
/// text; empty where there is no `/proc`.
///
/// Written here and not by the recorder, because that counts in whole numbers and a second of the
/// processor is a long time.
#[must_use]
pub fn figures() -> String {
    let mut text = String::new();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some(seconds) = cpu_seconds(&stat) {
        write(&mut text, "process_cpu_seconds_total", "counter", seconds);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(bytes) = resident_bytes(&status) {
        write(&mut text, "process_resident_memory_bytes", "gauge", bytes);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        write(&mut text, "process_open_fds", "gauge", open.count() as f64);
    }
    text
}

fn write(text: &mut String, name: &str, kind: &str, value: f64) {
    let _ = write!(text, "# TYPE {name} {kind}\n{name} {value}\n\n");
}

/// The name of the process in the middle may hold anything; the figures stand behind the last
/// parenthesis.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, figures) = stat.rsplit_once(')')?;
    let mut figures = figures.split_ascii_whitespace().skip(11);
    let mut ticks = || -> Option<f64> { figures.next()?.parse().ok() };
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1_024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_as_the_kernel_writes_them() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 150 75 20 5 20 0 1 0 9 1 1";
        assert_eq!(cpu_seconds(stat), Some(2.25));
        assert_eq!(
            resident_bytes("Name:\tx\nVmRSS:\t    4096 kB\n"),
            Some(4_194_304.0)
        );
        assert_eq!((cpu_seconds(""), resident_bytes("")), (None, None));
        let text = figures();
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
        ] {
            assert!(text.contains(&format!("\n{name} ")), "{text}");
        }
    }
}
