//! Why the private PostgreSQL does not run. Every sentence names the place and the remedy.

use std::path::PathBuf;

use super::binaries::OLDEST_MAJOR;

/// Why the private PostgreSQL does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedFault {
    /// The environment does not say where a user's data lives.
    #[error("no home for the shop's data: set HOME or XDG_DATA_HOME, or name a folder with --data")]
    NoHome,

    /// Nothing to run.
    #[error(
        "no PostgreSQL {OLDEST_MAJOR} or newer under /usr/lib/postgresql/*/bin or in PATH: install it (Debian, Ubuntu: apt install postgresql), or connect to your own with `globalshop serve`"
    )]
    NoBinaries,

    /// A helper of the start is missing.
    #[error("{program} could not be run: {source} (it is part of the package {package})")]
    NoProgram {
        /// What could not be run.
        program: PathBuf,
        /// The package that has it.
        package: &'static str,
        /// What the system said.
        source: std::io::Error,
    },

    /// The cluster was written by a PostgreSQL that is not installed.
    #[error(
        "{folder} was written by PostgreSQL {written_by}, and only {installed} is installed: install PostgreSQL {written_by} beside it; or dump the database with {written_by}'s pg_dump, start on a new folder with --data, and restore the dump there"
    )]
    OtherMajor {
        /// The folder of the cluster.
        folder: PathBuf,
        /// The major version that wrote it.
        written_by: u32,
        /// The major versions at hand.
        installed: String,
    },

    /// Another node holds the folder.
    #[error(
        "{folder} is in use by another globalshop node (process {holder}): stop that one, or give this one a folder of its own with --data"
    )]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// The process that holds it, as it wrote itself down.
        holder: String,
    },

    /// A server that no node started runs on the cluster.
    #[error(
        "PostgreSQL runs on {folder} as process {pid} and was not started by globalshop: stop it (pg_ctl -D {folder} stop)"
    )]
    Foreign {
        /// The folder of the cluster.
        folder: PathBuf,
        /// The process id of the server.
        pid: i32,
    },

    /// What an earlier node left behind cannot be ended.
    #[error(
        "processes {pids:?} of an earlier PostgreSQL on {folder} do not end, not even when killed: end them, or restart the machine"
    )]
    Undead {
        /// The data folder.
        folder: PathBuf,
        /// Their process ids.
        pids: Vec<i32>,
    },

    /// A path does not fit into a socket address.
    #[error(
        "{folder} is too long a name for a socket ({length} bytes; the system allows {limit}): choose a shorter folder with --data"
    )]
    NameTooLong {
        /// The data folder.
        folder: PathBuf,
        /// How long the path of the socket would be.
        length: usize,
        /// How long it may be.
        limit: usize,
    },

    /// PostgreSQL's user cannot get there.
    #[error(
        "user {user}, as whom PostgreSQL must run, cannot enter {blocked}: choose a folder with --data whose parents everybody may enter, for example under /var/lib"
    )]
    NotEntered {
        /// The user without the right.
        user: String,
        /// The folder that is closed.
        blocked: PathBuf,
    },

    /// The cluster belongs to somebody else.
    #[error("{folder} belongs to user {owner}: {remedy}, or choose another folder with --data")]
    NotOurs {
        /// The folder of the cluster.
        folder: PathBuf,
        /// The user id it belongs to.
        owner: u32,
        /// What would help.
        remedy: &'static str,
    },

    /// Root may not run PostgreSQL, and nobody else is there.
    #[error(
        "PostgreSQL does not run as root, and /etc/passwd has neither `postgres` nor `nobody`: add one of them, or start globalshop as an ordinary user"
    )]
    NoUser,

    /// The file system said no.
    #[error("cannot {doing} {path}: {source}")]
    Folder {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// The disk is too small for a new cluster.
    #[error(
        "the disk of {folder} has {room_mb} MiB left, and a new shop needs {needed_mb}: make room, or choose a folder on another disk with --data"
    )]
    NoRoom {
        /// The data folder.
        folder: PathBuf,
        /// What is left.
        room_mb: u64,
        /// What is needed.
        needed_mb: u64,
    },

    /// The cluster could not be created.
    #[error("a new database cluster could not be created in {folder}: {output}")]
    NotCreated {
        /// The data folder.
        folder: PathBuf,
        /// What initdb said.
        output: String,
    },

    /// The server ended before it answered.
    #[error("PostgreSQL on {folder} ended while starting ({end}): {last_words}")]
    DidNotStart {
        /// The data folder.
        folder: PathBuf,
        /// How it ended.
        end: String,
        /// The last lines of its log.
        last_words: String,
    },

    /// The server did not answer in time.
    #[error("PostgreSQL on {folder} does not answer after {seconds} s: {last_words}")]
    NotReady {
        /// The data folder.
        folder: PathBuf,
        /// How long was waited.
        seconds: u64,
        /// The last lines of its log.
        last_words: String,
    },

    /// The server died again and again.
    #[error("PostgreSQL on {folder} died {deaths} times in a row: {last_words}")]
    KeepsDying {
        /// The data folder.
        folder: PathBuf,
        /// How often.
        deaths: u32,
        /// The last lines of its log.
        last_words: String,
    },

    /// An acknowledged commit could be lost.
    #[error(
        "PostgreSQL has {setting} = off, so a power failure could take back what was acknowledged: remove the setting (ALTER SYSTEM RESET {setting}, or in postgresql.conf) and start again"
    )]
    UnsafeSetting {
        /// The setting that is off.
        setting: &'static str,
    },

    /// The server answered with an error.
    #[error("the embedded PostgreSQL runs, but globalshop could not {doing}: {source}")]
    Database {
        /// What was tried.
        doing: &'static str,
        /// What it answered.
        source: sqlx::Error,
    },
}

impl EmbeddedFault {
    /// Whether the disk was full.
    pub(super) fn is_out_of_room(&self) -> bool {
        match self {
            Self::DidNotStart { last_words, .. } | Self::NotReady { last_words, .. } => {
                speaks_of_a_full_disk(last_words)
            }
            _ => false,
        }
    }

    /// Whether the same try may succeed a moment later.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::DidNotStart { .. })
    }
}

/// Whether the server's log says that its disk was full.
pub(super) fn speaks_of_a_full_disk(last_words: &str) -> bool {
    last_words.contains("No space left on device")
}
