//! Bugs put in on purpose, to prove that the simulation finds them.
//!
//! Only with the feature `planted`, which nothing but that proof turns on, and only one at a time.
//! Without it [`is`] is `false` and nothing of this is in the binary.

#[cfg(feature = "planted")]
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// An entity answers before its events are committed.
    ReplyBeforeCommit = 1,
    /// The journal takes appends of an older epoch.
    NoEpochCheck,
    /// An unknown outcome is resolved without raising the epoch.
    UnknownUnderTheSameEpoch,
    /// An activation loads while events of its predecessor are still queued.
    OutrunsTheQueue,
    /// What was queued behind a failed batch is written all the same.
    AppliedAfterAFailure,
    /// A taker reads the head before the last append of its predecessor is in.
    HeadTooEarly,
    /// An owner whose lease has run out goes on answering reads.
    ZombieReads,
    /// Releasing an unknown hold leaves no tombstone.
    NoTombstone,
    /// A snapshot is kept before its events are committed.
    SnapshotUncommitted,
    /// Holds stay when the payment was declined.
    HoldKeptOnDecline,
    /// A hold lapses while its money is being taken.
    HoldLapsesDuringCapture,
    /// A capture whose answer was lost is made again under another key.
    DoubleCapture,
    /// A refund whose answer was lost is made again under another key.
    RefundTwice,
    /// A position is left out.
    PositionGap,
    /// Timers are not read when a shard is taken.
    LostTimer,
    /// A consumer's watermark passes events that are only begun.
    WatermarkRuns,
    /// A repeated operation is done again.
    OperationForgotten,
    /// Refunds under way do not count against what can be refunded.
    RefundBeyondCapture,
    /// One unit more than there is can be held.
    OversoldByOne,
    /// A paid order that is cancelled is not refunded.
    CancelledAndKept,
    /// Money is asked for before the holds are committed.
    CaptureBeforeCommit,
    /// A shard is taken while its owner may still answer.
    TakenTooSoon,
    /// A tenure is counted from when the heartbeat was answered instead of from when it was sent.
    TenureFromTheAnswer,
    /// Who asked the wrong node does not ask the one it is told of.
    WrongAddressNotFollowed,
    /// A message from a node arrives without its operation: twice is two commands.
    OperationLeftBehind,
    /// A message is decided whatever epoch it was sent to.
    EpochOfTheMessageIgnored,
    /// A question that may have been done is said not to have been.
    DoubtForgotten,
    /// A message is decided although nobody waits for it any more.
    LateMessageDecided,
    /// A message is decided after a later one of the same question.
    EarlierMessageDecided,
    /// An order does not hear that a hold could not be committed.
    CommitRefusalUnheard,
    /// A refund that the provider refuses for good is taken for done.
    RefusedRefundDone,
    /// A replayed entity does not know which timer it has set.
    DeadlineForgotten,
    /// A refund gives no tax back in the ledger.
    TaxKeptOnRefund,
    /// A guest's cart is taken over again at the next sign-in, although it has not changed.
    AbsorbedTwice,
    /// A command's deadline does not cross the wire.
    DeadlineLeftBehind,
}

impl Bug {
    /// Those that one node can have.
    pub const OF_ONE_NODE: [Self; 24] = [
        Self::ReplyBeforeCommit,
        Self::NoEpochCheck,
        Self::UnknownUnderTheSameEpoch,
        Self::OutrunsTheQueue,
        Self::AppliedAfterAFailure,
        Self::HeadTooEarly,
        Self::SnapshotUncommitted,
        Self::HoldKeptOnDecline,
        Self::HoldLapsesDuringCapture,
        Self::DoubleCapture,
        Self::RefundTwice,
        Self::PositionGap,
        Self::LostTimer,
        Self::WatermarkRuns,
        Self::OperationForgotten,
        Self::RefundBeyondCapture,
        Self::OversoldByOne,
        Self::CancelledAndKept,
        Self::CaptureBeforeCommit,
        Self::CommitRefusalUnheard,
        Self::RefusedRefundDone,
        Self::DeadlineForgotten,
        Self::TaxKeptOnRefund,
        Self::AbsorbedTwice,
    ];
    /// Those that it takes a second node to see, and that the simulation must find.
    pub const OF_TWO_NODES: [Self; 10] = [
        Self::ZombieReads,
        Self::TakenTooSoon,
        Self::TenureFromTheAnswer,
        Self::WrongAddressNotFollowed,
        Self::OperationLeftBehind,
        Self::EpochOfTheMessageIgnored,
        Self::DoubtForgotten,
        Self::LateMessageDecided,
        Self::DeadlineLeftBehind,
        Self::EarlierMessageDecided,
    ];
}

#[cfg(feature = "planted")]
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants a bug in this process, or takes it out again.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u8), Relaxed);
}

/// Whether this bug is planted: never, without the feature.
#[must_use]
#[inline]
pub fn is(bug: Bug) -> bool {
    #[cfg(feature = "planted")]
    return PLANTED.load(Relaxed) == bug as u8;
    #[cfg(not(feature = "planted"))]
    {
        let _ = bug;
        false
    }
}
