//! Few registers instead of one for each expression: those that are not needed at
//! the same time share one, and what is only copied stays where it is.
//!
//! The usual steps of a compiler: which registers are read again (liveness), which
//! of them may not share (interference), copies whose two ends may share made one
//! (coalescing, after Chaitin), then the lowest number that no neighbour has.

use super::{End, Operand, Operation, Program, Span, Way};

/// Registers of a program that are allocated anew; of more, each keeps its own.
const REGISTERS_MAX: usize = 1 << 14;

/// Bits of what is live at the beginning of all stretches.
const LIVE_BITS_MAX: usize = 1 << 28;

/// Rows of bits, one for each of some registers or stretches.
struct Rows {
    words: Vec<u64>,
    width: usize,
}

impl Rows {
    fn new(rows: usize, bits: usize) -> Self {
        let width = bits.div_ceil(64);
        Self { words: vec![0; rows * width], width }
    }

    fn row(&self, at: usize) -> &[u64] {
        &self.words[at * self.width..][..self.width]
    }

    fn row_mut(&mut self, at: usize) -> &mut [u64] {
        &mut self.words[at * self.width..][..self.width]
    }
}

fn has(row: &[u64], at: usize) -> bool {
    row[at / 64] >> (at % 64) & 1 != 0
}

fn set(row: &mut [u64], at: usize, is_in: bool) {
    let bit = 1 << (at % 64);
    if is_in {
        row[at / 64] |= bit;
    } else {
        row[at / 64] &= !bit;
    }
}

fn unite(row: &mut [u64], other: &[u64]) {
    row.iter_mut().zip(other).for_each(|(word, other)| *word |= other);
}

fn members(row: &[u64]) -> impl Iterator<Item = usize> + '_ {
    row.iter().enumerate().flat_map(|(at, word)| {
        let mut left = *word;
        core::iter::from_fn(move || {
            let bit = left.trailing_zeros();
            left &= left.checked_sub(1)?;
            Some(at * 64 + bit as usize)
        })
    })
}

/// The number of a register; none of a constant.
fn register(operand: Operand) -> Option<usize> {
    (operand.0 < Operand::CONSTANTS).then_some(operand.0.into())
}

impl Program {
    /// The same program with registers shared; those that hold pointers to free memory
    /// only with each other.
    pub(super) fn with_few_registers(mut self, pointers: &[u16]) -> Self {
        let registers = usize::from(self.registers);
        if registers > REGISTERS_MAX || registers * self.stretches.len() > LIVE_BITS_MAX {
            return self;
        }
        let live = self.live();
        let mut conflicts = Conflicts::new(registers);
        for pointer in pointers {
            conflicts.are_pointers[usize::from(*pointer)] = !has(live.row(0), (*pointer).into());
        }
        self.find_conflicts(&live, &mut conflicts);
        let at_entry: Vec<usize> = members(live.row(0)).collect();
        for (to, from) in
            self.binds.iter().filter_map(|(to, from)| register(*to).zip(register(*from)))
        {
            conflicts.coalesce(to, from);
        }
        let (numbers, count, pointers) = conflicts.numbers(&at_entry);
        self.rename(|operand| match register(operand) {
            Some(register) => Operand(numbers[register]),
            None => operand,
        });
        self.drop_idle();
        self.assigned = at_entry.iter().map(|at| numbers[*at] + 1).max().unwrap_or(0);
        self.registers = count;
        self.pointers = pointers;
        self
    }

    /// Which registers are read again, where each stretch begins.
    fn live(&self) -> Rows {
        let count = self.stretches.len();
        let mut live = Rows::new(count, self.registers.into());
        let mut before: Vec<Vec<usize>> = vec![Vec::new(); count];
        for (at, stretch) in self.stretches.iter().enumerate() {
            for way in stretch.end.ways() {
                before[usize::from(way.to)].push(at);
            }
        }
        let mut is_waiting = vec![true; count];
        let mut work: Vec<usize> = (0..count).collect();
        while let Some(at) = work.pop() {
            is_waiting[at] = false;
            let mut row = self.live_at_end(at, &live);
            for operation in self.operations_of(at).rev() {
                self.step_back(operation, &mut row);
            }
            if live.row(at) != row {
                live.row_mut(at).copy_from_slice(&row);
                for &earlier in &before[at] {
                    if !core::mem::replace(&mut is_waiting[earlier], true) {
                        work.push(earlier);
                    }
                }
            }
        }
        live
    }

    fn operations_of(&self, stretch: usize) -> impl DoubleEndedIterator<Item = &Operation> {
        self.stretches[stretch].operations.of(&self.operations).iter()
    }

    /// What is live before the end of a stretch.
    fn live_at_end(&self, stretch: usize, live: &Rows) -> Vec<u64> {
        let end = &self.stretches[stretch].end;
        let mut row = vec![0; live.width];
        for way in end.ways() {
            let mut there = live.row(way.to.into()).to_vec();
            let binds = way.binds.of(&self.binds);
            for register in binds.iter().filter_map(|(to, _)| register(*to)) {
                set(&mut there, register, false);
            }
            for register in binds.iter().filter_map(|(_, from)| register(*from)) {
                set(&mut there, register, true);
            }
            unite(&mut row, &there);
        }
        let mut read = |operand| {
            if let Some(register) = register(operand) {
                set(&mut row, register, true);
            }
        };
        match end {
            End::Branch { condition, .. } => read(*condition),
            End::Return(bytes) => self.for_each_in(bytes, &mut read),
            End::Goto(_) | End::GaveUp(_) => {}
        }
        row
    }

    /// From what is live after an operation to what is before it.
    fn step_back(&self, operation: &Operation, row: &mut [u64]) {
        let (to, reads) = operation.sets_and_reads();
        if let Some(register) = register(to) {
            if operation.is_pure() && !has(row, register) {
                return;
            }
            set(row, register, false);
        }
        for register in reads.into_iter().filter_map(register) {
            set(row, register, true);
        }
        self.for_each_listed(operation, |read| {
            if let Some(register) = register(read) {
                set(row, register, true);
            }
        });
    }

    /// What a register is set to may not lie where something is read again. Drops
    /// what is set and never read.
    fn find_conflicts(&mut self, live: &Rows, conflicts: &mut Conflicts) {
        for register in members(live.row(0)) {
            conflicts.add(register, live.row(0), None);
        }
        for at in 0..self.stretches.len() {
            let end = self.stretches[at].end;
            for way in end.ways() {
                let binds = way.binds.of(&self.binds);
                let there = live.row(way.to.into());
                let is_set =
                    |from: &usize| binds.iter().any(|(to, _)| register(*to) == Some(*from));
                for (to, from) in binds {
                    if let Some(to) = register(*to).filter(|to| has(there, *to)) {
                        // A copy holds the same as what it was copied from.
                        let same = register(*from).filter(|from| !is_set(from));
                        conflicts.add(to, there, same);
                    }
                }
            }
            let mut row = self.live_at_end(at, live);
            let span = self.stretches[at].operations;
            for position in (span.start as usize..(span.start + span.len) as usize).rev() {
                let operation = self.operations[position];
                if let Some(register) = register(operation.sets_and_reads().0) {
                    if has(&row, register) {
                        conflicts.add(register, &row, None);
                    } else if let (Some(to), _) = self.operations[position].operands() {
                        *to = Operand::NONE;
                    }
                }
                self.step_back(&operation, &mut row);
            }
            for way in end.ways() {
                let there = live.row(way.to.into());
                for (to, _) in way.binds.of_mut(&mut self.binds) {
                    if register(*to).is_some_and(|to| !has(there, to)) {
                        *to = Operand::NONE;
                    }
                }
            }
        }
    }

    fn rename(&mut self, name: impl Fn(Operand) -> Operand) {
        for operation in &mut self.operations {
            let (to, reads) = operation.operands();
            to.into_iter().chain(reads.into_iter().flatten()).for_each(|it| *it = name(*it));
        }
        let rename_bytes = |bytes: &mut super::BytesOperand| {
            if let super::BytesOperand::Memory { at, len } = bytes {
                (*at, *len) = (name(*at), name(*len));
            }
        };
        self.parts.iter_mut().for_each(|(_, word)| *word = name(*word));
        for (to, from) in &mut self.binds {
            (*to, *from) = (name(*to), name(*from));
        }
        for call in &mut self.calls {
            call.target = name(call.target);
            call.value = name(call.value);
            call.output = call.output.map(&name);
            rename_bytes(&mut call.input);
        }
        for creation in &mut self.creations {
            creation.value = name(creation.value);
            creation.salt = creation.salt.map(&name);
            rename_bytes(&mut creation.init);
        }
        for stretch in &mut self.stretches {
            match &mut stretch.end {
                End::Branch { condition, .. } => *condition = name(*condition),
                End::Return(bytes) => rename_bytes(bytes),
                End::Goto(_) | End::GaveUp(_) => {}
            }
        }
    }

    /// Drops operations that set nothing, and copies from a register to itself.
    fn drop_idle(&mut self) {
        let is_idle = |operation: &Operation| {
            operation.is_pure() && operation.sets_and_reads().0 == Operand::NONE
        };
        let operations = core::mem::take(&mut self.operations);
        let binds = core::mem::take(&mut self.binds);
        let (mut kept, mut kept_binds) = (Vec::new(), Vec::new());
        for stretch in &mut self.stretches {
            let own = stretch.operations.of(&operations).iter();
            let start = kept.len();
            kept.extend(own.filter(|operation| !is_idle(operation)));
            stretch.operations = super::lower::span(start, kept.len());
            for way in stretch.end.ways_mut() {
                let own = way.binds.of(&binds).iter();
                let start = kept_binds.len();
                kept_binds.extend(own.filter(|(to, from)| *to != Operand::NONE && to != from));
                way.binds = super::lower::span(start, kept_binds.len());
            }
        }
        self.operations = kept.into();
        self.binds = kept_binds.into();
    }
}

impl Span {
    fn of_mut<T>(self, table: &mut [T]) -> &mut [T] {
        &mut table[self.start as usize..][..self.len as usize]
    }
}

impl End {
    fn ways(&self) -> &[Way] {
        match self {
            Self::Goto(way) => core::slice::from_ref(way),
            Self::Branch { ways, .. } => ways,
            Self::Return(_) | Self::GaveUp(_) => &[],
        }
    }

    fn ways_mut(&mut self) -> &mut [Way] {
        match self {
            Self::Goto(way) => core::slice::from_mut(way),
            Self::Branch { ways, .. } => ways,
            Self::Return(_) | Self::GaveUp(_) => &mut [],
        }
    }
}

/// Registers that may not share, and which already do.
struct Conflicts {
    rows: Rows,
    /// With which other a register shares; itself if it stands for all of them.
    shares: Vec<usize>,
    /// Which hold pointers to free memory.
    are_pointers: Vec<bool>,
}

impl Conflicts {
    fn new(registers: usize) -> Self {
        Self {
            rows: Rows::new(registers, registers),
            shares: (0..registers).collect(),
            are_pointers: vec![false; registers],
        }
    }

    /// A register may not share with those of a set, one excepted.
    fn add(&mut self, register: usize, with: &[u64], except: Option<usize>) {
        let had = except.is_some_and(|it| has(self.rows.row(register), it));
        unite(self.rows.row_mut(register), with);
        if let Some(except) = except.filter(|_| !had) {
            set(self.rows.row_mut(register), except, false);
        }
        let members: Vec<usize> = members(with).filter(|it| Some(*it) != except).collect();
        for other in members {
            set(self.rows.row_mut(other), register, true);
        }
        set(self.rows.row_mut(register), register, false);
    }

    fn find(&mut self, mut register: usize) -> usize {
        while self.shares[register] != register {
            // Every other step of the way is made shorter.
            self.shares[register] = self.shares[self.shares[register]];
            register = self.shares[register];
        }
        register
    }

    /// Makes two share, if they may.
    fn coalesce(&mut self, one: usize, other: usize) {
        let (one, other) = (self.find(one), self.find(other));
        let are_alike = self.are_pointers[one] == self.are_pointers[other];
        if one == other || !are_alike || has(self.rows.row(one), other) {
            return;
        }
        let row = self.rows.row(other).to_vec();
        unite(self.rows.row_mut(one), &row);
        for neighbour in members(&row) {
            set(self.rows.row_mut(neighbour), one, true);
        }
        self.shares[other] = one;
    }

    /// The number of each register, how many there are, and how many hold pointers;
    /// those that are live at entry are the first, pointers the last.
    fn numbers(mut self, at_entry: &[usize]) -> (Vec<u16>, u16, u16) {
        let count = self.shares.len();
        let shares: Vec<usize> = (0..count).map(|register| self.find(register)).collect();
        let mut numbers: Vec<Option<u16>> = vec![None; count];
        let (mut first, mut last) = (0, 0);
        let mut taken = Vec::new();
        for are_pointers in [false, true] {
            first = last;
            for register in at_entry.iter().copied().chain(0..count) {
                let register = shares[register];
                if numbers[register].is_some() || self.are_pointers[register] != are_pointers {
                    continue;
                }
                taken.clear();
                taken.resize(usize::from(last) + 1, false);
                taken[..first.into()].fill(true);
                for neighbour in members(self.rows.row(register)) {
                    if let Some(number) = numbers[shares[neighbour]] {
                        taken[usize::from(number)] = true;
                    }
                }
                let free = taken.iter().position(|taken| !taken).unwrap_or(taken.len());
                let number = u16::try_from(free).unwrap_or(u16::MAX);
                numbers[register] = Some(number);
                last = last.max(number + 1);
            }
        }
        let number = |register: &usize| numbers[*register].unwrap_or(u16::MAX);
        (shares.iter().map(number).collect(), last, last - first)
    }
}
