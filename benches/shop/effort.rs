//! What a shop has worked: processor time of its processes, as the system counts it. Unlike a rate it
//! hardly changes when others use the machine.

use std::collections::HashMap;
use std::ops::Sub;
use std::time::Duration;

/// Processor time of a node and of its PostgreSQL.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effort {
    pub node: Duration,
    pub postgres: Duration,
}

impl Sub for Effort {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            node: self.node.saturating_sub(before.node),
            postgres: self.postgres.saturating_sub(before.postgres),
        }
    }
}

impl Effort {
    /// How much each of `count` cost, in words.
    #[allow(clippy::cast_precision_loss, reason = "a bench's figures have three digits")]
    pub fn each(self, count: usize) -> String {
        let each = |part: Duration| {
            let micros = part.as_secs_f64() * 1e6 / count.max(1) as f64;
            if micros < 1_000.0 {
                format!("{micros:.0} µs")
            } else {
                format!("{:.1} ms", micros / 1_000.0)
            }
        };
        format!("node {}, PostgreSQL {}", each(self.node), each(self.postgres))
    }
}

/// The processor time of process `node` and of everything below it, which is its PostgreSQL; what
/// has ended there is counted by whoever waited for it.
pub fn effort(node: u32) -> Effort {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut ticks = HashMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended meanwhile.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        // proc(5): the name in parentheses may hold anything; after it come state and parent.
        let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
        let field = |number: usize| fields[number - 3].parse::<u64>().unwrap();
        children
            .entry(u32::try_from(field(4)).unwrap())
            .or_default()
            .push(pid);
        ticks.insert(pid, (field(14) + field(15), field(16) + field(17)));
    }
    // Linux counts in hundredths of a second for everyone who reads this file.
    let time = |ticks: u64| Duration::from_millis(ticks * 10);
    let mut below: Vec<u32> = children.get(&node).cloned().unwrap_or_default();
    let mut postgres = 0;
    while let Some(pid) = below.pop() {
        let (own, reaped) = ticks[&pid];
        postgres += own + reaped;
        below.extend(children.get(&pid).into_iter().flatten());
    }
    Effort {
        node: time(ticks[&node].0),
        postgres: time(postgres),
    }
}
