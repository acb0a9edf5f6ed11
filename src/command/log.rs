//! Logs: JSON lines on standard error when it is not a terminal, readable text when it is.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts logging. `GLOBALSHOP_LOG` filters (`info,globalshop::actors=debug`); a command that is not
/// a server says only what is wrong.
pub fn start(server: bool) {
    let default = if server {
        "info,ractor=warn,sqlx=warn"
    } else {
        "error"
    };
    let filter = EnvFilter::try_from_env("GLOBALSHOP_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.compact().init();
    } else {
        logs.json().flatten_event(true).init();
    }
}
