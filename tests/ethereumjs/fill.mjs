// Fills blocks of random transactions at Amsterdam with EthereumJS, and writes them as
// BlockchainTests: a case is a chain of blocks on a genesis of its own.
//
//   node fill.mjs [--cases 1] [--blocks 4] [--transactions 50] [--seed 1] --out FILE
//
// Each transaction is tried on the state before it; one that cannot be included is left out.
// Then the whole block runs, which gives what its header says.

import { readFileSync, writeFileSync } from 'node:fs'

import { createBlock, genWithdrawalsTrieRoot } from '@ethereumjs/block'
import { Common, Hardfork, Mainnet } from '@ethereumjs/common'
import { MerklePatriciaTrie } from '@ethereumjs/mpt'
import { Caches, MerkleStateManager } from '@ethereumjs/statemanager'
import { Account, bigIntToBytes, bytesToBigInt, bytesToHex, createBlockLevelAccessList, createWithdrawal, hexToBytes, setLengthLeft } from '@ethereumjs/util'
import { createVM, runBlock, runTx } from '@ethereumjs/vm'

import { Chance } from './chance.mjs'
import { logger, program, token } from './programs.mjs'
import { repair } from './repairs.mjs'
import { address, person, transaction } from './transactions.mjs'

const system = JSON.parse(readFileSync(new URL('system_contracts.json', import.meta.url)))
const GAS_LIMIT = 1_000_000_000n
const DEPOSIT_CONTRACT = '0x00000000219ab540356cbb839cbe05303d7705fa'
/** The topic of the deposit contract's event. */
const DEPOSIT_EVENT = '0x649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5'
/** A contract's excess of requests before its first system call (EIP-7002). */
const INHIBITED = (1n << 256n) - 1n

/** EthereumJS asks for it before it makes blob transactions, and needs it only for blobs themselves. */
const NO_KZG = {}

function options(args) {
  const given = { cases: '1', blocks: '4', transactions: '50', seed: '1' }
  for (let at = 0; at < args.length; at += 2) given[args[at].replace(/^--/, '')] = args[at + 1]
  if (given.out === undefined) throw new Error('--out FILE is missing')
  const [cases, blocks, transactions, seed] = [given.cases, given.blocks, given.transactions, given.seed].map(Number)
  return { cases, blocks, transactions, seed, out: given.out }
}

const quantity = (number) => `0x${number.toString(16)}`
const wordBytes = (number) => setLengthLeft(bigIntToBytes(number), 32)

/** The accounts of a case, and who plays in it. */
function genesis(chance) {
  const people = Array.from({ length: 8 }, (_, number) => person(number))
  const newcomers = Array.from({ length: 4 }, (_, number) => person(100 + number))
  // 0x0a, the point evaluation of EIP-4844, needs a library of its own in EthereumJS.
  const precompiles = [1, 2, 3, 4, 5, 6, 7, 8, 9, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x100].map((number) => `0x${number.toString(16).padStart(40, '0')}`)
  const contracts = Array.from({ length: 24 }, (_, number) => `0x${(0xc0de_0000_0000n + BigInt(number)).toString(16).padStart(40, '0')}`)
  const tokens = Array.from({ length: 2 }, (_, number) => `0x${(0x70ce_0000_0000n + BigInt(number)).toString(16).padStart(40, '0')}`)
  const beneficiary = `0x${'be'.repeat(20)}`
  const addresses = [
    ...people.map((one) => one.address), ...newcomers.map((one) => one.address), ...contracts, ...contracts, ...tokens,
    ...precompiles, ...Object.values(system).map((one) => one.address), DEPOSIT_CONTRACT, beneficiary, `0x${'00'.repeat(20)}`,
  ]
  const pre = new Map()
  const put = (at, { nonce = 0n, balance = 0n, code = new Uint8Array(), storage = new Map() }) => pre.set(at, { nonce, balance, code, storage })
  for (const [position, { address: at }] of people.entries()) {
    // The last has means for few transactions.
    put(at, { balance: position === 7 ? 10n ** 11n : 10n ** 24n, nonce: BigInt(chance.below(3)) })
  }
  for (const at of contracts) {
    const storage = new Map()
    for (let slot = 0n; slot < 5n; slot += 1n) {
      const value = chance.oneIn(4) ? BigInt(chance.of(addresses)) : chance.word()
      if (value !== 0n && chance.oneIn(2)) storage.set(slot, value)
    }
    put(at, { nonce: 1n, balance: BigInt(chance.below(3) * 1_000), code: program(chance, addresses, chance.between(2, 8)), storage })
  }
  for (const at of tokens) put(at, { nonce: 1n, code: token() })
  for (const { address: at, code } of Object.values(system)) {
    const storage = new Map()
    const asks = ['withdrawals', 'consolidations', 'builderDeposits', 'builderExits'].some((name) => system[name].address === at)
    if (asks && chance.oneIn(4)) storage.set(0n, INHIBITED)
    put(at, { nonce: 1n, code: hexToBytes(code), storage })
  }
  put(DEPOSIT_CONTRACT, { nonce: 1n, code: logger(DEPOSIT_EVENT) })
  const cast = {
    people, contracts, tokens, precompiles, addresses, system, depositContract: DEPOSIT_CONTRACT,
    authorities: [...people.slice(0, 4), ...newcomers],
    beneficiaries: [beneficiary, beneficiary, people[0].address, contracts[0], newcomers[0].address, `0x${'00'.repeat(20)}`],
  }
  return { pre, cast }
}

async function putAccounts(state, accounts) {
  for (const [at, { nonce, balance, code, storage }] of accounts) {
    await state.putAccount(address(at), new Account(nonce, balance))
    if (code.length > 0) await state.putCode(address(at), code)
    for (const [slot, value] of storage) await state.putStorage(address(at), wordBytes(slot), bigIntToBytes(value))
  }
  await state.flush()
}

/** What the state holds of these accounts and slots. */
async function readAccounts(state, slotsOf) {
  const accounts = new Map()
  for (const [at, slots] of slotsOf) {
    const account = await state.getAccount(address(at))
    if (account === undefined) continue
    const storage = new Map()
    for (const slot of slots) {
      const value = bytesToBigInt(await state.getStorage(address(at), wordBytes(slot)))
      if (value !== 0n) storage.set(slot, value)
    }
    accounts.set(at, { nonce: account.nonce, balance: account.balance, code: await state.getCode(address(at)), storage })
  }
  return accounts
}

function stated(accounts) {
  const entry = ([at, { nonce, balance, code, storage }]) => {
    const slots = [...storage].map(([slot, value]) => [quantity(slot), quantity(value)])
    return [at, { nonce: quantity(nonce), balance: quantity(balance), code: bytesToHex(code), storage: Object.fromEntries(slots) }]
  }
  return Object.fromEntries([...accounts].map(entry))
}

/** Bytes or hexadecimal digits as a number; EthereumJS writes zero as none. */
function number(digits) {
  const text = typeof digits === 'string' ? digits : typeof digits === 'number' ? quantity(digits) : bytesToHex(digits)
  return text === '0x' ? 0n : BigInt(text)
}

/** A block's access list, in the words of the execution spec tests. */
function statedList(list) {
  const change = (name) => ([index, value]) => ({ blockAccessIndex: quantity(number(index)), [name]: quantity(number(value)) })
  return list.raw().map(([at, changed, read, balances, nonces, codes]) => ({
    address: at,
    storageChanges: changed.map(([slot, changes]) => ({ slot: quantity(number(slot)), slotChanges: changes.map(change('postValue')) })),
    storageReads: read.map((slot) => quantity(number(slot))),
    balanceChanges: balances.map(change('postBalance')),
    nonceChanges: nonces.map(change('postNonce')),
    codeChanges: codes.map(([index, code]) => ({ blockAccessIndex: quantity(number(index)), newCode: bytesToHex(code) })),
  }))
}

/** The root of a state of nothing but these accounts. */
async function rootOf(common, accounts) {
  const state = new MerkleStateManager({ common })
  await putAccounts(state, accounts)
  return bytesToHex(await state.getStateRoot())
}

/** Transactions that can be included one after the other, on the state before the block. */
async function draw(chance, cast, { vm, common, header, count }) {
  const state = vm.stateManager
  await state.checkpoint()
  vm.evm.blockLevelAccessList = createBlockLevelAccessList()
  const block = createBlock({ header }, { common })
  const drawn = []
  let blobs = 0
  for (let tries = 0; drawn.length < count && tries < 4 * count; tries += 1) {
    const nonceOf = new Map()
    for (const { address: at } of [...cast.people, ...cast.authorities]) {
      nonceOf.set(at, (await state.getAccount(address(at)))?.nonce ?? 0n)
    }
    const tx = transaction(chance, cast, { common, nonces: (at) => nonceOf.get(at), baseFee: block.header.baseFeePerGas })
    const more = tx.type === 3 ? tx.blobVersionedHashes.length : 0
    if (blobs + more > 6) continue
    try {
      await runTx(vm, { tx, block })
    } catch (error) {
      // The message tells a transaction that cannot be included from a fault of the library.
      if (!/gas limit|INTRINSIC|enough funds|not EOA/.test(error.message)) throw error
      continue
    }
    blobs += more
    drawn.push(tx)
  }
  await state.revert()
  state.originalStorageCache.clear()
  return { transactions: drawn, blobs }
}

function drawWithdrawals(chance, cast, first) {
  return Array.from({ length: chance.below(4) }, (_, position) => createWithdrawal({
    index: BigInt(first + position),
    validatorIndex: BigInt(chance.below(1_000)),
    address: address(chance.oneIn(4) ? `0x${(0x3000_0000_0000n + BigInt(chance.below(1 << 16))).toString(16).padStart(40, '0')}` : chance.of(cast.addresses)),
    amount: chance.oneIn(2) ? 0n : BigInt(chance.below(1_000)),
  }))
}

/** A chain of blocks as a case. */
async function fillCase(seed, { blocks: length, transactions: count }) {
  const chance = new Chance(seed)
  const common = new Common({ chain: Mainnet, hardfork: Hardfork.Amsterdam, customCrypto: { kzg: NO_KZG } })
  const { pre, cast } = genesis(chance)
  const state = new MerkleStateManager({ common, caches: new Caches() })
  await putAccounts(state, pre)
  const chain = []
  const blockchain = {
    getBlock: async (id) => chain[Number(id)] ?? Promise.reject(new Error(`no block ${id}`)),
    putBlock: async () => {},
    validateHeader: async () => {},
    shallowCopy() { return this },
  }
  const vm = await createVM({ common, stateManager: state, blockchain })
  repair(vm)
  const genesisHeader = {
    number: 0n, gasLimit: GAS_LIMIT, timestamp: 0n, baseFeePerGas: 7n, difficulty: 0n, stateRoot: await state.getStateRoot(),
    excessBlobGas: 0n, blobGasUsed: 0n, parentBeaconBlockRoot: new Uint8Array(32), slotNumber: 0n,
  }
  chain.push(createBlock({ header: genesisHeader, withdrawals: [] }, { common }))
  const slotsOf = new Map([...pre].map(([at, { storage }]) => [at, new Set(storage.keys())]))
  const filled = []
  for (let number = 1; number <= length; number += 1) {
    const parent = chain[number - 1]
    const header = {
      number: BigInt(number), parentHash: parent.hash(), gasLimit: GAS_LIMIT, difficulty: 0n,
      timestamp: parent.header.timestamp + 12n, coinbase: chance.of(cast.beneficiaries), mixHash: chance.bytes(32),
      baseFeePerGas: parent.header.calcNextBaseFee(), excessBlobGas: parent.header.calcNextExcessBlobGas(common),
      parentBeaconBlockRoot: chance.bytes(32), slotNumber: BigInt(1_000 + number * chance.between(1, 3)),
    }
    const { transactions, blobs } = await draw(chance, cast, { vm, common, header, count })
    header.blobGasUsed = BigInt(blobs) * 131_072n
    const withdrawals = drawWithdrawals(chance, cast, number * 16)
    const withdrawalsRoot = await genWithdrawalsTrieRoot(withdrawals, new MerklePatriciaTrie({ common }))
    const unfilled = createBlock({ header: { ...header, withdrawalsRoot }, transactions, withdrawals }, { common })
    let block
    const take = (event) => { block = event.block }
    vm.events.once('afterBlock', take)
    const result = await runBlock(vm, { block: unfilled, generate: true, skipHeaderValidation: true, skipBlockValidation: true })
    chain.push(block)
    const blockAccessList = statedList(result.blockLevelAccessList)
    for (const { address: at, storageChanges, storageReads } of blockAccessList) {
      const slots = slotsOf.get(at) ?? new Set()
      slotsOf.set(at, slots)
      for (const { slot } of storageChanges) slots.add(BigInt(slot))
      for (const slot of storageReads) slots.add(BigInt(slot))
    }
    filled.push({ rlp: bytesToHex(block.serialize()), blockAccessList, results: result.results })
  }
  const post = await readAccounts(state, slotsOf)
  const [found, expected] = [await rootOf(common, post), bytesToHex(chain.at(-1).header.stateRoot)]
  if (found !== expected) throw new Error(`seed ${seed}: the accounts that the lists name have the root ${found}, the state has ${expected}`)
  const stated_ = {
    network: 'Amsterdam',
    genesisRLP: bytesToHex(chain[0].serialize()),
    pre: stated(pre),
    blocks: filled.map(({ rlp, blockAccessList }) => ({ rlp, blockAccessList })),
    postState: stated(post),
    lastblockhash: bytesToHex(chain.at(-1).hash()),
  }
  return { stated: stated_, results: filled.flatMap(({ results }) => results) }
}

async function main() {
  const { cases, blocks, transactions, seed, out } = options(process.argv.slice(2))
  const document = {}
  const outcomes = {}
  let count = 0
  for (let one = seed; one < seed + cases; one += 1) {
    const { stated: filled, results } = await fillCase(one, { blocks, transactions })
    document[`seed ${one}`] = filled
    for (const { execResult } of results) {
      const outcome = execResult.exceptionError?.error ?? 'success'
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
      count += 1
    }
  }
  writeFileSync(out, JSON.stringify(document, undefined, 1))
  console.log(`${cases * blocks} blocks, ${count} transactions: ${JSON.stringify(outcomes)}`)
}

await main()
