// Random bytecode: statements that each leave the stack as they found it, so that most
// programs run to their end, and some do not.

const OPCODES = {
  STOP: 0x00, ADD: 0x01, MUL: 0x02, SUB: 0x03, DIV: 0x04, EXP: 0x0a, LT: 0x10, EQ: 0x14, ISZERO: 0x15, CLZ: 0x1e,
  KECCAK256: 0x20, ADDRESS: 0x30, BALANCE: 0x31, ORIGIN: 0x32, CALLER: 0x33, CALLVALUE: 0x34,
  CALLDATALOAD: 0x35, CALLDATASIZE: 0x36, CALLDATACOPY: 0x37, CODESIZE: 0x38, CODECOPY: 0x39, GASPRICE: 0x3a,
  EXTCODESIZE: 0x3b, EXTCODECOPY: 0x3c, RETURNDATASIZE: 0x3d, RETURNDATACOPY: 0x3e, EXTCODEHASH: 0x3f,
  BLOCKHASH: 0x40, COINBASE: 0x41, TIMESTAMP: 0x42, NUMBER: 0x43, PREVRANDAO: 0x44, GASLIMIT: 0x45,
  CHAINID: 0x46, SELFBALANCE: 0x47, BASEFEE: 0x48, BLOBHASH: 0x49, BLOBBASEFEE: 0x4a, SLOTNUM: 0x4b,
  POP: 0x50, MLOAD: 0x51, MSTORE: 0x52, MSTORE8: 0x53, SLOAD: 0x54, SSTORE: 0x55, JUMP: 0x56, JUMPI: 0x57,
  MSIZE: 0x59, GAS: 0x5a, JUMPDEST: 0x5b, TLOAD: 0x5c, TSTORE: 0x5d, MCOPY: 0x5e, PUSH0: 0x5f, DUP1: 0x80,
  LOG0: 0xa0, CREATE: 0xf0, CALL: 0xf1, CALLCODE: 0xf2, RETURN: 0xf3, DELEGATECALL: 0xf4, CREATE2: 0xf5,
  DUPN: 0xe6, SWAPN: 0xe7, EXCHANGE: 0xe8, STATICCALL: 0xfa, REVERT: 0xfd, INVALID: 0xfe, SELFDESTRUCT: 0xff,
}

const [DUP2, DUP6, SWAP1] = [0x81, 0x85, 0x90]

/** Opcodes that push a word about the block, the transaction or the frame. */
const ENVIRONMENT = [
  'ADDRESS', 'ORIGIN', 'CALLER', 'CALLVALUE', 'CALLDATASIZE', 'CODESIZE', 'GASPRICE', 'RETURNDATASIZE',
  'COINBASE', 'TIMESTAMP', 'NUMBER', 'PREVRANDAO', 'GASLIMIT', 'CHAINID', 'SELFBALANCE', 'BASEFEE',
  'BLOBBASEFEE', 'SLOTNUM', 'MSIZE', 'GAS',
]

/** Bytes of code from names of opcodes, numbers to push (bigint), and bytes as they are. */
export function assemble(...items) {
  const bytes = []
  for (const item of items.flat(Infinity)) {
    if (typeof item === 'string') {
      if (!(item in OPCODES)) throw new Error(`no opcode ${item}`)
      bytes.push(OPCODES[item])
    } else if (typeof item === 'bigint') {
      bytes.push(...push(item))
    } else {
      bytes.push(item)
    }
  }
  return Uint8Array.from(bytes)
}

function push(word) {
  if (word === 0n) return [OPCODES.PUSH0]
  const digits = word.toString(16)
  const bytes = Buffer.from(digits.length % 2 === 1 ? `0${digits}` : digits, 'hex')
  return [OPCODES.PUSH0 + bytes.length, ...bytes]
}

/** A word, pushed. */
function value(chance, addresses) {
  switch (chance.below(8)) {
    case 0:
      return [chance.of(ENVIRONMENT)]
    case 1:
      return [BigInt(chance.below(3) * 32), 'CALLDATALOAD']
    case 2:
      return [slot(chance), 'SLOAD', 1n, 'ADD']
    case 3:
      return [slot(chance), 'TLOAD']
    case 4:
      return [BigInt(chance.of(addresses))]
    case 5:
      return [0n]
    default:
      return [chance.word()]
  }
}

/** The key of a slot, pushed. */
function slot(chance) {
  switch (chance.below(6)) {
    case 0:
      return ['CALLER']
    case 1:
      return [0n, 'CALLDATALOAD']
    case 2:
      // The slot of a mapping's entry.
      return ['CALLER', 0n, 'MSTORE', BigInt(chance.below(3)), 32n, 'MSTORE', 64n, 0n, 'KECCAK256']
    default:
      return [BigInt(chance.below(5))]
  }
}

/** An address, pushed: known, of the calldata, the caller, or one that nothing has touched. */
function target(chance, addresses) {
  switch (chance.below(12)) {
    case 0:
      return ['CALLER']
    case 1:
      return ['ADDRESS']
    case 2:
      return [32n, 'CALLDATALOAD']
    case 3:
      return [BigInt(0x1000_0000 + chance.below(1 << 20))]
    case 4:
      return [slot(chance), 'SLOAD']
    default:
      return [BigInt(chance.of(addresses))]
  }
}

/** A call; what comes of it is dropped or stored. */
function call(chance, addresses) {
  const kind = chance.weighted({ CALL: 6, STATICCALL: 2, DELEGATECALL: 2, CALLCODE: 1 })
  const amount = chance.oneIn(2) ? [0n] : chance.oneIn(8) ? ['SELFBALANCE'] : [BigInt(chance.below(4))]
  const gas = chance.oneIn(4) ? [BigInt(chance.below(300_000))] : ['GAS']
  const size = BigInt(chance.of([0, 4, 32, 64, 128, 192]))
  const output = [BigInt(chance.of([0, 32, 64])), 0n]
  return [
    output, size, 0n,
    kind === 'CALL' || kind === 'CALLCODE' ? amount : [],
    target(chance, addresses), gas, kind,
    keep(chance),
    chance.oneIn(4) ? ['RETURNDATASIZE', 0n, 0n, 'RETURNDATACOPY'] : [],
  ]
}

/** Takes a word off the stack: into a slot, or away. */
function keep(chance) {
  return chance.oneIn(3) ? [slot(chance), 'SSTORE'] : ['POP']
}

/** Code that runs while a contract is created. */
export function initCode(chance, addresses, depth) {
  const before = statements(chance, addresses, chance.below(3), depth + 1)
  switch (chance.weighted({ deploy: 8, destroy: 4, revert: 2, nothing: 2, invalid: 1, reserved: 1, large: 1 })) {
    case 'destroy':
      return assemble(before, target(chance, addresses), 'SELFDESTRUCT')
    case 'revert':
      return assemble(before, 32n, 0n, 'REVERT')
    case 'nothing':
      return assemble(before, 'STOP')
    case 'invalid':
      return assemble(before, 'INVALID')
    case 'reserved':
      // Code that begins with 0xEF may not be deployed (EIP-3541).
      return assemble(0xefn, 0n, 'MSTORE8', 3n, 0n, 'RETURN')
    case 'large':
      return assemble(before, BigInt(chance.of([1_000, 24_577, 32_769, 65_536, 65_537])), 0n, 'RETURN')
    default: {
      const runtime = program(chance, addresses, chance.between(1, 3), depth + 1)
      // The runtime code follows the code that returns it.
      const head = (offset) => assemble(before, BigInt(runtime.length), BigInt(offset), 0n, 'CODECOPY', BigInt(runtime.length), 0n, 'RETURN')
      const offset = head(0x100).length
      const padded = offset < 0x100 ? head(offset).length : offset
      const code = head(padded)
      return Uint8Array.from([...code, ...runtime])
    }
  }
}

/** Creates a contract, and then looks at it, calls it or has it keep value. */
function create(chance, addresses, depth) {
  const init = initCode(chance, addresses, depth)
  const store = []
  for (let at = 0; at < init.length; at += 32) {
    const word = new Uint8Array(32)
    word.set(init.subarray(at, at + 32))
    store.push([BigInt('0x' + Buffer.from(word).toString('hex')), BigInt(at), 'MSTORE'])
  }
  // Never more than there is: README.md says what EthereumJS does then.
  const amount = chance.oneIn(2) ? [0n] : chance.oneIn(4) ? ['SELFBALANCE'] : ['SELFBALANCE', 'ISZERO', 'ISZERO']
  const size = BigInt(init.length)
  const made = chance.oneIn(2) ? [size, 0n, amount, 'CREATE'] : [BigInt(chance.below(3)), size, 0n, amount, 'CREATE2']
  const then = chance.weighted({ keep: 2, call: 3, look: 1 })
  if (then === 'call') {
    // The address is copied from below what the call takes.
    return [store, made, 0n, 0n, 0n, 0n, BigInt(chance.below(2)), DUP6, 'GAS', 'CALL', 'POP', keep(chance)]
  }
  if (then === 'look') return [store, made, chance.of(['EXTCODEHASH', 'EXTCODESIZE', 'BALANCE']), keep(chance)]
  return [store, made, keep(chance)]
}

function statement(chance, addresses, depth) {
  const kinds = {
    store: 10, load: 3, transient: 2, look: 4, copyCode: 1, call: 8, log: 3, hash: 1, memory: 1, deep: 1, environment: 2,
    create: depth < 2 ? 3 : 0, blockHash: 1, blobHash: 1, exp: 1, restore: 2,
  }
  switch (chance.weighted(kinds)) {
    case 'store':
      return [value(chance, addresses), slot(chance), 'SSTORE']
    case 'restore':
      return [slot(chance), 'SLOAD', chance.word(), slot(chance), 'SSTORE', slot(chance), 'SSTORE']
    case 'load':
      return [slot(chance), 'SLOAD', 'POP']
    case 'transient':
      return [value(chance, addresses), slot(chance), 'TSTORE']
    case 'look':
      return [target(chance, addresses), chance.of(['BALANCE', 'EXTCODESIZE', 'EXTCODEHASH']), keep(chance)]
    case 'copyCode':
      return [BigInt(chance.below(64)), 0n, 0n, target(chance, addresses), 'EXTCODECOPY']
    case 'call':
      return call(chance, addresses)
    case 'log': {
      const topics = chance.below(5)
      const words = Array.from({ length: topics }, () => value(chance, addresses))
      return [words, BigInt(chance.below(70)), 0n, OPCODES.LOG0 + topics]
    }
    case 'hash':
      return [BigInt(chance.below(100)), 0n, 'KECCAK256', keep(chance)]
    case 'memory':
      return [BigInt(chance.below(200)), 0n, BigInt(chance.below(5_000)), 'MCOPY', 'MSIZE', keep(chance)]
    case 'deep':
      // EIP-8024 reaches below the 16th word of the stack.
      return [
        Array.from({ length: 20 }, (_, position) => BigInt(position + 1)),
        chance.of([['DUPN', 0x80], ['SWAPN', 0x80], ['EXCHANGE', 0x8e], ['DUPN', 0x81], ['EXCHANGE', 0x9d]]),
        keep(chance), Array.from({ length: 19 }, () => 'POP'),
      ]
    case 'environment':
      return [chance.of(ENVIRONMENT), chance.oneIn(3) ? 'CLZ' : 'ISZERO', chance.of(ENVIRONMENT), 'ADD', keep(chance)]
    case 'create':
      return create(chance, addresses, depth)
    case 'blockHash':
      return [BigInt(chance.below(3)), 'NUMBER', 'SUB', 'BLOCKHASH', keep(chance)]
    case 'blobHash':
      return [BigInt(chance.below(2)), 'BLOBHASH', keep(chance)]
    default:
      return [chance.word(), BigInt(chance.below(300)), 'EXP', keep(chance)]
  }
}

function statements(chance, addresses, count, depth) {
  return Array.from({ length: count }, () => statement(chance, addresses, depth))
}

/** How a program ends, whose ending is at this place. */
function ending(chance, addresses, at) {
  const kinds = { stop: 12, return: 4, revert: 2, invalid: 1, endless: 1, destroy: 2, underflow: 1 }
  switch (chance.weighted(kinds)) {
    case 'stop':
      return ['STOP']
    case 'return':
      return [BigInt(chance.below(64)), 0n, 'RETURN']
    case 'revert':
      return [BigInt(chance.below(64)), 0n, 'REVERT']
    case 'invalid':
      return ['INVALID']
    case 'endless':
      // Until the gas is gone; each turn costs much, so that there are few.
      return ['JUMPDEST', 4_096n, 0n, OPCODES.LOG0, 0x61, at >> 8, at & 0xff, 'JUMP']
    case 'destroy':
      return [target(chance, addresses), 'SELFDESTRUCT']
    default:
      return ['POP', 'POP', 'POP']
  }
}

/** A program; parts of it run only if a byte of the calldata has a bit set. */
export function program(chance, addresses, count, depth = 0) {
  const code = []
  for (let done = 0; done < count; done += 1) {
    const part = assemble(statement(chance, addresses, depth))
    if (chance.oneIn(4)) {
      // Skips the part: PUSH1 bit, CALLDATALOAD's lowest byte, PUSH2 past it, JUMPI.
      const past = code.length + 11 + part.length
      code.push(0x60, chance.below(96), OPCODES.CALLDATALOAD, 0x60, 1, 0x16, 0x61, past >> 8, past & 0xff, OPCODES.JUMPI, OPCODES.JUMPDEST)
      code.push(...part, OPCODES.JUMPDEST)
    } else {
      code.push(...part)
    }
  }
  code.push(...assemble(ending(chance, addresses, code.length)))
  return Uint8Array.from(code)
}

/** A token: balances by holder in a mapping at slot 0, a transfer of calldata (to, amount), and its event. */
export function token() {
  const balanceOf = (holder) => [holder, 0n, 'MSTORE', 0n, 32n, 'MSTORE', 64n, 0n, 'KECCAK256']
  const start = assemble(
    balanceOf(['CALLER']), 'DUP1', 'SLOAD', // slot, balance
    32n, 'CALLDATALOAD', DUP2, 'LT', // slot, balance, balance < amount
  )
  const take = (past) => assemble(
    0x61, past >> 8, past & 0xff, 'JUMPI',
    32n, 'CALLDATALOAD', SWAP1, 'SUB', SWAP1, 'SSTORE', // the sender has less
    balanceOf([0n, 'CALLDATALOAD']), 'DUP1', 'SLOAD', 32n, 'CALLDATALOAD', 'ADD', SWAP1, 'SSTORE', // the receiver more
    32n, 'CALLDATALOAD', 0n, 'MSTORE', 0n, 'CALLDATALOAD', 'CALLER', 0xddn, 32n, 0n, OPCODES.LOG0 + 3,
    1n, 0n, 'MSTORE', 32n, 0n, 'RETURN',
  )
  const past = start.length + take(0).length
  return Uint8Array.from([...start, ...take(past), ...assemble('JUMPDEST', 0n, 0n, 'REVERT')])
}

/** Logs calldata of 576 bytes with a topic: the deposit contract to those who read logs (EIP-6110). */
export function logger(topic) {
  const past = 9
  return assemble(
    'CALLDATASIZE', 576n, 'EQ', BigInt(past), 'JUMPI', 'STOP', 'JUMPDEST',
    'CALLDATASIZE', 0n, 0n, 'CALLDATACOPY', BigInt(topic), 'CALLDATASIZE', 0n, OPCODES.LOG0 + 1, 'STOP',
  )
}
