//! Orders, constraints and senders -> candidates: all that assembling asks of them, worked
//! out once however many blocks are assembled.

use core::cmp::Ordering;

use alloy_primitives::{Address, U256};
use forewave_analyzer::PredictedAccess;
use hashbrown::{DefaultHashBuilder, HashMap, HashSet};

use super::{AssemblyError, LeftOut, gaps::as_planned, places::Places};
use crate::{Constraints, Order, OrderIndex, Sender, csr::Csr, uses::Uses};

/// The orders that a block can be assembled from.
#[derive(Debug)]
pub struct Candidates<'p> {
    orders: Vec<Order<'p>>,
    pub(super) constraints: Constraints,
    pub(super) accounts: Vec<(Address, Sender)>,
    /// By order: the nonces that must be next.
    pub(super) needs: Csr<Need>,
    /// By order: whose nonces are no sequence.
    pub(super) malformed: Vec<Option<Address>>,
    pub(super) priority: Vec<Density>,
    /// By order: the number of its first transaction.
    pub(super) first_tx: Vec<usize>,
    pub(super) places: Places,
    /// By order: what all of its transactions do where.
    pub(super) planned: Csr<(u32, Uses)>,
    /// Orders that must be in the block, those included with whose nonces they need.
    pub(super) is_required: Vec<bool>,
    /// Nonces that are kept for required orders.
    pub(super) reserved: HashSet<(u32, u64), DefaultHashBuilder>,
    /// By order: those that come before it, and those that exclude it.
    pub(super) before: Csr<OrderIndex>,
    pub(super) excludes: Csr<OrderIndex>,
}

/// Transactions of one sender in one order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    pub(super) account: u32,
    /// The nonce of the first one.
    pub(super) nonce: u64,
    pub(super) count: u64,
}

/// Value by gas, compared exactly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Density {
    pub(super) value: u128,
    pub(super) gas: u64,
}

impl Density {
    fn of(order: &Order<'_>) -> Self {
        Self { value: order.value, gas: order.gas() }
    }

    fn with(self, other: Self) -> Self {
        let value = self.value.saturating_add(other.value);
        Self { value, gas: self.gas.saturating_add(other.gas) }
    }
}

impl Ord for Density {
    fn cmp(&self, other: &Self) -> Ordering {
        let product = |value, gas: u64| U256::from::<u128>(value) * U256::from(gas.max(1));
        product(self.value, other.gas).cmp(&product(other.value, self.gas))
    }
}

impl PartialEq for Density {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Density {}

impl PartialOrd for Density {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<'p> Candidates<'p> {
    /// Candidates for a block on a state in which `sender` says what an account has; it is asked once for each.
    pub fn new(
        orders: Vec<Order<'p>>,
        constraints: Constraints,
        mut sender: impl FnMut(Address) -> Sender,
    ) -> Result<Self, AssemblyError> {
        if let Some(order) = constraints.named().find(|order| order.index() >= orders.len()) {
            return Err(AssemblyError::UnknownOrder { order, orders: orders.len() });
        }
        let mut accounts = Vec::new();
        let mut ids: HashMap<Address, u32, DefaultHashBuilder> = HashMap::new();
        let mut id = |address: Address| {
            *ids.entry(address).or_insert_with(|| {
                accounts.push((address, sender(address)));
                u32::try_from(accounts.len() - 1).expect("fewer than 2^32 senders")
            })
        };
        let mut needs = Vec::new();
        let mut malformed = Vec::with_capacity(orders.len());
        for (at, order) in orders.iter().enumerate() {
            let (of_order, bad) = needs_of(order, &mut id);
            needs.extend(of_order.into_iter().map(|need| (at, need)));
            malformed.push(bad);
        }
        let needs = Csr::group(orders.len(), needs.iter().copied());
        let mut first_tx = Vec::with_capacity(orders.len());
        let mut predictions: Vec<&PredictedAccess> = Vec::with_capacity(orders.len());
        for order in &orders {
            first_tx.push(predictions.len());
            predictions.extend(order.transactions.iter().map(|tx| tx.access));
        }
        let places = Places::new(&predictions);
        let planned = planned(&orders, &first_tx, &places);
        let pairs = |pairs: &[(OrderIndex, OrderIndex)]| -> Csr<OrderIndex> {
            // Of an order and itself there is nothing to ask.
            let distinct = pairs.iter().filter(|(left, right)| left != right);
            Csr::group(orders.len(), distinct.map(|&(left, right)| (right.index(), left)))
        };
        let before = pairs(&constraints.precedes);
        let both = constraints.excludes.iter().flat_map(|&(a, b)| [(a, b), (b, a)]);
        let excludes = pairs(&both.collect::<Vec<_>>());
        let mut candidates = Self {
            priority: orders.iter().map(Density::of).collect(),
            is_required: vec![false; orders.len()],
            reserved: HashSet::default(),
            orders,
            constraints,
            accounts,
            needs,
            malformed,
            first_tx,
            places,
            planned,
            before,
            excludes,
        };
        let starts = candidates.starts();
        candidates.raise_priorities(&starts);
        candidates.require(&starts)?;
        Ok(candidates)
    }

    /// The orders, as they were given.
    pub fn orders(&self) -> &[Order<'p>] {
        &self.orders
    }

    pub(super) fn order(&self, order: OrderIndex) -> &Order<'p> {
        &self.orders[order.index()]
    }

    /// Who can be next with which nonce: those of the highest value by gas first.
    fn starts(&self) -> HashMap<(u32, u64), Vec<OrderIndex>, DefaultHashBuilder> {
        let mut starts: HashMap<_, Vec<OrderIndex>, _> = HashMap::default();
        for at in (0..self.orders.len()).filter(|&at| self.malformed[at].is_none()) {
            for need in self.needs.row(at) {
                starts.entry((need.account, need.nonce)).or_default().push(OrderIndex::new(at));
            }
        }
        for orders in starts.values_mut() {
            orders.sort_by_key(|order| core::cmp::Reverse(self.priority[order.index()]));
        }
        starts
    }

    /// Lets an order of one sender stand as high as it and its successors together, where
    /// those are worth more by gas than it is alone.
    fn raise_priorities(
        &mut self,
        starts: &HashMap<(u32, u64), Vec<OrderIndex>, DefaultHashBuilder>,
    ) {
        for account in 0..self.accounts.len() {
            let mut nonce = self.accounts[account].1.nonce;
            let account = u32::try_from(account).expect("fewer than 2^32 senders");
            let mut chain: Vec<OrderIndex> = Vec::new();
            // Where each run of the chain starts, and what it is worth.
            let mut runs: Vec<(usize, Density)> = Vec::new();
            while let Some(&order) = starts.get(&(account, nonce)).and_then(|orders| {
                orders.iter().find(|order| self.needs.row(order.index()).len() == 1)
            }) {
                let mut run = (chain.len(), self.priority[order.index()]);
                chain.push(order);
                while let Some(earlier) = runs.pop_if(|earlier| earlier.1 < run.1) {
                    run = (earlier.0, earlier.1.with(run.1));
                }
                runs.push(run);
                match nonce.checked_add(self.needs.row(order.index())[0].count) {
                    Some(next) => nonce = next,
                    None => break,
                }
            }
            while let Some((start, density)) = runs.pop() {
                for order in chain.drain(start..) {
                    self.priority[order.index()] = density;
                }
            }
        }
    }

    /// Marks what must be in the block, with those that the nonces need.
    fn require(
        &mut self,
        starts: &HashMap<(u32, u64), Vec<OrderIndex>, DefaultHashBuilder>,
    ) -> Result<(), AssemblyError> {
        let named = self.constraints.first.iter().chain(&self.constraints.required);
        let mut open: Vec<OrderIndex> = named.rev().copied().collect();
        for order in &open {
            self.is_required[order.index()] = true;
        }
        // Up to which nonce of each account its orders are marked.
        let mut reached = HashMap::<u32, u64>::new();
        while let Some(order) = open.pop() {
            if let Some(sender) = self.malformed[order.index()] {
                let why = LeftOut::Nonces { sender };
                return Err(AssemblyError::Unplaceable { order, why });
            }
            for &need in self.needs.row(order.index()) {
                self.reserved.extend((0..need.count).map(|at| (need.account, need.nonce + at)));
                let first = self.accounts[need.account as usize].1.nonce;
                let mut nonce = reached.get(&need.account).copied().unwrap_or(first);
                while nonce < need.nonce {
                    let found = starts.get(&(need.account, nonce)).and_then(|orders| {
                        let must = orders.iter().find(|order| self.is_required[order.index()]);
                        must.or(orders.first()).copied()
                    });
                    let Some(earlier) = found else {
                        let sender = self.accounts[need.account as usize].0;
                        let why = LeftOut::NonceGap { sender, nonce: need.nonce };
                        return Err(AssemblyError::Unplaceable { order, why });
                    };
                    if !core::mem::replace(&mut self.is_required[earlier.index()], true) {
                        open.push(earlier);
                    }
                    let of_earlier = self.needs.row(earlier.index()).iter();
                    let count =
                        of_earlier.filter(|it| it.account == need.account).map(|it| it.count);
                    nonce = nonce.saturating_add(count.sum::<u64>().max(1));
                }
                reached.insert(need.account, nonce);
            }
        }
        Ok(())
    }
}

/// The transactions of an order by sender, in order of appearance; and who has nonces there
/// that are no sequence, or that the order has no transaction at all.
fn needs_of(
    order: &Order<'_>,
    id: &mut impl FnMut(Address) -> u32,
) -> (Vec<Need>, Option<Address>) {
    let mut needs: Vec<Need> = Vec::new();
    let mut malformed = order.transactions.is_empty().then_some(Address::ZERO);
    for tx in &order.transactions {
        let account = id(tx.sender);
        match needs.iter_mut().find(|need| need.account == account) {
            Some(need) if Some(tx.nonce) == need.nonce.checked_add(need.count) => need.count += 1,
            Some(_) => malformed = malformed.or(Some(tx.sender)),
            None => needs.push(Need { account, nonce: tx.nonce, count: 1 }),
        }
    }
    (needs, malformed)
}

/// By order: the uses of its transactions, each place once.
fn planned(orders: &[Order<'_>], first_tx: &[usize], places: &Places) -> Csr<(u32, Uses)> {
    let mut uses: Vec<(usize, (u32, Uses))> = Vec::new();
    let mut creditors = vec![0usize; places.len()];
    for (at, order) in orders.iter().enumerate() {
        let numbers = first_tx[at]..first_tx[at] + order.transactions.len();
        let mut of_order: Vec<(u32, Uses)> =
            numbers.flat_map(|tx| places.of(tx).iter().copied()).collect();
        of_order.sort_by_key(|&(place, _)| place);
        for same in of_order.chunk_by(|a, b| a.0 == b.0) {
            let all = same.iter().fold(Uses::NONE, |all, &(_, uses)| all | uses);
            creditors[same[0].0 as usize] += usize::from(all.contains(Uses::CREDIT));
            uses.push((at, (same[0].0, all)));
        }
    }
    let uses = uses
        .iter()
        .map(|&(at, (place, uses))| (at, (place, as_planned(uses, creditors[place as usize]))));
    Csr::group(orders.len(), uses)
}
