//! Which of the installed PostgreSQL programs to run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::EmbeddedFault;

/// The oldest major version that the shop is tested with.
pub(super) const OLDEST_MAJOR: u32 = 15;

const VERSION_WITHIN: Duration = Duration::from_secs(10);

/// The programs of one major version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    folder: PathBuf,
    major: u32,
}

impl Binaries {
    /// The programs that fit a cluster: those of the version that wrote it, or the newest for a
    /// cluster that is still to be created.
    pub(super) async fn find(cluster: &Path, written_by: Option<u32>) -> Result<Self, EmbeddedFault> {
        choose(installed().await, cluster, written_by)
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }
}

fn choose(
    mut installed: Vec<Binaries>,
    cluster: &Path,
    written_by: Option<u32>,
) -> Result<Binaries, EmbeddedFault> {
    installed.retain(|binaries| binaries.major >= OLDEST_MAJOR);
    installed.sort_by_key(|binaries| binaries.major);
    let Some(newest) = installed.last() else {
        return Err(EmbeddedFault::NoBinaries);
    };
    let Some(written_by) = written_by else {
        return Ok(newest.clone());
    };
    match installed.iter().find(|binaries| binaries.major == written_by) {
        Some(fitting) => Ok(fitting.clone()),
        None => {
            let mut majors: Vec<String> = installed
                .iter()
                .map(|binaries| binaries.major.to_string())
                .collect();
            majors.dedup();
            Err(EmbeddedFault::OtherMajor {
                folder: cluster.into(),
                written_by,
                installed: majors.join(", "),
            })
        }
    }
}

/// Every complete installation, in the order of preference among equals.
async fn installed() -> Vec<Binaries> {
    let packaged = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"));
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = packaged
        .chain(std::env::split_paths(&in_path))
        .filter(|folder| folder.is_absolute())
        .collect();

    let mut found = Vec::new();
    for folder in folders {
        if !folder.join("initdb").is_file() {
            continue;
        }
        if let Some(major) = major_of(&folder.join("postgres")).await {
            found.push(Binaries { folder, major });
        }
    }
    found
}

/// The major version that a server program says it has.
async fn major_of(program: &Path) -> Option<u32> {
    let answer = Command::new(program)
        .arg("--version")
        .env_clear()
        .kill_on_drop(true)
        .output();
    let output = timeout(VERSION_WITHIN, answer).await.ok()?.ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

fn parse_major(version: &str) -> Option<u32> {
    let digits = version.split("(PostgreSQL) ").nth(1)?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binaries(major: u32) -> Binaries {
        Binaries {
            folder: format!("/usr/lib/postgresql/{major}/bin").into(),
            major,
        }
    }

    #[test]
    fn reads_the_major_from_what_the_program_says() {
        assert_eq!(
            parse_major("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(parse_major("postgres (PostgreSQL) 19devel\n"), Some(19));
        assert_eq!(parse_major("nonsense"), None);
    }

    #[test]
    fn takes_the_newest_for_a_new_cluster_and_the_same_for_an_old_one() {
        let here = vec![binaries(17), binaries(15), binaries(9)];
        let folder = Path::new("/data/postgres");
        assert_eq!(choose(here.clone(), folder, None).unwrap(), binaries(17));
        assert_eq!(choose(here.clone(), folder, Some(15)).unwrap(), binaries(15));

        let fault = choose(here, folder, Some(16)).unwrap_err().to_string();
        assert!(
            fault.contains("/data/postgres was written by PostgreSQL 16"),
            "{fault}"
        );
        assert!(fault.contains("only 15, 17 is installed"), "{fault}");
        assert!(matches!(
            choose(vec![binaries(9)], folder, None),
            Err(EmbeddedFault::NoBinaries)
        ));
    }
}
