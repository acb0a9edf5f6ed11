//! The data folder: whose it is, that it is ours alone, and the cluster inside it.
//!
//! ```text
//! <data>/lock       held by the one node that may use the folder
//! <data>/postgres/  the cluster
//! <data>/socket/    the only way in
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::binaries::Binaries;
use super::{EmbeddedFault, PORT, ROLE};

/// `sun_path` of a socket address, less its final zero.
const SOCKET_NAME_LIMIT: usize = 107;
/// A node that has just ended may hold its lock for a moment through a child that is not yet
/// itself.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
const CREATE_WITHIN: Duration = Duration::from_secs(300);
/// Two segments of the server's log: one it is in, and one for what a recovery adds.
const ROOM_TO_START: u64 = 32 << 20;
/// A new cluster takes some 45 MiB, and its log grows by as much when a catalogue comes in.
const ROOM_TO_CREATE: u64 = 128 << 20;
/// Half-made clusters carry this name until they are whole.
const UNFINISHED: &str = "postgres.new-";

/// A data folder that this process holds alone.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    binaries: Binaries,
    user: User,
    cluster_name: String,
    _lock: File,
}

/// As whom PostgreSQL runs.
#[derive(Debug, Clone)]
pub(super) struct User {
    name: String,
    uid: u32,
    gid: u32,
    /// Whether this process is root and has to become that user.
    become_it: bool,
}

impl Folder {
    /// Takes the folder for this process alone and makes sure that there is a cluster in it.
    pub(super) async fn claim(data_dir: &Path) -> Result<Self, EmbeddedFault> {
        let as_root = rustix::process::geteuid().is_root();
        DirBuilder::new()
            .recursive(true)
            .mode(if as_root { 0o711 } else { 0o700 })
            .create(data_dir)
            .map_err(fault("create", data_dir))?;
        let root = data_dir.canonicalize().map_err(fault("find", data_dir))?;
        refuse_long_name(&root)?;
        let lock = lock(&root).await?;

        let cluster = root.join("postgres");
        let user = User::of(&cluster, as_root)?;
        let written_by = read_major(&cluster)?;
        let binaries = Binaries::find(&cluster, written_by).await?;
        if user.become_it {
            let_in(&root, &user)?;
        }

        let identity = fs::metadata(&root).map_err(fault("read", &root))?;
        let cluster_name = format!("globalshop-{:x}-{:x}", identity.dev(), identity.ino());
        let folder = Self {
            root,
            binaries,
            user,
            cluster_name,
            _lock: lock,
        };
        folder.own_private(&folder.sockets())?;
        if written_by.is_none() {
            folder.create_cluster().await?;
        }
        Ok(folder)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the disk has too little room for the server to start on: its recovery writes.
    pub(super) fn is_full(&self) -> bool {
        self.room().is_some_and(|room| room < ROOM_TO_START)
    }

    /// How many bytes the disk has left for the server, where it says so.
    fn room(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.root).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    pub(super) fn cluster(&self) -> PathBuf {
        self.root.join("postgres")
    }

    pub(super) fn sockets(&self) -> PathBuf {
        self.root.join("socket")
    }

    pub(super) fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    pub(super) fn user(&self) -> &User {
        &self.user
    }

    /// The name that all processes of this cluster carry in their titles. It follows the folder
    /// itself, not its path, and needs no rights to be read.
    pub(super) fn cluster_name(&self) -> &str {
        &self.cluster_name
    }

    /// Creates the cluster under another name and renames it when it is whole, so that a start
    /// that is cut short leaves nothing that looks like one.
    async fn create_cluster(&self) -> Result<(), EmbeddedFault> {
        self.remove_unfinished();
        if let Some(room) = self.room().filter(|room| *room < ROOM_TO_CREATE) {
            return Err(EmbeddedFault::NoRoom {
                folder: self.root.clone(),
                room_mb: room >> 20,
                needed_mb: ROOM_TO_CREATE >> 20,
            });
        }
        let unfinished = self.root.join(format!("{UNFINISHED}{}", std::process::id()));
        let program = self.binaries.initdb();
        tracing::info!(folder = %self.root.display(), "creating a database cluster");

        self.own_private(&unfinished)?;
        let mut command = Command::new(&program);
        command
            .arg("--pgdata")
            .arg(&unfinished)
            .args([
                "--username",
                ROLE,
                "--encoding",
                "UTF8",
                "--no-locale",
                "--data-checksums",
            ])
            .args(["--auth-local=trust", "--auth-host=reject", "--no-instructions"])
            .env_clear()
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if self.user.become_it {
            command.uid(self.user.uid).gid(self.user.gid);
        }
        let not_created = |output| EmbeddedFault::NotCreated {
            folder: self.root.clone(),
            output,
        };
        let output = timeout(CREATE_WITHIN, command.output())
            .await
            .map_err(|_| not_created(format!("not done after {} s", CREATE_WITHIN.as_secs())))?
            .map_err(|source| EmbeddedFault::NoProgram {
                program,
                package: "postgresql",
                source,
            })?;
        if !output.status.success() {
            return Err(not_created(
                String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            ));
        }
        fs::rename(&unfinished, self.cluster()).map_err(fault("rename to its final name", &unfinished))?;
        // The name must survive a power failure as surely as what will be written under it.
        File::open(&self.root)
            .and_then(|root| root.sync_all())
            .map_err(fault("save", &self.root))
    }

    /// Removes what starts that were cut short have left. What cannot be removed is in nobody's way.
    fn remove_unfinished(&self) {
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            if entry.file_name().as_bytes().starts_with(UNFINISHED.as_bytes())
                && let Err(fault) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!(%fault, path = %entry.path().display(), "an unfinished cluster stays");
            }
        }
    }

    /// Makes sure that a folder is there, belongs to PostgreSQL's user, and is closed to others.
    fn own_private(&self, path: &Path) -> Result<(), EmbeddedFault> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(fault("create", path))?;
        if self.user.become_it {
            chown(path, Some(self.user.uid), Some(self.user.gid)).map_err(fault("hand over", path))?;
        }
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(fault("close to others", path))
    }
}

impl User {
    /// The owner of the cluster, or for a new one: ourselves, or when we are root `postgres`,
    /// else `nobody`.
    fn of(cluster: &Path, as_root: bool) -> Result<Self, EmbeddedFault> {
        let ours = rustix::process::geteuid().as_raw();
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let owner = match fs::metadata(cluster) {
            Ok(owner) => owner,
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(fault("read", cluster)(source));
            }
            Err(_) if as_root => {
                return ["postgres", "nobody"]
                    .iter()
                    .find_map(|name| Self::in_passwd(&passwd, |user| user.name == *name))
                    .ok_or(EmbeddedFault::NoUser);
            }
            Err(_) => {
                let gid = rustix::process::getegid().as_raw();
                return Ok(Self {
                    name: ours.to_string(),
                    uid: ours,
                    gid,
                    become_it: false,
                });
            }
        };

        let (uid, gid) = (owner.uid(), owner.gid());
        let not_ours = |remedy| EmbeddedFault::NotOurs {
            folder: cluster.into(),
            owner: uid,
            remedy,
        };
        match (as_root, uid) {
            (true, 0) => Err(not_ours("give it to an ordinary user (chown -R postgres)")),
            (true, _) => Ok(Self::in_passwd(&passwd, |user| user.uid == uid).unwrap_or(Self {
                name: uid.to_string(),
                uid,
                gid,
                become_it: true,
            })),
            (false, _) if uid == ours => Ok(Self {
                name: uid.to_string(),
                uid,
                gid,
                become_it: false,
            }),
            (false, _) => Err(not_ours("start globalshop as that user")),
        }
    }

    fn in_passwd(passwd: &str, wanted: impl Fn(&Self) -> bool) -> Option<Self> {
        let parse = |line: &str| {
            let mut fields = line.split(':');
            let (name, _password) = (fields.next()?, fields.next()?);
            let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            Some(Self {
                name: name.to_owned(),
                uid,
                gid,
                become_it: true,
            })
        };
        passwd
            .lines()
            .filter_map(parse)
            .find(|user| user.uid != 0 && wanted(user))
    }

    /// The user and group to change to, if this process is not that user already.
    pub(super) fn to_become(&self) -> Option<(u32, u32)> {
        self.become_it.then_some((self.uid, self.gid))
    }

    fn may_enter(&self, folder: &fs::Metadata) -> bool {
        let bit = if folder.uid() == self.uid {
            0o100
        } else if folder.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        folder.mode() & bit != 0
    }
}

/// Opens the data folder itself to PostgreSQL's user, and checks that its parents are open.
fn let_in(root: &Path, user: &User) -> Result<(), EmbeddedFault> {
    for folder in root.ancestors() {
        let metadata = fs::metadata(folder).map_err(fault("read", folder))?;
        if user.may_enter(&metadata) {
            continue;
        }
        if folder != root {
            return Err(EmbeddedFault::NotEntered {
                user: user.name.clone(),
                blocked: folder.into(),
            });
        }
        let open = Permissions::from_mode(metadata.mode() & 0o7777 | 0o011);
        fs::set_permissions(folder, open).map_err(fault("open to PostgreSQL's user", folder))?;
    }
    Ok(())
}

/// Takes the lock that only one node can have. The kernel lets go of it when the process ends,
/// whichever way.
async fn lock(root: &Path) -> Result<File, EmbeddedFault> {
    let path = root.join("lock");
    let open = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
    };
    let mut file = open().map_err(fault("open", &path))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => {
                write_holder(&mut file).map_err(fault("write", &path))?;
                return Ok(file);
            }
            Err(TryLockError::WouldBlock) => sleep(LOCK_PAUSE).await,
            Err(TryLockError::Error(source)) => return Err(fault("lock", &path)(source)),
        }
    }
    let mut holder = String::new();
    file.read_to_string(&mut holder).map_err(fault("read", &path))?;
    Err(EmbeddedFault::InUse {
        folder: root.into(),
        holder: holder.trim().to_owned(),
    })
}

fn write_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn refuse_long_name(root: &Path) -> Result<(), EmbeddedFault> {
    let socket = root.join("socket").join(format!(".s.PGSQL.{PORT}"));
    let length = socket.as_os_str().len();
    if length > SOCKET_NAME_LIMIT {
        return Err(EmbeddedFault::NameTooLong {
            folder: root.into(),
            length,
            limit: SOCKET_NAME_LIMIT,
        });
    }
    Ok(())
}

/// The major version that wrote the cluster, or nothing where there is none yet.
fn read_major(cluster: &Path) -> Result<Option<u32>, EmbeddedFault> {
    let path = cluster.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(version) => version.trim().parse().map(Some).map_err(|_| {
            fault("understand", &path)(std::io::Error::other(format!(
                "`{}` is no version",
                version.trim()
            )))
        }),
        Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(fault("read", &path)(source)),
    }
}

fn fault(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> EmbeddedFault {
    let path = path.to_owned();
    move |source| EmbeddedFault::Folder { doing, path, source }
}
