//! What an exact path keeps besides: gas and logs.

use std::sync::Arc;

use super::{Compiler, Operation, Test};
use crate::template::trace::{Exact, Logged};

impl Compiler<'_> {
    pub(super) fn exact_event(&mut self, event: Exact) -> Option<()> {
        match event {
            Exact::Charge(gas) => self.charged = self.charged.checked_add(gas)?,
            Exact::Warm(account) => {
                let account = self.account_at(account);
                if self.warmed.insert(account) {
                    self.emit(Operation::Warm(account));
                }
            }
            Exact::Fund(account) => self.emit(Operation::Fund(self.account_at(account))),
            Exact::Power(exponent) => {
                let exponent = self.demand(exponent);
                self.emit(Operation::Power(exponent));
            }
            Exact::GasLeft(id) => {
                self.flush();
                let found = self.found(Operation::GasLeft);
                self.place(id, found);
            }
            Exact::Enter { asked, has_value, touched } => {
                let asked = self.demand(asked);
                let touched = touched.map(|account| self.account_at(account));
                self.flush();
                self.emit(Operation::Enter { asked, has_value, touched });
            }
            Exact::Leave(ending) => {
                self.flush();
                self.emit(Operation::Leave(ending));
            }
            Exact::Log(position) => {
                let Logged { account, topics, data, bytes } =
                    self.trace.logs.get(position as usize)?;
                let account = self.account_at(*account);
                let topics = topics.iter().map(|word| self.demand(*word)).collect();
                let data = data.iter().map(|word| self.demand(*word)).collect();
                let log = Logged { account, topics, data, bytes: *bytes };
                self.emit(Operation::Log(Arc::new(log)));
            }
            Exact::Equals(value, answer) => {
                let value = self.demand(value);
                self.guard(Test::Value(value), answer);
            }
            Exact::Demand(value) => {
                self.demand(value);
            }
        }
        Some(())
    }

    /// Charges what has been summed up: before somebody looks at the gas.
    pub(super) fn flush(&mut self) {
        let gas = core::mem::take(&mut self.charged);
        if gas > 0 {
            self.emit(Operation::Charge(gas));
        }
    }
}
