// Random transactions of all five types, among few accounts, so that most depend on others.

import { createTx } from '@ethereumjs/tx'
import {
  Address, bigIntToBytes, bytesToHex, createAddressFromPrivateKey, eoaCode7702SignAuthorization, hexToBytes,
  setLengthLeft,
} from '@ethereumjs/util'

import { initCode } from './programs.mjs'

/** A person: a key and its account. */
export function person(number) {
  const key = setLengthLeft(bigIntToBytes(BigInt(0x5eed_0000 + number)), 32)
  return { key, address: createAddressFromPrivateKey(key).toString() }
}

/** Drawn calldata: words that programs take for slots, addresses and conditions. */
function calldata(chance, cast) {
  const words = chance.below(4)
  const data = []
  for (let word = 0; word < words; word += 1) {
    const drawn = chance.oneIn(2) ? BigInt(chance.of(cast.addresses)) : chance.word()
    data.push(...setLengthLeft(bigIntToBytes(drawn), 32))
  }
  if (chance.oneIn(12)) data.push(...chance.bytes(chance.below(600)))
  return Uint8Array.from(data)
}

/** What a contract of the protocol is asked for. */
function request(chance, cast) {
  const { withdrawals, consolidations, builderDeposits, builderExits } = cast.system
  const [contract, size] = chance.of([
    [withdrawals, 56], [consolidations, 96], [builderDeposits, 184], [builderExits, 48],
  ])
  const data = chance.bytes(chance.oneIn(8) ? size - 1 : size)
  let value = BigInt(chance.of([0, 1, 5, 1_000]))
  if (contract === builderDeposits) {
    // The amount, in gwei, follows the key and the credentials, and is paid along with the fee.
    const amount = BigInt(chance.between(1, 3)) * 1_000_000_000n
    data.set(setLengthLeft(bigIntToBytes(amount), 8), 80)
    value += amount * 1_000_000_000n
  }
  return { to: contract.address, data, value, gasLimit: BigInt(chance.of([300_000, 900_000])) }
}

/** A deposit's data as the contract logs it (EIP-6110): five byte strings, ABI-encoded. */
function deposit(chance, cast) {
  const word = (number) => setLengthLeft(bigIntToBytes(BigInt(number)), 32)
  const field = (length) => {
    const padded = new Uint8Array(Math.ceil(length / 32) * 32)
    padded.set(chance.bytes(length))
    return [...word(length), ...padded]
  }
  const data = Uint8Array.from([
    ...[160, 256, 320, 384, 512].flatMap((offset) => [...word(offset)]),
    ...[48, 32, 8, 96, 8].flatMap(field),
  ])
  return { to: cast.depositContract, data, value: 0n, gasLimit: 200_000n }
}

/** An authorization (EIP-7702), and whether it counts if `nonce` is the authority's. */
function authorization(chance, cast, authority, nonce) {
  const isStale = chance.oneIn(6)
  const delegate = chance.oneIn(4) ? `0x${'00'.repeat(20)}` : chance.of(chance.oneIn(4) ? cast.addresses : cast.contracts)
  const chainId = chance.of(['0x0', '0x1', '0x1', '0x1', '0x1', '0x2'])
  const stated = isStale ? nonce + 1n : nonce
  const unsigned = { chainId, address: delegate, nonce: `0x${stated.toString(16)}` }
  const signed = eoaCode7702SignAuthorization(unsigned, authority.key)
  return { signed, counts: !isStale && chainId !== '0x2' }
}

/** What a transaction is to do. */
function intent(chance, cast) {
  const kinds = { transfer: 6, call: 16, token: 4, create: 4, request: 2, deposit: 1, factory: 1, precompile: 1 }
  const gasLimit = BigInt(chance.weighted({ 120000: 2, 400000: 5, 1000000: 5, 3000000: 4, 18000000: 1 }))
  const value = chance.oneIn(2) ? 0n : BigInt(chance.below(1_000))
  switch (chance.weighted(kinds)) {
    case 'transfer': {
      const fresh = `0x${(0x2000_0000_0000n + BigInt(chance.below(1 << 16))).toString(16).padStart(40, '0')}`
      const to = chance.oneIn(3) ? fresh : chance.of(cast.addresses)
      return { to, value, data: new Uint8Array(), gasLimit: BigInt(chance.of([21_000, 60_000, 250_000, 1_000_000])) }
    }
    case 'token': {
      const data = Uint8Array.from([
        ...setLengthLeft(hexToBytes(chance.of(cast.addresses)), 32),
        ...setLengthLeft(bigIntToBytes(BigInt(chance.below(400))), 32),
      ])
      return { to: chance.of(cast.tokens), value: 0n, data, gasLimit: BigInt(chance.of([60_000, 200_000, 500_000])) }
    }
    case 'create':
      return { to: undefined, value, data: initCode(chance, cast.addresses, 0), gasLimit }
    case 'request':
      return request(chance, cast)
    case 'deposit':
      return deposit(chance, cast)
    case 'factory': {
      const data = Uint8Array.from([...setLengthLeft(bigIntToBytes(BigInt(chance.below(3))), 32), ...initCode(chance, cast.addresses, 0)])
      return { to: cast.system.create2Factory.address, value: chance.oneIn(2) ? 0n : 1n, data, gasLimit }
    }
    case 'precompile':
      return { to: chance.of(cast.precompiles), value, data: chance.bytes(chance.of([0, 32, 64, 128, 192, 213])), gasLimit }
    default:
      return { to: chance.of(cast.contracts), value, data: calldata(chance, cast), gasLimit }
  }
}

function accessList(chance, cast) {
  return Array.from({ length: chance.below(4) }, () => ({
    address: chance.of(cast.addresses),
    storageKeys: Array.from({ length: chance.below(3) }, () => bytesToHex(setLengthLeft(bigIntToBytes(BigInt(chance.below(5))), 32))),
  }))
}

/** A signed transaction; `nonces` gives the nonce of an account, `baseFee` is the block's. */
export function transaction(chance, cast, { common, nonces, baseFee }) {
  const sender = chance.of(cast.people)
  const type = Number(chance.weighted({ 0: 5, 1: 3, 2: 6, 3: 1, 4: 4 }))
  const { to, value, data, gasLimit } = intent(chance, cast)
  const tip = BigInt(chance.of([0, 0, 1, 2, 1_000]))
  const fields = { type, chainId: 1n, nonce: nonces(sender.address), to, value, data, gasLimit }
  if (type <= 1) {
    fields.gasPrice = baseFee + tip
  } else {
    fields.maxPriorityFeePerGas = tip
    fields.maxFeePerGas = baseFee + tip + BigInt(chance.below(3))
  }
  if (type >= 1) fields.accessList = accessList(chance, cast)
  if (type >= 3 && to === undefined) fields.to = chance.of(cast.contracts)
  if (type === 3) {
    fields.maxFeePerBlobGas = 1_000n
    fields.blobVersionedHashes = Array.from({ length: chance.between(1, 2) }, () => bytesToHex(Uint8Array.from([1, ...chance.bytes(31)])))
  }
  if (type === 4) {
    // Each authorization that counts raises the nonce of its authority, as the transaction does the sender's.
    const raised = new Map([[sender.address, 1n]])
    const after = (address) => nonces(address) + (raised.get(address) ?? 0n)
    fields.authorizationList = Array.from({ length: chance.between(1, 4) }, () => {
      const authority = chance.of(cast.authorities)
      const { signed, counts } = authorization(chance, cast, authority, after(authority.address))
      if (counts) raised.set(authority.address, (raised.get(authority.address) ?? 0n) + 1n)
      return signed
    })
  }
  return createTx(fields, { common }).sign(sender.key)
}

/** Addresses as ethereumjs has them. */
export const address = (text) => new Address(hexToBytes(text))
