//! What an injector needs of the machine. What is not there is named; in CI that is a failure.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use globalshop::clock::Clock;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tokio::time::interval;

use crate::eventually::eventually;

/// Whether `program` can be run; otherwise says what does not run here and why.
pub fn has(what: &str, program: &str, package: &str) -> bool {
    let found = std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .chain(["/usr/sbin", "/sbin"].map(Into::into))
        .any(|folder| folder.join(program).is_file());
    found || missing(what, package)
}

/// Whether we are root; otherwise says what does not run here.
pub fn is_root(what: &str) -> bool {
    geteuid().is_root() || missing(what, "root")
}

/// Says that something does not run here. `false`, for the caller to leave with.
pub fn missing(what: &str, needs: &str) -> bool {
    assert_ne!(
        std::env::var("CI").as_deref(),
        Ok("true"),
        "not run here: {what} (needs {needs}); in CI everything must run"
    );
    println!("not run here: {what} (needs {needs})");
    false
}

/// Sends a signal to a process that may be gone already.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(fault) => panic!("{signal:?} to {pid:?}: {fault}"),
    }
}

/// Checks that something holds for as long as a fault lasts.
pub async fn holds_for(what: &str, lasts: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let clock = Clock::system();
    let until = clock.instant() + lasts;
    let mut beat = interval(Duration::from_millis(50));
    while clock.instant() < until {
        beat.tick().await;
        assert!(holds().await, "{what}: not any more");
    }
}

/// strace at work on processes, until dropped.
pub struct Traced(Child);

impl Traced {
    /// Has `calls` of these processes and of their children to come answer as `how` says, in strace's
    /// words (`delay_exit=50000`, `error=EIO:when=1`).
    pub async fn inject(pids: &[u32], calls: &str, how: &str) -> Self {
        eventually("strace holds every process", async || {
            // One that has ended meanwhile needs no holding.
            let alive: Vec<u32> = pids
                .iter()
                .copied()
                .filter(|pid| tracer_of(*pid).is_some())
                .collect();
            let mut traced = Self::begin(&alive, calls, how);
            let held = eventually("strace has begun", async || match traced.0.try_wait().unwrap() {
                Some(ended) => Ok(Err(ended)),
                None if alive.iter().all(|pid| tracer_of(*pid) != Some(0)) => Ok(Ok(())),
                None => Err("not yet"),
            });
            held.await.map(|()| traced)
        })
        .await
    }

    fn begin(pids: &[u32], calls: &str, how: &str) -> Self {
        let mut command = Command::new("strace");
        command
            .args(["-f", "-qq", "-o", "/dev/null", "-e"])
            .arg(format!("trace={calls}"))
            .arg("-e")
            .arg(format!("inject={calls}:{how}"));
        for pid in pids {
            command.arg("-p").arg(pid.to_string());
        }
        let silent = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(silent.spawn().unwrap())
    }
}

/// Which process traces this one, 0 for none; `None` when it is gone.
fn tracer_of(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    line.trim().parse().ok()
}

impl Drop for Traced {
    fn drop(&mut self) {
        // TERM, not KILL: it lets the processes go before it ends.
        signal(self.0.id(), Signal::TERM);
        self.0.wait().unwrap();
    }
}
