//! One WebSocket connection, from the first frame to the close.
//!
//! Written against a stream and a sink, so that it is tested without a socket. One task reads, writes
//! and keeps time: what waits is fed frame by frame and flushed once, for the system call is what a
//! frame costs. It never waits for anybody else's connection, and its own slowness costs only itself.

#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::moment::moment;
use super::protocol::{ClientFrame, Close, CloseCode, Format, Frame, Limits, Welcome};
use super::session::Session;
use super::viewer::Credential;
use crate::accounts::Secret;
use crate::clock::Clock;

/// Frames taken from the queue for one flush.
const BATCH: usize = 64;
/// The shortest time between two flushes: what comes sooner after one waits and is flushed together. A
/// frame alone goes out at once; a burst costs a hundred system calls a second, however large it is.
const PACE: Duration = Duration::from_millis(10);
/// How long a flush may take before the reader is too slow.
const WRITE_LIMIT: Duration = Duration::from_secs(20);
/// How long the goodbye may take, and how long the peer has to close after it.
const FAREWELL_LIMIT: Duration = Duration::from_secs(5);
/// How long the socket is kept after a goodbye that follows a read error, so that it can be read.
const LINGER: Duration = Duration::from_secs(1);
/// Who says nothing for this long is welcomed without a hello.
const HELLO_LIMIT: Duration = Duration::from_millis(500);
/// After this long without a frame the positions are told.
const QUIET: Duration = Duration::from_secs(15);
/// Silent for this many pings: gone.
const PINGS_MISSED: u32 = 3;
/// Frames a client may send within [`FLOOD_WINDOW`].
const FLOOD: u32 = 1_000;
const FLOOD_WINDOW: Duration = Duration::from_secs(10);
/// For how many seconds back every stream can be resumed: an order's history is kept for ever, and a
/// year is what we promise.
const RESUME_SECONDS: u64 = 365 * 24 * 3_600;

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer is gone, or said goodbye itself.
    Gone,
    /// We say goodbye.
    Bye(Close),
    /// We say goodbye to a peer we cannot hear any more.
    Deaf(Close),
}

impl From<Close> for End {
    fn from(close: Close) -> Self {
        Self::Bye(close)
    }
}

/// Talks to one client until it is over.
pub async fn serve<T, E>(mut transport: T, session: Session)
where
    T: Stream<Item = Result<Message, E>> + Sink<Message, Error = E> + Unpin + Send,
    E: std::fmt::Display + Send,
{
    let clock = session.live().clock().clone();
    let mut conversation = Conversation::new(session, &clock);
    let end = conversation.hold(&mut transport).await;
    // Its subscriptions end before the goodbye, which may take a while.
    drop(conversation);
    match end {
        End::Gone => {
            let until = clock.instant() + FAREWELL_LIMIT;
            while let Ok(Some(Ok(_))) = timeout_at(until, transport.next()).await {}
        }
        End::Bye(close) => farewell(&mut transport, close, &clock).await,
        End::Deaf(close) => {
            farewell(&mut transport, close, &clock).await;
            clock.sleep(LINGER).await;
        }
    }
}

/// The goodbye: a `bye`, a close with the same code, and then listening until the peer has closed.
async fn farewell<T, E>(transport: &mut T, close: Close, clock: &Clock)
where
    T: Stream<Item = Result<Message, E>> + Sink<Message, Error = E> + Unpin,
{
    let until = clock.instant() + FAREWELL_LIMIT;
    let said = timeout_at(until, async {
        transport
            .feed(Message::Text(Frame::bye(&close).into_text()))
            .await?;
        transport
            .feed(Message::Close(Some(CloseFrame {
                code: close.code.number(),
                reason: close.reason.into(),
            })))
            .await?;
        transport.flush().await
    })
    .await;
    if matches!(said, Ok(Ok(()))) {
        while let Ok(Some(Ok(_))) = timeout_at(until, transport.next()).await {}
    }
}

struct Conversation {
    session: Session,
    clock: Clock,
    /// Whether the client said hello; it is said first, and once.
    greeted: bool,
    welcomed: bool,
    began: Instant,
    heard: Instant,
    pinged: Instant,
    spoke: Instant,
    flushed: Option<Instant>,
    /// When what waits is due, if it has to wait for the pace.
    due: Option<Instant>,
    window: Instant,
    received: u32,
    frames: Vec<Frame>,
}

impl Conversation {
    fn new(session: Session, clock: &Clock) -> Self {
        let now = clock.instant();
        Self {
            session,
            clock: clock.clone(),
            greeted: false,
            welcomed: false,
            began: now,
            heard: now,
            pinged: now,
            spoke: now,
            flushed: None,
            due: None,
            window: now,
            received: 0,
            frames: Vec::new(),
        }
    }

    async fn hold<T, E>(&mut self, transport: &mut T) -> End
    where
        T: Stream<Item = Result<Message, E>> + Sink<Message, Error = E> + Unpin + Send,
        E: std::fmt::Display + Send,
    {
        loop {
            let outbox = std::sync::Arc::clone(self.session.outbox());
            let step = tokio::select! {
                message = transport.next() => match message {
                    None => Err(End::Gone),
                    Some(Err(error)) => {
                        tracing::debug!(session = %outbox.trace(), %error, "a live connection cannot be read");
                        let close = Close::new(CloseCode::Protocol, "no frame, or one far too large");
                        Err(End::Deaf(close))
                    }
                    Some(Ok(message)) => self.hear(message).await,
                },
                () = outbox.ready(), if self.due.is_none() => self.send_in_pace(transport).await,
                () = sleep_until(self.next_tick()) => self.tick(transport).await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn hear(&mut self, message: Message) -> Result<(), End> {
        let now = self.clock.instant();
        self.heard = now;
        if now.saturating_duration_since(self.window) > FLOOD_WINDOW {
            (self.window, self.received) = (now, 0);
        }
        self.received += 1;
        if self.received > FLOOD {
            let close = Close::new(CloseCode::TooMany, "too many frames").after(Duration::from_secs(10));
            return Err(close.into());
        }
        self.session.live().figures().received.increment(1);
        match message {
            Message::Text(text) => match ClientFrame::parse(text.as_str()) {
                Ok(frame) => self.answer(frame).await,
                Err(format) => Err(self.malformed(format)),
            },
            Message::Binary(_) => Err(self.malformed(Format::Binary)),
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => Err(End::Gone),
        }
    }

    fn malformed(&self, format: Format) -> End {
        self.session.live().figures().malformed.increment(1);
        Close::new(CloseCode::Protocol, format.reason()).into()
    }

    async fn answer(&mut self, frame: ClientFrame) -> Result<(), End> {
        if let ClientFrame::Hello { token } = frame {
            if std::mem::replace(&mut self.greeted, true) {
                return Err(Close::new(CloseCode::Protocol, "hello is said once").into());
            }
            if let Some(token) = token {
                self.session.admit(Credential::Token(Secret::new(token))).await?;
            }
            self.welcome();
            return Ok(());
        }
        self.welcome();
        match frame {
            ClientFrame::Subscribe(items) => self.session.subscribe(items).await?,
            ClientFrame::Unsubscribe(items) => {
                for item in items {
                    self.session.unsubscribe(&item.channel);
                }
            }
            ClientFrame::Auth { token } => self.session.admit(Credential::Token(Secret::new(token))).await?,
            ClientFrame::Ping { t0 } => {
                self.session.outbox().say(Frame::pong(&t0, self.clock.now()));
            }
            ClientFrame::Hello { .. } | ClientFrame::Pong => {}
        }
        Ok(())
    }

    fn welcome(&mut self) {
        if std::mem::replace(&mut self.welcomed, true) {
            return;
        }
        let live = self.session.live();
        let frame = Frame::welcome(&Welcome {
            session: self.session.outbox().trace(),
            node: live.node(),
            ping_ms: u64::try_from(live.settings().ping.as_millis()).unwrap_or(u64::MAX),
            server_now: moment(self.clock.now()),
            limits: Limits::OF_PROTOCOL,
            resume_window: RESUME_SECONDS,
        });
        self.session.outbox().say(frame);
    }

    /// Sends what waits, unless the last flush is too fresh; then a moment later.
    async fn send_in_pace<T, E>(&mut self, transport: &mut T) -> Result<(), End>
    where
        T: Sink<Message, Error = E> + Unpin + Send,
    {
        let due = self.flushed.map(|flushed| flushed + PACE);
        match due.filter(|due| *due > self.clock.instant()) {
            Some(due) => self.due = Some(due),
            None => self.send(transport).await?,
        }
        Ok(())
    }

    /// Sends what waits: fed one by one, flushed once.
    async fn send<T, E>(&mut self, transport: &mut T) -> Result<(), End>
    where
        T: Sink<Message, Error = E> + Unpin + Send,
    {
        loop {
            let taken = self.session.outbox().take(&mut self.frames, BATCH);
            if taken.recheck {
                self.session.recheck().await?;
            }
            self.session.proceed();
            if !self.frames.is_empty() {
                self.write(transport).await?;
            } else if taken.end.is_none() {
                return Ok(());
            }
            if let Some(close) = taken.end {
                return Err(close.into());
            }
        }
    }

    async fn write<T, E>(&mut self, transport: &mut T) -> Result<(), End>
    where
        T: Sink<Message, Error = E> + Unpin + Send,
    {
        let count = self.frames.len() as u64;
        let is_content = self
            .frames
            .iter()
            .any(|frame| !matches!(frame.name(), "ping" | "pong"));
        let frames = self.frames.drain(..);
        let writing = async {
            for frame in frames {
                transport.feed(Message::Text(frame.into_text())).await?;
            }
            transport.flush().await
        };
        let outbox = self.session.outbox();
        let written = tokio::select! {
            biased;
            written = writing => written.map_err(|_| End::Gone),
            () = outbox.cut() => Err(too_slow().into()),
            () = self.clock.sleep(WRITE_LIMIT) => Err(too_slow().into()),
        };
        if self.frames.capacity() > BATCH / 4 {
            // An idle connection keeps nothing.
            self.frames = Vec::new();
        }
        self.session.live().figures().sent.increment(count);
        let now = self.clock.instant();
        self.flushed = Some(now);
        if is_content {
            self.spoke = now;
        }
        written
    }

    /// The next moment at which something is to be done without being told.
    fn next_tick(&self) -> Instant {
        let ping = self.session.live().settings().ping;
        let mut next = self.heard.max(self.pinged) + ping;
        if !self.welcomed {
            next = next.min(self.began + HELLO_LIMIT);
        }
        next = next.min(self.spoke + QUIET);
        if let Some(due) = self.due {
            next = next.min(due);
        }
        if let Some(expires_at) = self.session.expires_at() {
            let left = expires_at.since(self.clock.now()).max(0);
            let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
            if left < ping {
                next = next.min(self.clock.instant() + left);
            }
        }
        next
    }

    async fn tick<T, E>(&mut self, transport: &mut T) -> Result<(), End>
    where
        T: Sink<Message, Error = E> + Unpin + Send,
    {
        let now = self.clock.instant();
        if self.due.take_if(|due| *due <= now).is_some() {
            self.send(transport).await?;
        }
        let ping = self.session.live().settings().ping;
        if self.session.expires_at().is_some_and(|at| at <= self.clock.now()) {
            return Err(Close::new(CloseCode::Expired, "the token or the session has ended").into());
        }
        if !self.welcomed && now >= self.began + HELLO_LIMIT {
            self.welcome();
        }
        if now >= self.heard + ping * PINGS_MISSED {
            return Err(Close::new(CloseCode::TooSlow, "no sign of life").into());
        }
        if now >= self.heard.max(self.pinged) + ping {
            self.pinged = now;
            // Both: a client that only listens still answers the one of the WebSocket.
            let control = transport.feed(Message::Ping(axum::body::Bytes::new()));
            let fed = tokio::time::timeout(WRITE_LIMIT, control).await;
            if !matches!(fed, Ok(Ok(()))) {
                return Err(End::Gone);
            }
            self.session.outbox().say(Frame::ping(self.clock.now()));
        }
        if now >= self.spoke + QUIET {
            self.spoke = now;
            let positions = self.session.outbox().positions();
            if !positions.is_empty() {
                self.session.outbox().say(Frame::positions(&positions));
            }
        }
        Ok(())
    }
}

const fn too_slow() -> Close {
    Close::new(CloseCode::TooSlow, "what was sent is not read; resume")
}
