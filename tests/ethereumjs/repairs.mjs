// Where EthereumJS 10.1.3 departs from the text of an EIP, and no parameter of its own says otherwise: its access
// lists are put right here, each with the sentence that asks for it. README.md has the list.

import { eoaCode7702RecoverAuthority, generateAddress, bigIntToBytes, bytesToHex } from '@ethereumjs/util'

/** Puts the lists right that this machine makes, after each transaction. */
export function repairLists(vm) {
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
