//! Ends what an earlier node on this folder has left running.
//!
//! A node that was killed asks its server to stop (the kernel sees to that), but the server may
//! still be writing its checkpoint; and when the server was killed as well, its backends may be
//! alive for a while and hold its shared memory. Starting beside them is impossible at best.
//!
//! Only processes that carry the name of *this* cluster are ever signalled. The caller holds the
//! lock of the folder, so none of them belongs to a living node.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{interval, timeout};

use super::EmbeddedFault;
use super::folder::Folder;

const POLL: Duration = Duration::from_millis(20);
/// How long each way of asking is given.
const STEPS: [(Signal, Duration); 3] = [
    (Signal::INT, Duration::from_secs(30)),
    (Signal::QUIT, Duration::from_secs(2)),
    (Signal::KILL, Duration::from_secs(5)),
];

/// A process of this cluster.
#[derive(Debug, PartialEq, Eq)]
struct Leftover {
    pid: i32,
    /// The postmaster, or one that is about to become it; the others end with it.
    leads: bool,
}

/// Ends all processes of this cluster and removes the marks that would keep a new server from
/// starting.
pub(super) async fn end(folder: &Folder) -> Result<(), EmbeddedFault> {
    for (signal, patience) in STEPS {
        let found = leftovers(folder);
        if found.is_empty() {
            break;
        }
        // A server stops its own backends, cleanly. Without one they are told themselves; they
        // would take SIGINT for the cancellation of a query.
        let led = found.iter().any(|process| process.leads);
        let polite = signal == Signal::INT;
        if polite && !led {
            continue;
        }
        tracing::info!(
            ?signal,
            processes = found.len(),
            "ending what an earlier PostgreSQL has left"
        );
        for process in found.iter().filter(|process| process.leads || !polite) {
            send(process.pid, signal);
        }
        if timeout(patience, until_gone(folder)).await.is_ok() {
            break;
        }
    }

    let undead: Vec<i32> = leftovers(folder).iter().map(|process| process.pid).collect();
    if !undead.is_empty() {
        return Err(EmbeddedFault::Undead {
            folder: folder.root().into(),
            pids: undead,
        });
    }
    remove_stale_marks(folder)
}

async fn until_gone(folder: &Folder) {
    let mut poll = interval(POLL);
    while !leftovers(folder).is_empty() {
        poll.tick().await;
    }
}

fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid)
        && let Err(fault) = kill_process(pid, signal)
    {
        tracing::debug!(%fault, ?pid, ?signal, "could not be signalled, or is gone");
    }
}

fn leftovers(folder: &Folder) -> Vec<Leftover> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let leads = role_in(folder.cluster_name(), &command_line(pid))?;
            Some(Leftover { pid, leads })
        })
        .collect()
}

/// The arguments of a process. A zombie has none.
fn command_line(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect()
}

/// Whether a process belongs to the cluster of that name, and if so whether it leads it.
fn role_in(cluster_name: &str, command_line: &[String]) -> Option<bool> {
    let program = command_line.first()?;
    if let Some(title) = program.strip_prefix("postgres: ") {
        return title
            .strip_prefix(cluster_name)?
            .starts_with(": ")
            .then_some(false);
    }
    let named = format!("cluster_name={cluster_name}");
    let runs_it = is_program(program, "postgres") || is_program(program, "setpriv");
    (runs_it && command_line.contains(&named)).then_some(true)
}

fn is_program(argument: &str, name: &str) -> bool {
    Path::new(argument).file_name().is_some_and(|file| file == name)
}

/// PostgreSQL takes its lock files for valid while the process id in them exists, even as a
/// zombie or as somebody else's. We know better: nothing of this cluster runs any more.
fn remove_stale_marks(folder: &Folder) -> Result<(), EmbeddedFault> {
    let mark = folder.cluster().join("postmaster.pid");
    let noted = fs::read_to_string(&mark).unwrap_or_default();
    if let Some(pid) = noted.lines().next().and_then(|line| line.trim().parse().ok())
        && runs_by_hand(folder, pid)
    {
        return Err(EmbeddedFault::Foreign {
            folder: folder.cluster(),
            pid,
        });
    }
    let sockets = fs::read_dir(folder.sockets())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    for path in sockets.chain([mark]) {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(EmbeddedFault::Folder {
                    doing: "remove",
                    path,
                    source,
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a server without our name runs on the cluster: somebody started it with `pg_ctl`. When
/// in doubt it does, for two servers on one cluster would destroy it.
fn runs_by_hand(folder: &Folder, pid: i32) -> bool {
    let arguments = command_line(pid);
    let is_server = arguments
        .first()
        .is_some_and(|program| is_program(program, "postgres"));
    let serves_another_shop = arguments
        .iter()
        .any(|argument| argument.starts_with("cluster_name=globalshop-"));
    let place = fs::read_link(format!("/proc/{pid}/cwd"));
    let elsewhere = match (place, folder.cluster().canonicalize()) {
        (Ok(place), Ok(cluster)) => place != cluster,
        _ => false,
    };
    is_server && !serves_another_shop && !elsewhere
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(line: &[&str]) -> Option<bool> {
        let line: Vec<String> = line.iter().map(|argument| (*argument).to_owned()).collect();
        role_in("globalshop-fe01-2a", &line)
    }

    #[test]
    fn knows_the_processes_of_its_cluster_and_no_others() {
        assert_eq!(
            role(&[
                "/usr/lib/postgresql/15/bin/postgres",
                "-c",
                "cluster_name=globalshop-fe01-2a"
            ]),
            Some(true)
        );
        assert_eq!(
            role(&[
                "/usr/bin/setpriv",
                "--",
                "postgres",
                "cluster_name=globalshop-fe01-2a"
            ]),
            Some(true)
        );
        assert_eq!(
            role(&["postgres: globalshop-fe01-2a: checkpointer "]),
            Some(false)
        );

        assert_eq!(role(&["postgres: globalshop-fe01-2ab: checkpointer "]), None);
        assert_eq!(role(&["postgres: checkpointer "]), None);
        assert_eq!(
            role(&["/usr/lib/postgresql/15/bin/postgres", "-D", "/var/lib/postgresql"]),
            None
        );
        assert_eq!(role(&["grep", "cluster_name=globalshop-fe01-2a"]), None);
        assert_eq!(role(&[""]), None);
    }
}
