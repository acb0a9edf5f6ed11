//! What the shop takes of the machine: processor time and memory, seen from outside.
//!
//! A node on the same machine is looked at in `/proc`, its PostgreSQL with it; a node that is not
//! says in `/metrics` what its own process takes.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;

use super::LoadFault;
use super::client::{Call, Client};

/// Ticks of `/proc` in a second. It is 100 on every Linux a shop runs on (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// What a node had used up to a moment, and what it held then.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Processor seconds of the node.
    pub node_seconds: f64,
    /// Processor seconds of the processes it started: its PostgreSQL. Only known on the same machine.
    pub database_seconds: Option<f64>,
    /// Resident memory of the node, bytes.
    pub resident: u64,
}

/// Processor time of a stretch of a run, and what of it falls on one of the things that were done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cpu {
    /// Processor seconds of the node.
    pub node_seconds: f64,
    /// Processor seconds of its PostgreSQL, where it is a child of the node on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_seconds: Option<f64>,
    /// Processor milliseconds for each, of both.
    pub ms_each: f64,
}

impl Cpu {
    /// What was used between two looks, shared out among `count` things.
    #[must_use]
    pub fn between(before: Usage, after: Usage, count: u64) -> Self {
        let node = after.node_seconds - before.node_seconds;
        let database = match (before.database_seconds, after.database_seconds) {
            (Some(before), Some(after)) => Some(after - before),
            _ => None,
        };
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let each = (node + database.unwrap_or(0.0)) * 1_000.0 / count.max(1) as f64;
        Self {
            node_seconds: rounded(node),
            database_seconds: database.map(rounded),
            ms_each: rounded(each),
        }
    }
}

fn rounded(figure: f64) -> f64 {
    (figure * 1_000.0).round() / 1_000.0
}

/// Looks at a process of this machine, or asks the node for its own figures. `None` when it does not
/// tell them (to this address).
///
/// # Errors
/// When there is no such process, or the node does not answer.
pub async fn look(pid: Option<u32>, client: &mut Client) -> Result<Option<Usage>, LoadFault> {
    if let Some(pid) = pid {
        let found = look_here(Path::new("/proc"), pid);
        return found
            .map(Some)
            .ok_or_else(|| LoadFault::Unprepared(format!("there is no process {pid} on this machine")));
    }
    let answer = client
        .send(&Call::get("/metrics"))
        .await
        .map_err(LoadFault::Unreachable)?;
    let text = String::from_utf8_lossy(&answer.body);
    Ok(read_metrics(&text).filter(|_| answer.status.as_u16() == 200))
}

fn read_metrics(text: &str) -> Option<Usage> {
    let figure = |name: &str| -> Option<f64> {
        let line = text
            .lines()
            .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit(' ').next()?.parse().ok()
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bytes are whole and not negative"
    )]
    let resident = figure("process_resident_memory_bytes")? as u64;
    Some(Usage {
        node_seconds: figure("process_cpu_seconds_total")?,
        database_seconds: None,
        resident,
    })
}

fn look_here(proc: &Path, pid: u32) -> Option<Usage> {
    let processes = Processes::read(proc);
    let node = processes.0.get(&pid)?;
    let status = std::fs::read_to_string(proc.join(pid.to_string()).join("status")).ok()?;
    let kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?
        .trim_end_matches("kB")
        .trim()
        .parse()
        .ok()?;
    Some(Usage {
        node_seconds: node.own,
        database_seconds: Some(processes.below(pid)),
        resident: kib * 1_024,
    })
}

/// One process, as `/proc/<pid>/stat` shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Process {
    parent: u32,
    /// Processor seconds of its own.
    own: f64,
    /// Of children that have ended and were waited for.
    ended: f64,
}

impl Process {
    /// The name in the middle may hold spaces and parentheses; the figures stand behind the last one.
    fn read(stat: &str) -> Option<Self> {
        let (_, figures) = stat.rsplit_once(')')?;
        let figures: Vec<&str> = figures.split_ascii_whitespace().collect();
        let ticks = |index: usize| -> Option<f64> { figures.get(index)?.parse().ok() };
        Some(Self {
            parent: figures.get(1)?.parse().ok()?,
            own: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
            ended: (ticks(13)? + ticks(14)?) / TICKS_PER_SECOND,
        })
    }
}

struct Processes(HashMap<u32, Process>);

impl Processes {
    fn read(proc: &Path) -> Self {
        let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
        Self(
            entries
                .filter_map(|entry| {
                    let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
                    // A process may end between the two looks: then it is gone.
                    let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
                    Some((pid, Process::read(&stat)?))
                })
                .collect(),
        )
    }

    /// Processor seconds of everything that descends from a process.
    fn below(&self, pid: u32) -> f64 {
        let children = self.0.iter().filter(|(_, process)| process.parent == pid);
        children
            .map(|(child, process)| process.own + process.ended + self.below(*child))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 150 50 20 5 20 0 1 0 9 1 1";
        let expected = Process {
            parent: 3,
            own: 2.0,
            ended: 0.25,
        };
        assert_eq!(Process::read(stat), Some(expected));
        assert_eq!(Process::read("7 (a) S 3"), None);
    }

    #[test]
    fn what_a_node_started_counts_to_the_last_grandchild() {
        let process = |parent, own, ended| Process { parent, own, ended };
        let processes = Processes(HashMap::from([
            (1, process(0, 100.0, 0.0)),
            (2, process(1, 5.0, 9.0)),
            (3, process(2, 1.0, 0.5)),
            (4, process(3, 0.25, 0.0)),
            (5, process(1, 7.0, 0.0)),
        ]));
        assert!((processes.below(2) - 1.75).abs() < 1e-9);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let usage = look_here(Path::new("/proc"), std::process::id()).unwrap();
        assert!(usage.resident > 0 && usage.database_seconds.is_some());
        assert_eq!(look_here(Path::new("/proc"), u32::MAX), None);
    }

    #[test]
    fn a_node_elsewhere_says_it_in_its_metrics() {
        let text = "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 1.25\n\
                    process_resident_memory_bytes 4096\n";
        let usage = read_metrics(text).unwrap();
        assert_eq!((usage.resident, usage.database_seconds), (4_096, None));
        assert_eq!(read_metrics("process_cpu_seconds_total_more 1\n"), None);
        let later = Usage {
            node_seconds: 3.25,
            ..usage
        };
        let cpu = Cpu::between(usage, later, 400);
        assert!((cpu.ms_each - 5.0).abs() < 1e-9 && cpu.database_seconds.is_none());
    }
}
