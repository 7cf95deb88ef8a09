//! How far ahead of the first unsettled task others are run, by how many were
//! done in vain.
//!
//! The window is halved for a task that was done in vain, and widened by one for
//! one that was not. Where too many are, more threads gain nothing: then the tasks
//! are run one by one, on what is settled, for ever longer stretches.

/// The widest window that is counted: beyond it nothing is gained.
pub(crate) const WINDOW_MAX: usize = 1 << 20;

/// Tasks after which it is judged how many were done in vain.
const JUDGED: usize = 32;

/// Of those, how many are too many.
const IN_VAIN_MAX: usize = 10;

/// Tasks that are run one by one, at first and at most.
const ONE_BY_ONE_MIN: usize = 64;
const ONE_BY_ONE_MAX: usize = 1 << 10;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Pace {
    window: usize,
    /// The widest window after a task was done in vain.
    after_miss: usize,
    judged: usize,
    in_vain: usize,
    /// Tasks to be run one by one, and how many the next time.
    one_by_one: usize,
    next_time: usize,
}

impl Pace {
    pub(crate) const fn new(window: usize, after_miss: usize) -> Self {
        let (judged, in_vain, one_by_one, next_time) = (0, 0, 0, ONE_BY_ONE_MIN);
        Self { window, after_miss, judged, in_vain, one_by_one, next_time }
    }

    /// The window after one more task is settled.
    pub(crate) fn settled(&mut self, in_vain: bool) -> usize {
        if self.one_by_one > 0 {
            self.one_by_one -= 1;
            return if self.one_by_one > 0 { 1 } else { self.window };
        }
        self.judged += 1;
        if in_vain {
            self.in_vain += 1;
            self.window = (self.window.min(self.after_miss) / 2).max(1);
        } else {
            self.window = (self.window + 1).min(WINDOW_MAX);
        }
        if self.judged == JUDGED {
            if self.in_vain > IN_VAIN_MAX {
                self.one_by_one = self.next_time;
                self.next_time = (self.next_time * 2).min(ONE_BY_ONE_MAX);
            } else {
                self.next_time = ONE_BY_ONE_MIN;
            }
            (self.judged, self.in_vain) = (0, 0);
        }
        if self.one_by_one > 0 { 1 } else { self.window }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_narrows_with_what_is_done_in_vain_and_widens_again() {
        let mut pace = Pace::new(100, 16);
        assert_eq!(pace.settled(false), 101);
        assert_eq!(pace.settled(true), 8);
        assert_eq!(pace.settled(true), 4);
        assert_eq!(pace.settled(false), 5);
    }

    #[test]
    fn where_most_is_in_vain_tasks_run_one_by_one_for_ever_longer() {
        let mut pace = Pace::new(16, 16);
        let mut stretches = Vec::new();
        let mut alone = 0;
        for _ in 0..20_000 {
            let before = pace.one_by_one;
            let window = pace.settled(true);
            assert!(pace.one_by_one == 0 || window == 1);
            alone += usize::from(before > 0);
            if before > 0 && pace.one_by_one == 0 {
                stretches.push(before.max(alone));
                alone = 0;
            }
        }
        assert_eq!(stretches[..6], [64, 128, 256, 512, 1024, 1024]);
    }

    #[test]
    fn where_little_is_in_vain_nobody_stops() {
        let mut pace = Pace::new(16, 16);
        for task in 0..10_000 {
            pace.settled(task % 4 == 0);
            assert_eq!(pace.one_by_one, 0);
        }
    }
}
