//! The uses of one place in block order -> hazards: who last wrote, who
//! credited since, who read since.
//!
//! One pass per place, so the cost is linear in the uses. Two pairings could
//! still be quadratic, since credits do not shadow each other: many credits
//! times many later readers, and many readers times many later credits. There
//! the fan-in is bounded: a transaction that met more than [`FAN_IN_MAX`]
//! others in one such list stands for them, and later ones meet it instead.
//! Order is kept, because what it stands for reaches them through it.

use forewave_analyzer::TxIndex;

use crate::{Hazard, uses::Uses};

/// The longest list of credits (for a reader) or of readers (for a credit)
/// that more than one transaction is connected to.
pub const FAN_IN_MAX: usize = 32;

/// What a later reader of a place finds there.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    /// The last write.
    write: Option<TxIndex>,
    /// Credits since then.
    credits: Meetable,
}

impl Versions {
    /// Emits those that `tx` reads from.
    pub(crate) fn read(&mut self, tx: TxIndex, mut emit: impl FnMut(TxIndex)) {
        self.write.into_iter().for_each(&mut emit);
        self.credits.meet(tx, emit);
    }

    /// A write hides what was there.
    pub(crate) fn replace(&mut self, tx: TxIndex) {
        self.credits.clear();
        self.write = Some(tx);
    }

    /// A credit adds to it.
    pub(crate) fn credit(&mut self, tx: TxIndex) {
        self.credits.push(tx);
    }

    fn clear(&mut self) {
        self.write = None;
        self.credits.clear();
    }
}

/// What later uses of a place can still meet.
#[derive(Debug, Default)]
pub(crate) struct Frontier {
    versions: Versions,
    /// Reads since then.
    readers: Meetable,
    /// Glances since then: only a write meets them.
    glances: Vec<TxIndex>,
}

impl Frontier {
    /// Forgets everything, keeping the allocations for the next place.
    pub(crate) fn clear(&mut self) {
        self.versions.clear();
        self.readers.clear();
        self.glances.clear();
    }

    /// Passes over the uses that `tx` makes of the place, and emits each
    /// earlier transaction it meets. Transactions come in ascending order;
    /// the same hazard may be emitted twice.
    pub(crate) fn advance(
        &mut self,
        tx: TxIndex,
        uses: Uses,
        emit: &mut impl FnMut(TxIndex, Hazard),
    ) {
        if uses.contains(Uses::READ) {
            self.versions.read(tx, |earlier| emit(earlier, Hazard::Raw));
        } else if uses.contains(Uses::GLANCE) {
            self.versions.write.into_iter().for_each(|earlier| emit(earlier, Hazard::Raw));
        }
        if uses.contains(Uses::WRITE) {
            self.replace(tx, emit);
            return;
        }
        if uses.contains(Uses::CREDIT) {
            self.versions.write.into_iter().for_each(|earlier| emit(earlier, Hazard::Waw));
            self.readers.meet(tx, |earlier| emit(earlier, Hazard::War));
            self.versions.credit(tx);
        }
        if uses.contains(Uses::READ) {
            self.readers.push(tx);
        } else if uses.contains(Uses::GLANCE) {
            self.glances.push(tx);
        }
    }

    /// A write meets everything that is still there, and hides it.
    fn replace(&mut self, tx: TxIndex, emit: &mut impl FnMut(TxIndex, Hazard)) {
        for &earlier in self.versions.write.iter().chain(&self.versions.credits.list) {
            emit(earlier, Hazard::Waw);
        }
        for &earlier in self.readers.list.iter().chain(&self.glances) {
            emit(earlier, Hazard::War);
        }
        self.clear();
        self.versions.replace(tx);
    }
}

/// A list that many later transactions meet as a whole.
#[derive(Debug, Default)]
pub(crate) struct Meetable {
    list: Vec<TxIndex>,
    /// Who stands for the first `met` entries, if anybody does.
    stand_in: Option<TxIndex>,
    met: usize,
}

impl Meetable {
    pub(crate) fn push(&mut self, tx: TxIndex) {
        self.list.push(tx);
    }

    fn clear(&mut self) {
        self.list.clear();
        self.stand_in = None;
        self.met = 0;
    }

    /// Emits all entries, or who stands for them.
    pub(crate) fn meet(&mut self, tx: TxIndex, mut emit: impl FnMut(TxIndex)) {
        let rest = &self.list[self.met..];
        self.stand_in.iter().chain(rest).for_each(|&earlier| emit(earlier));
        if rest.len() > FAN_IN_MAX {
            self.stand_in = Some(tx);
            self.met = self.list.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs uses written as words (`R`, `W`, `C`redit, `G`lance; several letters for one
    /// transaction) and returns the hazards as text.
    fn check(uses: &str, expected: &str) {
        let mut frontier = Frontier::default();
        let mut hazards = Vec::new();
        for (position, word) in uses.split_whitespace().enumerate() {
            let tx = TxIndex::new(position);
            let uses = word.chars().fold(Uses::NONE, |uses, letter| {
                uses | match letter {
                    'R' => Uses::READ,
                    'W' => Uses::WRITE,
                    'C' => Uses::CREDIT,
                    'G' => Uses::GLANCE,
                    _ => Uses::NONE,
                }
            });
            frontier.advance(tx, uses, &mut |earlier, hazard| {
                hazards.push(format!("{}{hazard}{}", earlier.index(), tx.index()));
            });
        }
        assert_eq!(hazards.join(" "), expected, "{uses}");
    }

    #[test]
    fn each_pair_of_uses_meets_as_its_rule_says() {
        for (uses, expected) in [
            ("R R", ""),
            ("W R", "0RAW1"),
            ("R W", "0WAR1"),
            ("W W", "0WAW1"),
            ("C C", ""),
            ("C R", "0RAW1"),
            ("C W", "0WAW1"),
            ("R C", "0WAR1"),
            ("W C", "0WAW1"),
            ("RW RW", "0RAW1 0WAW1"),
            ("RC RC", "0RAW1 0WAR1"),
            ("G W", "0WAR1"),
            ("W G", "0RAW1"),
            ("G C", ""),
            ("C G", ""),
            ("G R G", ""),
        ] {
            check(uses, expected);
        }
    }

    #[test]
    fn a_write_hides_what_was_before_it_and_a_credit_does_not() {
        check("W W R", "0WAW1 1RAW2");
        check("R W W", "0WAR1 1WAW2");
        check("W C C R", "0WAW1 0WAW2 0RAW3 1RAW3 2RAW3");
        check("C C W R", "0WAW2 1WAW2 2RAW3");
        check("R C W", "0WAR1 1WAW2 0WAR2");
    }

    #[test]
    fn beyond_the_bound_one_reader_stands_for_the_credits_it_has_read() {
        let mut frontier = Frontier::default();
        let credits = FAN_IN_MAX + 1;
        let mut fan_in = Vec::new();
        for position in 0..credits + 3 {
            let uses = if position < credits { Uses::CREDIT } else { Uses::READ };
            let mut met = Vec::new();
            frontier.advance(TxIndex::new(position), uses, &mut |earlier, _| met.push(earlier));
            fan_in.push(met);
        }
        assert_eq!(fan_in[credits].len(), credits);
        assert_eq!(fan_in[credits + 1], [TxIndex::new(credits)]);
        assert_eq!(fan_in[credits + 2], [TxIndex::new(credits)]);
    }
}
