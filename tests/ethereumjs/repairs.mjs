// Where EthereumJS 10.1.3 departs from the text of an EIP or its tests, and no parameter of its own says otherwise: put
// right here, each with what asks for it. README.md has the list.

import { EVMError } from '@ethereumjs/evm'
import { BlockLevelAccessList, eoaCode7702RecoverAuthority, generateAddress, bigIntToBytes, bytesToHex } from '@ethereumjs/util'

const CREATIONS = [0xf0, 0xf5]
const CALL = 0xf1

/** Puts right what this machine does. */
export function repair(vm) {
  keepEarlierBalances()
  refuseStaticCreationsFirst(vm.evm)
  chargeForAccountsBeforeForwarding(vm.evm)
  haltInPrecompiles(vm.evm)
  let ran = false
  const runCall = vm.evm.runCall.bind(vm.evm)
  vm.evm.runCall = (options) => {
    ran = true
    return runCall(options)
  }
  vm.events.on('beforeTx', () => { ran = false })
  vm.events.on('afterTx', ({ transaction: tx }) => {
    const stoppedAtAuthorizations = !ran
    const stoppedAtFirstFrame = ran && vm.evm.eip2780PrepOog === true
    const list = vm.evm.blockLevelAccessList
    if (stoppedAtAuthorizations || stoppedAtFirstFrame) discardDelegations(list, tx)
    if (stoppedAtFirstFrame) list.addAddress(recipient(tx))
    dropReadsOfChanges(list)
  })
}

/** EIP-7928 lists the recipient of each transaction, and the target of each creation, "even when creation fails". */
function recipient(tx) {
  if (tx.to !== undefined) return tx.to.toString()
  return bytesToHex(generateAddress(tx.getSenderAddress().bytes, bigIntToBytes(tx.nonce)))
}

/**
 * Gas that runs out before the first frame takes back the delegations of the transaction (EIP-2780): EthereumJS takes
 * them out of its state, and leaves them in its list.
 */
function discardDelegations(list, tx) {
  const index = list.blockAccessIndex
  const sender = tx.getSenderAddress().toString()
  for (const authorization of tx.authorizationList ?? []) {
    let authority
    try {
      authority = eoaCode7702RecoverAuthority(authorization).toString()
    } catch {
      continue
    }
    const entry = list.accesses[authority]
    if (entry === undefined) continue
    entry.codeChanges = entry.codeChanges.filter(([at]) => at !== index)
    if (authority !== sender) entry.nonceChanges.delete(index)
  }
}

/**
 * Slots that change are no reads (EIP-7928). Where a frame that is reverted puts back what the transaction had
 * changed, EthereumJS lists the slot as both.
 */
function dropReadsOfChanges(list) {
  for (const { storageChanges, storageReads } of Object.values(list.accesses)) {
    for (const slot of Object.keys(storageChanges)) storageReads.delete(slot)
  }
}

/**
 * A creation in a static frame fails before its target is accessed, whatever gas is left (`bal_create_in_static_context`
 * of the execution spec tests). EthereumJS lists the target if the gas does not suffice for the account.
 */
function refuseStaticCreationsFirst(evm) {
  for (const opcode of CREATIONS) {
    const price = evm._opcodeMap[opcode].gasHandler
    evm._opcodeMap[opcode].gasHandler = (runState, gas, common) => {
      if (runState.interpreter.isStatic()) throw new EVMError(EVMError.errorMessages.STATIC_STATE_CHANGE)
      return price(runState, gas, common)
    }
  }
}

/**
 * A call that creates an account pays for it before 63/64 of the gas that is left are forwarded (EIP-8037). EthereumJS
 * works out what is forwarded first, so that a call with more gas than there is runs out of it instead of being
 * given all but one 64th (EIP-150).
 */
function chargeForAccountsBeforeForwarding(evm) {
  const price = evm._opcodeMap[CALL].gasHandler
  evm._opcodeMap[CALL].gasHandler = async (runState, gas, common) => {
    const { stack, interpreter } = runState
    const [asked] = stack.peek(1)
    // Nothing is asked for while the call is priced, so that nothing is too much.
    const peek = stack.peek.bind(stack)
    stack.peek = (count) => [0n, ...peek(count).slice(1)]
    let cost
    try {
      cost = await price(runState, gas, common)
    } finally {
      delete stack.peek
    }
    if (runState.eip7928PostTargetCallOog === undefined) {
      const left = interpreter.getGasLeft() - cost
      const forwarded = left - left / 64n
      runState.messageGasLimit = asked < forwarded ? asked : forwarded
    }
    return cost
  }
}

/**
 * A precompile that fails halts (EIP-197, EIP-2537): the gas that it was given is gone. EthereumJS calls it a revert, for
 * which it gives back what was paid for the account of the precompile (EIP-8037).
 */
function haltInPrecompiles(evm) {
  for (const [address, run] of evm.precompiles) {
    evm.precompiles.set(address, async (input) => {
      const result = await run(input)
      if (result.exceptionError?.error !== EVMError.errorMessages.REVERT) return result
      return { ...result, exceptionError: new EVMError(EVMError.errorMessages.OUT_OF_GAS) }
    })
  }
}

/**
 * What earlier transactions did to the balance of an account stays in the list when a later one creates and destroys it
 * again: EthereumJS takes out the changes at all indices, and not only at its own.
 */
function keepEarlierBalances() {
  const { prototype } = BlockLevelAccessList
  const cleanup = prototype.cleanupSelfdestructed
  if (cleanup.isRepaired) return
  prototype.cleanupSelfdestructed = function repaired(addresses, finalBalances) {
    const earlier = addresses.map((address) => [address, [...(this.accesses[address]?.balanceChanges ?? [])]])
    cleanup.call(this, addresses, finalBalances)
    for (const [address, changes] of earlier) {
      for (const [index, balance] of changes) {
        if (index !== this.blockAccessIndex) this.accesses[address].balanceChanges.set(index, balance)
      }
    }
  }
  prototype.cleanupSelfdestructed.isRepaired = true
}
