//! What a path keeps of creations. An exact path has none.

use std::sync::Arc;

use super::{Compiler, Deployment, Operation};
use crate::template::trace::Event;

impl Compiler<'_> {
    pub(super) fn creation_event(&mut self, event: Event) -> Option<()> {
        match event {
            Event::NewAddress(creator, salted, id) => {
                let salted = salted.map(|(salt, hash)| (self.demand(salt), self.demand(hash)));
                let creator = self.account_at(creator);
                let found = self.found(Operation::NewAddress(creator, salted));
                self.place(id, found);
            }
            Event::Create { creator, created, value } => {
                let value = self.demand(value);
                let [creator, created] = [creator, created].map(|account| self.account_at(account));
                self.emit(Operation::Create { creator, created, value });
            }
            Event::Deploy(account, code) => {
                let code = self.trace.code_at(code)?.original_bytes();
                let deployment = Arc::new(Deployment::from(code));
                self.emit(Operation::Deploy(self.account_at(account), deployment));
            }
            _ => {}
        }
        Some(())
    }
}
