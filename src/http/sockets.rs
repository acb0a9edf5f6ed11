//! The door itself: how many connections may wait to be accepted.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// How many connections may be made before they are accepted. One too many is not refused: its first packet is
/// lost, and its client tries again after a second. Linux lets 4,096 wait at most unless it is told
/// otherwise (`net.core.somaxconn`), and quietly takes less when that is less.
const BACKLOG: u32 = 4_096;

/// Listens on `address`, ready for many who come at once.
///
/// # Errors
/// When the address is taken, not this machine's or not allowed.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A node that is started again does not wait for what is left of its connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::try_join_all;
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn four_hundred_come_at_once_and_none_is_left_outside() {
        let most: usize = std::fs::read_to_string("/proc/sys/net/core/somaxconn")
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        // Nobody is accepted: one for whom there is no room would wait for ever.
        let all = try_join_all((0..400.min(most)).map(|_| TcpStream::connect(address)));
        timeout(Duration::from_secs(60), all).await.unwrap().unwrap();
    }
}
