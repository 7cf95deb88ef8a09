//! Whether running ahead is of use, by how much of it was in vain, and what it leaves
//! to do.
//!
//! Where hardly anything is of use, it stops for a number of transactions, each
//! time for twice as many, and is tried again with a few.

/// Transactions that are run ahead to see whether that is of use.
pub(crate) const PROBE: usize = 32;

/// Runs after which it is judged, and how many of them may be in vain.
const JUDGED: usize = 16;
const IN_VAIN_MAX: usize = 12;

/// Transactions without a trial, the first time and at most.
const PAUSE_MIN: usize = 128;
const PAUSE_MAX: usize = 1 << 12;

/// What it takes to see that a run counts and to take over what it did, in gas that
/// could be spent on executing in that time.
const TAKING: u64 = 10_000;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Trials {
    judged: usize,
    in_vain: usize,
    /// The transaction at which it is tried again; none while it is.
    next: Option<usize>,
    pause: usize,
    /// What the runs cost, in gas, and what they left to do; and how many they were.
    runs_cost: u64,
    rest_cost: u64,
    runs: usize,
}

impl Default for Trials {
    fn default() -> Self {
        Self {
            judged: 0,
            in_vain: 0,
            next: Some(0),
            pause: PAUSE_MIN,
            runs_cost: 0,
            rest_cost: 0,
            runs: 0,
        }
    }
}

impl Trials {
    /// Whether others are to run ahead from transaction `tx` on.
    pub(crate) fn begin_at(&mut self, tx: usize) -> bool {
        self.next.take_if(|next| *next <= tx).is_some()
    }

    /// How many runs that were made ahead have been noted.
    pub(crate) const fn runs(&self) -> usize {
        self.runs
    }

    /// What they leave to do, in percent of what they cost; told every so many runs.
    pub(crate) fn burden(&self) -> Option<usize> {
        if !self.runs.is_multiple_of(JUDGED) {
            return None;
        }
        let percent = (100 * self.rest_cost).checked_div(self.runs_cost)?;
        Some(usize::try_from(percent).unwrap_or(usize::MAX))
    }

    /// Notes a run that was made ahead, of this cost in gas; whether to stop.
    pub(crate) fn note(&mut self, tx: usize, cost: u64, is_in_vain: bool) -> bool {
        self.runs += 1;
        self.runs_cost += cost;
        self.rest_cost += TAKING + if is_in_vain { cost } else { 0 };
        if self.next.is_some() {
            return false;
        }
        self.judged += 1;
        self.in_vain += usize::from(is_in_vain);
        if self.judged < JUDGED {
            return false;
        }
        let stops = self.in_vain > IN_VAIN_MAX;
        if stops {
            self.next = Some(tx + self.pause);
            self.pause = (2 * self.pause).min(PAUSE_MAX);
        } else {
            self.pause = PAUSE_MIN;
        }
        (self.judged, self.in_vain) = (0, 0);
        stops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_in_vain_are_made_ever_more_seldom() {
        let mut trials = Trials::default();
        let mut stops = Vec::new();
        for tx in 0..20_000 {
            trials.begin_at(tx);
            if trials.note(tx, 30_000, true) {
                stops.push(tx);
            }
        }
        let pauses: Vec<_> = stops.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(pauses[..6], [143, 271, 527, 1039, 2063, 4111]);
    }

    #[test]
    fn what_is_of_use_now_and_then_goes_on() {
        let mut trials = Trials::default();
        assert!(trials.begin_at(0));
        assert!(
            (0..20_000).all(|tx| !trials.note(tx, 30_000, tx % 3 != 0) && !trials.begin_at(tx))
        );
    }

    #[test]
    fn what_runs_leave_to_do_is_known_after_a_few() {
        let mut trials = Trials::default();
        for tx in 0..JUDGED {
            assert_eq!(trials.burden(), None);
            trials.note(tx, 40_000, tx % 4 == 0);
        }
        // A quarter to be taken over, of a quarter all again.
        assert_eq!(trials.burden(), Some(50));
    }
}
