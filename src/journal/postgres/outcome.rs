//! What an error of an append means: certainly nothing written, or nobody knows.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::journal::{Cause, WriteFault};

/// Codes after which a statement may have been committed although it failed: the connection broke
/// (class 08), the server stops (57P), or says itself that it does not know (40003).
const UNKNOWN: [&str; 3] = ["08", "57P", "40003"];

/// Classifies the error of an append that had been sent.
///
/// An ERROR of the server ends the transaction, so nothing is written. That includes a statement
/// that was cancelled or ran out of time: both are disarmed before the commit begins. A worse
/// severity ends the connection and proves nothing, and neither does anything that is not the
/// server's own word.
pub fn of_sent(error: &sqlx::Error) -> WriteFault {
    let sqlx::Error::Database(database) = error else {
        return WriteFault::Unknown {
            reason: error.to_string(),
        };
    };
    let postgres = database.downcast_ref::<PgDatabaseError>();
    let code = postgres.code();
    let certain = matches!(postgres.severity(), PgSeverity::Error)
        && !UNKNOWN.iter().any(|unknown| code.starts_with(unknown));
    let reason = format!("{} ({code})", postgres.message());
    if certain {
        WriteFault::NotWritten {
            reason,
            cause: cause(postgres.constraint(), code),
        }
    } else {
        WriteFault::Unknown { reason }
    }
}

/// What an error of the server's blames: its class 22 is about a value, its class 54 about the size of one
/// (PostgreSQL manual, appendix A).
fn cause(constraint: Option<&str>, code: &str) -> Cause {
    match constraint {
        Some(name) => Cause::Constraint(name.to_owned()),
        None if code.starts_with("22") || code.starts_with("54") => Cause::Value,
        None => Cause::Circumstance,
    }
}

/// Whether there was no room on the server's disk.
pub fn is_out_of_room(error: &sqlx::Error) -> bool {
    const DISK_FULL: &str = "53100";
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some(DISK_FULL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_servers_word_is_unknown() {
        let lost = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert!(!of_sent(&lost).is_certain());
        assert!(!of_sent(&sqlx::Error::WorkerCrashed).is_certain());
        assert!(!of_sent(&sqlx::Error::RowNotFound).is_certain());
    }
}
