//! What happened in a simulation, in order: a digest always, the lines when somebody wants to read.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Clock;

/// How many lines are kept; older ones go.
const KEPT: usize = 200_000;
/// FNV-1a, 64 bits (Fowler, Noll, Vo): start and multiplier.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// A trace. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trace {
    clock: Clock,
    noted: Arc<Mutex<Noted>>,
}

#[derive(Debug)]
struct Noted {
    digest: u64,
    count: u64,
    line: String,
    kept: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace on this clock. `keep`: whether its lines can be read afterwards.
    #[must_use]
    pub fn new(clock: Clock, keep: bool) -> Self {
        Self {
            clock,
            noted: Arc::new(Mutex::new(Noted {
                digest: BASIS,
                count: 0,
                line: String::new(),
                kept: keep.then(Vec::new),
            })),
        }
    }

    /// Notes that something happened now.
    pub fn note(&self, what: fmt::Arguments<'_>) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let Noted {
            digest,
            count,
            line,
            kept,
        } = &mut *noted;
        line.clear();
        // Writing into a string cannot fail.
        let _ = write!(line, "{:>10} {what}", self.clock.now().0 % 100_000_000);
        *count += 1;
        for byte in line.bytes() {
            *digest = (*digest ^ u64::from(byte)).wrapping_mul(PRIME);
        }
        if let Some(kept) = kept
            && kept.len() < KEPT
        {
            kept.push(line.clone());
        }
    }

    /// The same for two runs that were the same.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).digest
    }

    /// How many things were noted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// The lines, if they were kept.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.kept.clone().unwrap_or_default()
    }
}
