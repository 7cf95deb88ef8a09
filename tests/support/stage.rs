//! The state that random blocks start from: people with keys, compiled
//! contracts filled by running them, and the calls that people make of those.

use std::sync::OnceLock;

use alloy_sol_types::SolCall;
use forewave::MemoryState;
use forewave_fixtures::{Contract, Fork, World, abi, signer};
use revm::primitives::{Address, B256, Bytes, U256};

use super::choices::{Choices, anybody};

/// People with keys.
pub(crate) const PEOPLE: u8 = 12;

/// What most people own, in wei.
const FUNDS: u64 = 1_000_000_000_000_000_000;

/// The address of a person.
pub(crate) fn person(n: u8) -> Address {
    static PEOPLE_BY_NUMBER: OnceLock<Vec<Address>> = OnceLock::new();
    let people = PEOPLE_BY_NUMBER
        .get_or_init(|| (0..PEOPLE).map(|n| signer(usize::from(n)).address()).collect());
    people[usize::from(n % PEOPLE)]
}

/// Where the compiled contracts are.
#[derive(Clone, Copy, Debug)]
struct Contracts {
    tokens: [Address; 2],
    router: Address,
    nft: Address,
    market: Address,
    proxy: Address,
    multicall: Address,
    airdrop: Address,
    factory: Address,
    wallet: Address,
    batch: Address,
    game: Address,
}

/// The state with the compiled contracts, made once.
fn deployed() -> &'static (MemoryState, Contracts) {
    static DEPLOYED: OnceLock<(MemoryState, Contracts)> = OnceLock::new();
    DEPLOYED.get_or_init(deploy)
}

fn deploy() -> (MemoryState, Contracts) {
    let mut world = World::new(Fork::Cancun);
    let people: Vec<Address> = (0..PEOPLE).map(person).collect();
    let owner = world.deployer();
    for at in people.iter().chain([&owner]) {
        world.fund(*at, U256::from(FUNDS));
    }
    let everybody: Vec<Address> = people.iter().copied().chain([owner]).collect();
    let amount = U256::from(1_000_000_000_u64);
    let router = world.deploy(Contract::Router, &());
    let multicall = world.deploy(Contract::Multicall, &());
    let tokens = ["ONE", "TWO"].map(|symbol| {
        let token = world.deploy(Contract::Token, &(symbol.to_owned(), symbol.to_owned()));
        let mint = abi::Token::mintBatchCall { to: everybody.clone(), value: amount };
        world.call(owner, token, U256::ZERO, &mint);
        for holder in &everybody {
            for spender in [router, multicall] {
                let approve = abi::Token::approveCall { spender, value: U256::MAX };
                world.call(*holder, token, U256::ZERO, &approve);
            }
        }
        token
    });
    let create = abi::Router::createPairCall { tokenA: tokens[0], tokenB: tokens[1] };
    world.call(owner, router, U256::ZERO, &create);
    let add = abi::Router::addLiquidityCall {
        tokenA: tokens[0],
        tokenB: tokens[1],
        amountA: amount / U256::from(2),
        amountB: amount / U256::from(2),
        to: owner,
        deadline: U256::MAX,
    };
    world.call(owner, router, U256::ZERO, &add);
    let vault = world.deploy(Contract::Vault, &());
    let init = Bytes::from(abi::Vault::initializeCall {}.abi_encode());
    let factory = world.deploy(Contract::WalletFactory, &());
    let wallet_of = abi::WalletFactory::deployCall { owner: people[0], salt: B256::ZERO };
    let contracts = Contracts {
        tokens,
        router,
        nft: world.deploy(Contract::Nft, &(U256::from(5), 1_u128 << 40)),
        market: world.deploy(Contract::Market, &()),
        proxy: world.deploy_as(people[0], Contract::Proxy, &(vault, init)),
        multicall,
        airdrop: world.deploy(Contract::Airdrop, &(tokens[0], U256::from(1))),
        factory,
        wallet: world.call(people[0], factory, U256::from(1000), &wallet_of),
        batch: world.deploy(Contract::BatchAccount, &()),
        game: world.deploy(Contract::Game, &()),
    };
    for player in &people[..8] {
        world.call(*player, contracts.game, U256::ZERO, &abi::Game::joinCall {});
    }
    (world.into_state(), contracts)
}

/// A copy of the state with the compiled contracts.
pub(crate) fn state_with_contracts() -> MemoryState {
    deployed().0.clone()
}

/// The contract that people delegate to.
pub(crate) fn delegate() -> Address {
    deployed().1.batch
}

/// A call that a contract of the stage was made for.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) to: Address,
    pub(crate) wei: U256,
    pub(crate) data: Bytes,
}

fn call(to: Address, wei: u64, call: &impl SolCall) -> Call {
    Call { to, wei: U256::from(wei), data: call.abi_encode().into() }
}

/// Somebody who may receive.
fn recipient(choices: &mut Choices<'_>) -> Address {
    if choices.one_in(4) { anybody(choices) } else { person(choices.byte()) }
}

/// A call of one of the compiled contracts, mostly one that succeeds.
pub(crate) fn drawn_call(choices: &mut Choices<'_>, from: Address) -> Call {
    let contracts = &deployed().1;
    let token = choices.of(&contracts.tokens);
    let value = U256::from(choices.byte());
    let salt = B256::with_last_byte(choices.below(3));
    match choices.below(20) {
        0..=3 => call(token, 0, &abi::Token::transferCall { to: recipient(choices), value }),
        4 => call(token, 0, &abi::Token::approveCall { spender: recipient(choices), value }),
        5 => {
            let (owner, to) = (person(choices.byte()), recipient(choices));
            call(token, 0, &abi::Token::transferFromCall { from: owner, to, value })
        }
        6 => call(token, 0, &abi::Token::burnCall { value }),
        7 | 8 => {
            let [a, b] = contracts.tokens;
            let swap = abi::Router::swapExactInCall {
                amountIn: value,
                outMin: U256::ZERO,
                path: if token == a { vec![a, b] } else { vec![b, a] },
                to: recipient(choices),
                deadline: U256::MAX,
            };
            call(contracts.router, 0, &swap)
        }
        9 => call(contracts.nft, choices.of(&[5, 5, 4]), &abi::Nft::mintCall {}),
        10 => {
            let id = U256::from(choices.below(8));
            let price = alloy_primitives::aliases::U96::from(1);
            let list = abi::Market::listCall { nft: contracts.nft, id, price };
            call(contracts.market, 0, &list)
        }
        11 => call(contracts.proxy, u64::from(choices.byte()), &abi::Vault::depositCall {}),
        12 => call(contracts.proxy, 0, &abi::Vault::withdrawCall { value }),
        13 => {
            let calls = (0..choices.below(4)).map(|_| abi::Multicall::Call {
                target: recipient(choices),
                mayFail: choices.one_in(2),
                value: U256::from(choices.below(3)),
                data: Bytes::new(),
            });
            call(contracts.multicall, 6, &abi::Multicall::aggregateCall { calls: calls.collect() })
        }
        14 => {
            let to: Vec<Address> = (0..choices.below(5)).map(|_| recipient(choices)).collect();
            let drop = abi::Airdrop::dropEtherCall { to, each: U256::from(1) };
            call(contracts.airdrop, 5, &drop)
        }
        15 => {
            let owner = person(choices.byte());
            call(contracts.factory, 3, &abi::WalletFactory::deployCall { owner, salt })
        }
        16 => {
            let heir = recipient(choices);
            call(contracts.factory, 7, &abi::WalletFactory::flashCall { salt, heir })
        }
        17 => call(contracts.wallet, 0, &abi::Wallet::closeCall { heir: recipient(choices) }),
        18 => {
            let calls = vec![abi::BatchAccount::Call {
                target: recipient(choices),
                value: U256::from(choices.below(9)),
                data: Bytes::new(),
            }];
            call(from, 0, &abi::BatchAccount::executeCall { calls })
        }
        _ => {
            let fight = abi::Game::fightCall { defender: person(choices.byte()) };
            match choices.below(3) {
                0 => call(contracts.game, 0, &fight),
                1 => call(contracts.game, 0, &abi::Game::joinCall {}),
                _ => call(contracts.game, 0, &abi::Game::digCall {}),
            }
        }
    }
}
