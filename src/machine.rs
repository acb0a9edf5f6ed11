//! What the machine allows this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process have as many files open, and so connections, as the machine allows: the usual soft limit of
/// 1,024 is far below the hard one. Returns how many that is; `None` is no limit.
pub fn allow_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    match setrlimit(Resource::Nofile, most) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            limit.current
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_may_be_open_up_to_the_hard_limit() {
        assert_eq!(allow_open_files(), getrlimit(Resource::Nofile).maximum);
        assert_eq!(
            getrlimit(Resource::Nofile).current,
            getrlimit(Resource::Nofile).maximum
        );
    }
}
