//! How many calls of a class are worked on at once: as many as are still answered in time.
//!
//! Pure. Time comes in windows. While the typical call of a window takes no longer than it may, a limit
//! that was reached rises (and doubles until the first that takes longer); when it takes longer, the
//! limit falls to what the class's own pace can answer in time (Little's law: in flight = answered a
//! second × seconds each). So it finds the size of whatever stands behind it, a processor or a slow
//! neighbour, without being told, and follows when that changes.
//!
//! What "longer" means has two parts, and the larger counts: what no shopper minds (`slow`), and three
//! tenths longer than the class takes when it has the shop to itself, which is learnt.

use std::time::Duration;

/// The limit never falls below this, so that there is always something to learn from.
pub(super) const FLOOR: usize = 16;
/// The limit before anything is known.
const START: usize = 64;
/// How many calls of a window are looked at: the last ones.
const SAMPLES: usize = 128;
/// A limit falls to this part at most in one window, and by this much at least.
const FALL: (f64, f64) = (0.5, 0.95);
/// Over how many seconds the class's pace is seen.
const PACE_FADES: f64 = 1.0;
/// How quickly what is known of calls without load fades, so that a lasting change is learnt.
const FADES: f64 = 1.001;
/// How much longer than without load a call may take.
const LONGER: f64 = 1.3;
/// How many times as long as a call takes without load is taken off the wait before it, down to this part of the
/// longest: so that a quick class sits out a rush, and a call of a slow one takes, with its wait, hardly twice as
/// long as without load.
const WAIT: (f64, f64) = (4.5, 0.1);

/// The limit of one class.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    now: f64,
    floor: f64,
    ceiling: f64,
    slow: f64,
    /// Seconds a call takes without load; nothing before the first window.
    unloaded: Option<f64>,
    samples: Vec<f32>,
    answered: u32,
    /// Calls answered a second, over about the last [`PACE_FADES`].
    paced: f64,
    /// Whether somebody found the class full in this window.
    wanted: bool,
    /// Whether something behind the edge said that it is full.
    choked: bool,
    /// Whether the calls of the last window took too long.
    late: bool,
    /// Whether those of any window did: until then nothing is known of where the limit should end.
    ever_late: bool,
    /// Whether there was something left to give then.
    gives_way: bool,
}

impl Limit {
    pub(super) fn new(ceiling: usize, slow: Duration) -> Self {
        let ceiling = ceiling.max(1);
        Self {
            now: START.min(ceiling) as f64,
            floor: FLOOR.min(ceiling) as f64,
            ceiling: ceiling as f64,
            slow: slow.as_secs_f64(),
            unloaded: None,
            samples: Vec::new(),
            answered: 0,
            paced: 0.0,
            wanted: false,
            choked: false,
            late: false,
            ever_late: false,
            gives_way: false,
        }
    }

    /// How many at once.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and the ceiling, which is a usize"
    )]
    pub(super) const fn now(&self) -> usize {
        self.now as usize
    }

    /// How long one waits for a place at most, of a wait of `longest`.
    pub(super) fn patience(&self, longest: Duration) -> Duration {
        let (taken_off, part) = WAIT;
        let takes = Duration::from_secs_f64(self.unloaded.unwrap_or(0.0) * taken_off);
        longest.saturating_sub(takes).max(longest.mul_f64(part))
    }

    /// A call was answered well; how long it took from being let in.
    pub(super) fn answered(&mut self, took: Duration) {
        let place = self.answered as usize % SAMPLES;
        let took = took.as_secs_f32();
        match self.samples.get_mut(place) {
            Some(sample) => *sample = took,
            None => self.samples.push(took),
        }
        self.answered += 1;
    }

    /// Somebody found the class full.
    pub(super) const fn wanted(&mut self) {
        self.wanted = true;
    }

    /// Something behind the edge had no room for a call that was let in.
    pub(super) const fn choked(&mut self) {
        self.choked = true;
    }

    /// Whether the calls of the last window took too long, and there was something left to give.
    pub(super) const fn gives_way(&self) -> bool {
        self.gives_way
    }

    /// Ends a window. `spared` says that a class below is late too and gives way first.
    pub(super) fn turn(&mut self, window: Duration, spared: bool) {
        let answered = std::mem::take(&mut self.answered);
        let wanted = std::mem::take(&mut self.wanted);
        let choked = std::mem::take(&mut self.choked);
        let pace = self.pace(answered, window);
        let could = self.now > self.floor;
        self.late = choked;
        if let Some(typical) = median(&mut self.samples) {
            let may_take = self.may_take();
            self.late |= typical > may_take;
            if typical > may_take && !spared {
                self.now = (pace * may_take).clamp(self.now * FALL.0, self.now * FALL.1);
            } else if typical <= may_take && !choked && wanted {
                // Quickly while nothing is felt, then step by step.
                self.now += if typical < may_take / 2.0 {
                    self.now * if self.ever_late { 0.25 } else { 1.0 }
                } else {
                    (self.now / 50.0).max(1.0)
                };
            }
            self.learn(typical);
        }
        if choked && !spared {
            self.now *= FALL.1;
        }
        self.now = self.now.clamp(self.floor, self.ceiling);
        self.ever_late |= self.late;
        self.gives_way = self.late && could;
    }

    /// Calls answered a second: in this window, or of late, whichever is more. Calls that began together
    /// end together, so a window by itself may have none of them.
    fn pace(&mut self, answered: u32, window: Duration) -> f64 {
        let seconds = window.as_secs_f64().max(1e-3);
        let pace = f64::from(answered) / seconds;
        self.paced += (pace - self.paced) * (1.0 - (-seconds / PACE_FADES).exp());
        pace.max(self.paced)
    }

    /// How long a typical call may take, seconds.
    fn may_take(&self) -> f64 {
        self.slow.max(self.unloaded.unwrap_or(0.0) * LONGER)
    }

    fn learn(&mut self, typical: f64) {
        let Some(known) = self.unloaded else {
            // What is slow from the beginning may be so because there is too much of it.
            if typical <= self.may_take() || self.now <= self.floor {
                self.unloaded = Some(typical);
            }
            return;
        };
        self.unloaded = Some(if typical <= known {
            typical
        } else if typical <= self.may_take() {
            (known * FADES).min(typical)
        } else if self.now <= self.floor {
            // There is nothing left to give: it simply takes that long now.
            known + (typical - known) / 10.0
        } else {
            known
        });
    }
}

/// The middle one, which a few that dawdle do not move; forgets them.
fn median(samples: &mut Vec<f32>) -> Option<f64> {
    let middle = samples.len() / 2;
    if samples.is_empty() {
        return None;
    }
    let (_, median, _) = samples.select_nth_unstable_by(middle, f32::total_cmp);
    let median = f64::from(*median);
    samples.clear();
    Some(median)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_millis(100);
    const SLOW: Duration = Duration::from_millis(250);

    /// A neighbour that works on `places` calls at once, each for `each` seconds, and is always full:
    /// what a window looks like from its limit.
    fn window(limit: &mut Limit, places: f64, each: f64) {
        let in_flight = limit.now() as f64;
        let pace = places.min(in_flight) / each;
        let latency = in_flight / pace;
        let mut answered = (pace * WINDOW.as_secs_f64()).round();
        while answered > 0.0 {
            limit.answered(Duration::from_secs_f64(latency));
            answered -= 1.0;
        }
        limit.wanted();
        limit.turn(WINDOW, false);
    }

    #[test]
    fn it_finds_the_size_of_a_slow_neighbour_and_follows_when_that_grows() {
        let mut limit = Limit::new(512, SLOW);
        // Alone: one call at a time.
        for _ in 0..20 {
            limit.answered(Duration::from_millis(200));
            limit.turn(WINDOW, false);
        }
        assert_eq!(limit.now(), 64, "nobody asked for more");
        for _ in 0..50 {
            window(&mut limit, 40.0, 0.2);
        }
        // 200 a second, each of which may take 300 ms.
        assert!((54..=66).contains(&limit.now()), "{limit:?}");
        for _ in 0..200 {
            window(&mut limit, 400.0, 0.2);
        }
        assert!(limit.now() > 400, "{limit:?}");
    }

    #[test]
    fn calls_that_end_together_do_not_shake_it() {
        let mut limit = Limit::new(512, SLOW);
        limit.answered(Duration::from_millis(200));
        limit.turn(WINDOW, false);
        // Forty places of 0.2 s whose calls end at the same moments, now more of them in a window, now fewer.
        for n in 0..300 {
            let answered = [4, 36, 0, 40, 10, 30][n % 6];
            let latency = limit.now().max(40) as f64 / 200.0;
            for _ in 0..answered {
                limit.answered(Duration::from_secs_f64(latency));
            }
            limit.wanted();
            limit.turn(WINDOW, false);
            assert!(n < 100 || (50..=75).contains(&limit.now()), "{n}: {limit:?}");
        }
    }

    #[test]
    fn it_rises_to_its_ceiling_while_calls_are_quick_and_wanted() {
        let mut limit = Limit::new(512, SLOW);
        for _ in 0..30 {
            window(&mut limit, 1_000.0, 0.005);
        }
        assert_eq!(limit.now(), 512);
    }

    #[test]
    fn it_doubles_until_the_first_that_are_late() {
        let mut limit = Limit::new(512, SLOW);
        window(&mut limit, 1_000.0, 0.005);
        window(&mut limit, 1_000.0, 0.005);
        assert_eq!(limit.now(), 256);
        window(&mut limit, 40.0, 0.2);
        let fell_to = limit.now();
        assert!(fell_to < 256);
        window(&mut limit, 1_000.0, 0.005);
        assert!((fell_to + 1..fell_to * 3 / 2).contains(&limit.now()), "{limit:?}");
    }

    #[test]
    fn who_is_quick_waits_longer_than_who_is_slow_anyway() {
        let longest = Duration::from_secs(1);
        let patience = |alone: u64| {
            let mut limit = Limit::new(512, SLOW);
            for _ in 0..200 {
                limit.answered(Duration::from_millis(alone));
                limit.turn(WINDOW, false);
            }
            limit.patience(longest).as_millis()
        };
        assert_eq!(
            Limit::new(512, SLOW).patience(longest),
            longest,
            "nothing is known yet"
        );
        assert_eq!([patience(10), patience(200), patience(400)], [955, 100, 100]);
        assert_eq!(Limit::new(512, SLOW).patience(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn a_few_that_dawdle_do_not_move_it() {
        let mut limit = Limit::new(512, SLOW);
        for n in 0..100_u64 {
            let took = if n % 3 == 0 { 9_000 } else { 3 };
            limit.answered(Duration::from_millis(took));
        }
        limit.turn(WINDOW, false);
        assert!(!limit.late && limit.now() == 64);
    }

    #[test]
    fn who_is_spared_keeps_its_limit_and_says_that_it_is_late() {
        let mut limit = Limit::new(512, SLOW);
        limit.answered(Duration::from_secs(1));
        limit.turn(WINDOW, true);
        assert_eq!(limit.now(), 64);
        assert!(limit.gives_way());
        limit.answered(Duration::from_secs(1));
        limit.turn(WINDOW, false);
        assert_eq!(limit.now(), 32);
        for _ in 0..20 {
            limit.answered(Duration::from_secs(1));
            limit.turn(WINDOW, false);
        }
        assert_eq!(limit.now(), FLOOR);
        assert!(!limit.gives_way(), "there is nothing left to give");
    }

    #[test]
    fn at_the_floor_a_lasting_slowness_is_learnt() {
        let mut limit = Limit::new(512, SLOW);
        for _ in 0..200 {
            limit.answered(Duration::from_secs(1));
            limit.wanted();
            limit.turn(WINDOW, false);
        }
        assert!(!limit.late && limit.now() > FLOOR, "{limit:?}");
    }

    #[test]
    fn something_full_behind_the_edge_is_felt_at_once() {
        let mut limit = Limit::new(512, SLOW);
        for _ in 0..10 {
            limit.answered(Duration::from_millis(1));
            limit.wanted();
            limit.choked();
            limit.turn(WINDOW, false);
        }
        assert!(limit.now() < 64, "{limit:?}");
    }
}
