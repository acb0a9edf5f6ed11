//! The private PostgreSQL: it keeps what it acknowledged, whoever is killed, and shares with nobody.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use globalshop::embedded::{Embedded, EmbeddedFault};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection};

use crate::eventually::eventually;
use crate::scratch::Scratch;

/// Set in the process that `a_killed_node_takes_its_server_along` starts and kills.
const HELD: &str = "GLOBALSHOP_IT_HOLD";

async fn connect(embedded: &Embedded) -> PgConnection {
    embedded.connect_options().connect().await.unwrap()
}

async fn run(connection: &mut PgConnection, sql: &'static str) {
    sqlx::query(sql).execute(connection).await.unwrap();
}

async fn count(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM kept")
        .fetch_one(connection)
        .await
        .unwrap()
}

async fn setting(connection: &mut PgConnection, name: &str) -> String {
    sqlx::query_scalar("SELECT current_setting($1)")
        .bind(name)
        .fetch_one(connection)
        .await
        .unwrap()
}

fn kill(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn is_alive(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// One of the server's own children.
fn backend_of(server: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{server}/task/{server}/children")).unwrap();
    children.split_whitespace().next().unwrap().parse().unwrap()
}

/// A program run by PostgreSQL's own user.
fn as_postgres(data: &Path, program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .current_dir("/");
    let owner = fs::metadata(data.join("postgres")).unwrap();
    if rustix::process::geteuid().is_root() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_its_rows_over_a_clean_restart_and_promises_durability() {
    let scratch = Scratch::new();
    let embedded = Embedded::start(scratch.path()).await.unwrap();
    let mut connection = connect(&embedded).await;
    for (name, value) in [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
    ] {
        assert_eq!(setting(&mut connection, name).await, value, "{name}");
    }
    run(
        &mut connection,
        "CREATE TABLE kept AS SELECT generate_series(1, 100) AS n",
    )
    .await;
    drop(connection);
    let pid = embedded.server_pid().unwrap();
    embedded.stop().await;
    assert!(!is_alive(pid), "the server outlived its stop");

    let again = Embedded::start(scratch.path()).await.unwrap();
    assert_eq!(count(&mut connect(&again).await).await, 100);
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_owner_may_open_the_socket_and_the_cluster() {
    let scratch = Scratch::new();
    let embedded = Embedded::start(scratch.path()).await.unwrap();
    for folder in ["postgres", "socket"] {
        let metadata = fs::metadata(scratch.path().join(folder)).unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o700, "{folder}");
        assert_ne!(
            metadata.uid(),
            0,
            "{folder} belongs to root, as whom PostgreSQL must not run"
        );
    }
    embedded.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_comes_back_with_every_acknowledged_row() {
    let scratch = Scratch::new();
    let embedded = Embedded::start(scratch.path()).await.unwrap();
    let mut connection = connect(&embedded).await;
    run(
        &mut connection,
        "CREATE TABLE kept AS SELECT generate_series(1, 300) AS n",
    )
    .await;
    run(&mut connection, "CHECKPOINT").await;
    run(
        &mut connection,
        "INSERT INTO kept SELECT generate_series(301, 2300)",
    )
    .await;

    let killed = embedded.server_pid().unwrap();
    kill(killed, Signal::KILL);
    let successor = eventually("a successor of the killed server", async || {
        embedded
            .server_pid()
            .filter(|pid| *pid != killed)
            .ok_or("not serving yet")
    })
    .await;
    assert!(is_alive(successor));
    assert_eq!(count(&mut connect(&embedded).await).await, 2300);
    embedded.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_on_the_same_folder_is_refused() {
    let scratch = Scratch::new();
    let first = Embedded::start(scratch.path()).await.unwrap();
    let fault = Embedded::start(scratch.path()).await.unwrap_err();
    assert!(matches!(fault, EmbeddedFault::InUse { .. }), "{fault}");
    let sentence = fault.to_string();
    assert!(
        sentence.contains(&std::process::id().to_string()) && sentence.contains("--data"),
        "{sentence}"
    );

    assert_eq!(
        setting(&mut connect(&first).await, "fsync").await,
        "on",
        "the first node was disturbed"
    );
    first.stop().await;
}

/// Does something only in the process that the next test starts: holds a server until killed.
#[tokio::test(flavor = "multi_thread")]
async fn holds_a_server_for_the_next_test() {
    let Some(data) = std::env::var_os(HELD) else {
        return;
    };
    let embedded = Embedded::start(Path::new(&data)).await.unwrap();
    let mut connection = connect(&embedded).await;
    run(
        &mut connection,
        "CREATE TABLE kept AS SELECT generate_series(1, 200) AS n",
    )
    .await;
    fs::write(
        Path::new(&data).join("holding"),
        embedded.server_pid().unwrap().to_string(),
    )
    .unwrap();
    std::future::pending::<()>().await;
}

/// `kill -9` of the node, once alone and once together with its server, whose backends are then
/// left over: the next node starts at once, and nothing acknowledged is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_takes_its_server_along_and_the_next_one_starts() {
    for server_too in [false, true] {
        let scratch = Scratch::new();
        let mut node = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "embedded::holds_a_server_for_the_next_test"])
            .env(HELD, scratch.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server: u32 = eventually("a node that holds a server", async || {
            let text =
                fs::read_to_string(scratch.path().join("holding")).map_err(|fault| fault.to_string())?;
            text.parse().map_err(|_| text)
        })
        .await;

        if server_too {
            kill(node.id(), Signal::STOP); // it shall not see its server die
            kill(backend_of(server), Signal::STOP); // it shall not see that either, and stay
            kill(server, Signal::KILL);
        }
        node.kill().unwrap();
        node.wait().unwrap();
        if !server_too {
            let gone = async || if is_alive(server) { Err("alive") } else { Ok(()) };
            eventually("the end of the killed node's server", gone).await;
        }

        let embedded = Embedded::start(scratch.path()).await.unwrap();
        assert_eq!(
            count(&mut connect(&embedded).await).await,
            200,
            "server killed too: {server_too}"
        );
        assert!(!is_alive(server), "the old server still runs");
        embedded.stop().await;
    }
}

/// PostgreSQL believes a lock file whose process exists, be it a zombie or somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_lock_file_that_names_a_zombie_or_a_stranger_is_seen_through() {
    let scratch = Scratch::new();
    let embedded = Embedded::start(scratch.path()).await.unwrap();
    embedded.stop().await;

    let mut zombie = as_postgres(scratch.path(), Path::new("true")).spawn().unwrap();
    eventually("a zombie", async || {
        if is_alive(zombie.id()) {
            Err("alive")
        } else {
            Ok(())
        }
    })
    .await;
    let mut stranger = as_postgres(scratch.path(), Path::new("cat")).spawn().unwrap();
    for pid in [zombie.id(), stranger.id()] {
        for mark in ["postgres/postmaster.pid", "socket/.s.PGSQL.5432.lock"] {
            fs::write(
                scratch.path().join(mark),
                format!("{pid}\n{}\n", scratch.path().display()),
            )
            .unwrap();
        }
        let embedded = Embedded::start(scratch.path()).await.unwrap();
        connect(&embedded).await.close().await.unwrap();
        embedded.stop().await;
    }
    assert!(is_alive(stranger.id()), "a process that is not ours was ended");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    zombie.wait().unwrap();
}

/// Two servers on one cluster would destroy it, so one that we did not start is left alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_somebody_started_by_hand_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    let embedded = Embedded::start(scratch.path()).await.unwrap();
    let program = fs::read_link(format!("/proc/{}/exe", embedded.server_pid().unwrap())).unwrap();
    embedded.stop().await;

    let cluster = scratch.path().join("postgres");
    let mut by_hand = as_postgres(scratch.path(), &program)
        .arg("-D")
        .arg(&cluster)
        .args(["-c", "listen_addresses=", "-k"])
        .arg(scratch.path().join("socket"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("a server started by hand", async || {
        let noted = fs::read_to_string(cluster.join("postmaster.pid")).unwrap_or_default();
        if noted.contains("ready") {
            Ok(())
        } else {
            Err(noted)
        }
    })
    .await;

    let fault = Embedded::start(scratch.path()).await.unwrap_err();
    assert!(matches!(fault, EmbeddedFault::Foreign { .. }), "{fault}");
    assert!(is_alive(by_hand.id()), "it was ended");
    kill(by_hand.id(), Signal::INT);
    by_hand.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_what_would_not_be_safe_and_says_what_to_do() {
    let scratch = Scratch::new();
    let embedded = Embedded::start(scratch.path()).await.unwrap();
    run(&mut connect(&embedded).await, "ALTER SYSTEM SET fsync = off").await;
    embedded.stop().await;
    let fault = Embedded::start(scratch.path()).await.unwrap_err();
    assert!(
        matches!(fault, EmbeddedFault::UnsafeSetting { setting: "fsync" }),
        "{fault}"
    );

    fs::write(scratch.path().join("postgres/PG_VERSION"), "9\n").unwrap();
    let fault = Embedded::start(scratch.path()).await.unwrap_err();
    assert!(
        matches!(fault, EmbeddedFault::OtherMajor { written_by: 9, .. }),
        "{fault}"
    );
    assert!(fault.to_string().contains("pg_dump"), "{fault}");

    let long = scratch.path().join("a-folder-with-a-long-name".repeat(4));
    let fault = Embedded::start(&long).await.unwrap_err();
    assert!(matches!(fault, EmbeddedFault::NameTooLong { .. }), "{fault}");
}
