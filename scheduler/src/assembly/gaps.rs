//! The block so far as a plan in time -> the earliest gap in which an order fits.
//!
//! An order takes all that it touches from its start until all its gas is done. One that reads a
//! place cannot start while another writes there; one that writes cannot start so that a reader
//! starts before it is done. So an order may start before others that were taken earlier: it
//! precedes them in the block.
//!
//! Invariant: read in order of their starts, no order is done later than planned here.

use crate::{FAN_IN_MAX, uses::Uses};

/// How often a start is moved before the end of the plan is taken.
const MOVES_MAX: usize = 64;

/// What is planned at one place.
#[derive(Clone, Debug, Default)]
struct Plan {
    writes: Intervals,
    credits: Intervals,
    /// Starts, ascending.
    reads: Vec<u64>,
    glances: Vec<u64>,
}

/// The places of a block, and what is planned there.
#[derive(Debug)]
pub(super) struct Gaps {
    places: Vec<Plan>,
    span: u64,
}

impl Gaps {
    /// Nothing is planned.
    pub(super) fn new(places: usize) -> Self {
        Self { places: vec![Plan::default(); places], span: 0 }
    }

    /// When everything is done.
    pub(super) const fn span(&self) -> u64 {
        self.span
    }

    /// When an order can start that takes so long, not before `floor` and not to end after
    /// `end_max`.
    pub(super) fn start_of(
        &self,
        uses: &[(u32, Uses)],
        gas: u64,
        floor: u64,
        end_max: u64,
    ) -> Option<u64> {
        let fits = |start: u64| start.saturating_add(gas) <= end_max;
        let mut start = floor;
        for _ in 0..MOVES_MAX {
            if !fits(start) {
                return None;
            }
            let moved = self.furthest(uses, start, |plan, uses| plan.moved(uses, start, gas));
            if moved == start {
                return Some(start);
            }
            start = moved;
        }
        let last = self.furthest(uses, floor, Plan::last);
        fits(last).then_some(last)
    }

    /// Plans an order.
    pub(super) fn add(&mut self, uses: &[(u32, Uses)], start: u64, gas: u64) {
        let end = start.saturating_add(gas);
        for &(place, uses) in uses {
            let plan = &mut self.places[place as usize];
            if uses.contains(Uses::READ) {
                insert(&mut plan.reads, start);
            } else if uses.contains(Uses::GLANCE) {
                insert(&mut plan.glances, start);
            }
            if uses.contains(Uses::WRITE) {
                plan.writes.insert(start, end);
            } else if uses.contains(Uses::CREDIT) {
                plan.credits.insert(start, end);
            }
        }
        self.span = self.span.max(end);
    }

    fn furthest(&self, uses: &[(u32, Uses)], start: u64, of: impl Fn(&Plan, Uses) -> u64) -> u64 {
        let starts = uses.iter().map(|&(place, uses)| of(&self.places[place as usize], uses));
        starts.fold(start, u64::max)
    }
}

impl Plan {
    /// A later start if this place does not allow this one.
    fn moved(&self, uses: Uses, start: u64, gas: u64) -> u64 {
        let mut moved = start;
        if uses.intersects(Uses::READ | Uses::GLANCE) {
            moved = moved.max(self.writes.end_of(start));
        }
        if uses.contains(Uses::READ) {
            moved = moved.max(self.credits.end_of(start));
        }
        let end = start.saturating_add(gas);
        if uses.intersects(Uses::WRITE | Uses::CREDIT) {
            moved = moved.max(first_within(&self.reads, start, end));
        }
        if uses.contains(Uses::WRITE) {
            moved = moved.max(first_within(&self.glances, start, end));
        }
        moved
    }

    /// A start that this place allows whatever the gas.
    fn last(&self, uses: Uses) -> u64 {
        let mut last = 0;
        if uses.intersects(Uses::READ | Uses::GLANCE) {
            last = last.max(self.writes.end());
        }
        if uses.contains(Uses::READ) {
            last = last.max(self.credits.end());
        }
        if uses.intersects(Uses::WRITE | Uses::CREDIT) {
            last = last.max(self.reads.last().copied().unwrap_or(0));
        }
        if uses.contains(Uses::WRITE) {
            last = last.max(self.glances.last().copied().unwrap_or(0));
        }
        last
    }
}

/// The first of these strictly between the two, else the start.
fn first_within(starts: &[u64], start: u64, end: u64) -> u64 {
    let at = starts.partition_point(|&it| it <= start);
    starts.get(at).copied().filter(|&it| it < end).unwrap_or(start)
}

fn insert(starts: &mut Vec<u64>, start: u64) {
    let at = starts.partition_point(|&it| it <= start);
    starts.insert(at, start);
}

/// Times at which something is under way: from each left end up to its right end, apart and
/// ascending.
#[derive(Clone, Debug, Default)]
struct Intervals(Vec<(u64, u64)>);

impl Intervals {
    /// The end of what is under way at this time; the time itself if nothing is.
    fn end_of(&self, time: u64) -> u64 {
        let after = self.0.partition_point(|&(start, _)| start <= time);
        let under_way = after.checked_sub(1).map(|at| self.0[at].1);
        under_way.map_or(time, |end| end.max(time))
    }

    fn end(&self) -> u64 {
        self.0.last().map_or(0, |&(_, end)| end)
    }

    fn insert(&mut self, start: u64, end: u64) {
        if start == end {
            return;
        }
        let from = self.0.partition_point(|&(_, other)| other < start);
        let to = self.0.partition_point(|&(other, _)| other <= end);
        let joined = self.0[from..to]
            .iter()
            .fold((start, end), |all, one| (all.0.min(one.0), all.1.max(one.1)));
        self.0.splice(from..to, [joined]);
    }
}

/// Uses at a place that so many orders may credit. Beyond [`FAN_IN_MAX`] the
/// conflict graph orders readers one after the other, and so does the plan.
pub(super) fn as_planned(uses: Uses, creditors: usize) -> Uses {
    if creditors > FAN_IN_MAX && uses.contains(Uses::READ) { uses | Uses::WRITE } else { uses }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_that_touch_are_one() {
        let mut intervals = Intervals::default();
        for (start, end) in [(10, 20), (40, 50), (20, 25), (5, 5), (45, 60)] {
            intervals.insert(start, end);
        }
        assert_eq!(intervals.0, [(10, 25), (40, 60)]);
        intervals.insert(24, 41);
        assert_eq!(intervals.0, [(10, 60)]);
        assert_eq!([9, 10, 59, 60].map(|time| intervals.end_of(time)), [9, 60, 60, 60]);
    }

    #[test]
    fn an_order_takes_the_first_gap_that_is_long_enough() {
        let both = Uses::READ | Uses::WRITE;
        let mut gaps = Gaps::new(2);
        gaps.add(&[(0, both)], 0, 10);
        gaps.add(&[(0, both), (1, both)], 10, 10);
        // Place 1 is free until 10.
        assert_eq!(gaps.start_of(&[(1, both)], 10, 0, 100), Some(0));
        assert_eq!(gaps.start_of(&[(1, both)], 11, 0, 100), Some(20));
        assert_eq!(gaps.start_of(&[(1, both)], 10, 1, 100), Some(20));
        assert_eq!(gaps.start_of(&[(1, both)], 11, 0, 30), None);
        // One that only reads does not matter to those who write after it.
        assert_eq!(gaps.start_of(&[(1, Uses::READ)], 50, 0, 100), Some(0));
        assert_eq!(gaps.start_of(&[(1, Uses::READ)], 50, 15, 100), Some(20));
        // One that only writes does not wait for writers, but for who is to read before.
        assert_eq!(gaps.start_of(&[(1, Uses::WRITE)], 10, 0, 100), Some(0));
        assert_eq!(gaps.start_of(&[(1, Uses::WRITE)], 11, 0, 100), Some(10));
    }
}
