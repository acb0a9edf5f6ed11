//! The server process: spawned, listened to, signalled and always waited for.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::folder::Folder;
use super::{EmbeddedFault, PORT};

/// How many lines of the server's log are kept to explain its death.
const LAST_WORDS: usize = 12;
/// How long the harsher signals may take. The second one cannot be refused.
const QUIT_WITHIN: Duration = Duration::from_secs(5);

/// What the server is told, and why it differs from PostgreSQL's defaults. Durability is checked
/// after the start instead of forced here, so that nobody's explicit wish is silently overruled.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", ""), // no TCP: the socket is the only way in
    ("unix_socket_permissions", "0700"),
    ("synchronous_commit", "on"),
    ("max_connections", "100"),
    ("shared_buffers", "256MB"),
    ("wal_buffers", "16MB"),
    ("wal_compression", "on"),
    // Fewer checkpoints, fewer full pages in the log; recovery still takes seconds.
    ("max_wal_size", "2GB"),
    ("min_wal_size", "256MB"),
    ("checkpoint_timeout", "10min"),
    // The statements are short: compiling them, or spreading them over workers, costs more than
    // it gives, and the cores belong to the shop.
    ("jit", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("lc_messages", "C"),
    // The log goes through ours: no clock of its own, and no shopper's data in it.
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    ("log_line_prefix", ""),
    ("log_min_error_statement", "panic"),
    ("log_error_verbosity", "terse"),
];

/// A running server. Dropping it asks the server to stop without waiting for it.
#[derive(Debug)]
pub(super) struct Postmaster {
    pid: Pid,
    /// Empty from the moment before the process is reaped, so that a signal never reaches
    /// somebody who was given the same id.
    alive: Arc<Mutex<Option<Pid>>>,
    end: watch::Receiver<Option<String>>,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl Postmaster {
    /// Starts the server process; it does not serve yet.
    ///
    /// The system ends the server (cleanly) when the *thread* that started it ends. So that
    /// thread does nothing else, and lives exactly as long as the server.
    pub(super) async fn spawn(folder: &Arc<Folder>) -> Result<Self, EmbeddedFault> {
        let setpriv = setpriv();
        let no_program = |source| EmbeddedFault::NoProgram {
            program: setpriv.clone(),
            package: "util-linux",
            source,
        };
        let command = command(folder, &setpriv);
        let folder = Arc::clone(folder);
        let (born, birth) = oneshot::channel();
        thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || accompany(command, folder, born))
            .map_err(no_program)?;
        match birth.await {
            Ok(outcome) => outcome.map_err(no_program),
            Err(_) => Err(no_program(std::io::Error::other(
                "the thread that starts it ended",
            ))),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits until the process has ended, and says how.
    pub(super) async fn ended(&self) -> String {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or_default(),
            Err(_) => "its thread ended".to_owned(),
        }
    }

    /// The end of the server's log, on one line.
    pub(super) fn last_words(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = log.iter().map(String::as_str).collect();
        if lines.is_empty() {
            "it said nothing".to_owned()
        } else {
            lines.join(" / ")
        }
    }

    /// Stops the server: cleanly if it does so in time, else without a checkpoint, else by force.
    pub(super) async fn stop(self, patience: Duration) {
        let steps = [
            (Signal::INT, patience),
            (Signal::QUIT, QUIT_WITHIN),
            (Signal::KILL, Duration::MAX),
        ];
        for (signal, patience) in steps {
            self.signal(signal);
            if timeout(patience, self.ended()).await.is_ok() {
                return;
            }
            tracing::warn!(?signal, "the embedded PostgreSQL does not stop");
        }
    }

    fn signal(&self, signal: Signal) {
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *alive
            && let Err(fault) = kill_process(pid, signal)
        {
            tracing::warn!(%fault, ?signal, "the embedded PostgreSQL could not be signalled");
        }
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        self.signal(Signal::INT);
    }
}

/// The life of the thread: start the server, tell of it, wait for its end, let go of the folder.
fn accompany(mut command: Command, folder: Arc<Folder>, born: oneshot::Sender<std::io::Result<Postmaster>>) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(fault) => {
            // Nobody listens any more only if nobody wants to know.
            let _ = born.send(Err(fault));
            return;
        }
    };
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return;
    };
    let log = Arc::new(Mutex::new(VecDeque::with_capacity(LAST_WORDS)));
    if let Some(stderr) = child.stderr.take() {
        let log = Arc::clone(&log);
        // Not joined: a backend that outlives the server would hold it up.
        if let Err(fault) = thread::Builder::new()
            .name("postgres-log".to_owned())
            .spawn(move || pass_on(stderr, &log))
        {
            tracing::warn!(%fault, "the log of the embedded PostgreSQL is lost");
        }
    }
    let (end_tx, end) = watch::channel(None);
    let alive = Arc::new(Mutex::new(Some(pid)));
    // If the start was given up meanwhile, this drops the postmaster, which asks it to stop.
    let _ = born.send(Ok(Postmaster {
        pid,
        alive: Arc::clone(&alive),
        end,
        log,
    }));

    if let Err(fault) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
        tracing::debug!(%fault, "waiting without reaping is not possible here");
    }
    alive.lock().unwrap_or_else(PoisonError::into_inner).take();
    let said = match child.wait() {
        Ok(status) => status.to_string(),
        Err(fault) => fault.to_string(),
    };
    drop(folder);
    end_tx.send_replace(Some(said));
}

/// Hands the server's log lines to ours and remembers the last ones.
fn pass_on(stderr: impl Read, log: &Mutex<VecDeque<String>>) {
    for line in BufReader::new(stderr).split(b'\n') {
        let Ok(line) = line else { return };
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        match line.split(':').next() {
            Some("WARNING" | "ERROR" | "FATAL" | "PANIC") => tracing::warn!(target: "postgres", "{line}"),
            _ => tracing::debug!(target: "postgres", "{line}"),
        }
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LAST_WORDS {
            log.pop_front();
        }
        log.push_back(line);
    }
}

/// `setpriv` arranges, after the change of user that would undo it, that the server is asked to
/// stop (SIGINT) when our thread ends; then it becomes the server.
fn command(folder: &Folder, setpriv: &Path) -> Command {
    let mut command = Command::new(setpriv);
    command
        .args(["--pdeathsig", "INT", "--"])
        .arg(folder.binaries().postgres())
        .arg("-D")
        .arg(folder.cluster());
    for (setting, value) in SETTINGS {
        command.arg("-c").arg(format!("{setting}={value}"));
    }
    command
        .arg("-c")
        .arg(format!("port={PORT}"))
        .arg("-c")
        .arg(format!(
            "unix_socket_directories=\"{}\"",
            folder.sockets().display()
        ))
        .arg("-c")
        .arg(format!("cluster_name={}", folder.cluster_name()))
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Ctrl-C in the terminal is the node's to answer; it stops its server last.
        .process_group(0);
    if let Some((uid, gid)) = folder.user().to_become() {
        command.uid(uid).gid(gid);
    }
    command
}

/// Where `setpriv` lies: in PATH, or where util-linux puts it.
fn setpriv() -> PathBuf {
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&in_path)
        .chain(["/usr/bin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join("setpriv"))
        .find(|program| program.is_file())
        .unwrap_or_else(|| PathBuf::from("/usr/bin/setpriv"))
}
