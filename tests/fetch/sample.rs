//! Sample blocks behind a node without debug methods: what is fetched is the same block, on a
//! state from which it runs to the same header.

use alloy_primitives::{Address, U256, hex};
use forewave::{
    MemoryState,
    fetch::{BlockId, Call, FetchError, Fetcher, Node, Refusal, Way},
    input::{BlockFiles, BlockInput, LoadOptions},
    sequential,
};
use revm::DatabaseRef;
use serde_json::{Value, json, value::RawValue};

/// A block directory as a node.
#[derive(Debug)]
struct Sample {
    block: Value,
    state: MemoryState,
    /// Where a tracer's answer would be, for what it is to leave out.
    trace: Option<String>,
    chain: u64,
    /// By method: its answer, or an error.
    lists: Vec<(&'static str, Result<Value, Refusal>)>,
}

impl Sample {
    fn answer(&self, call: &Call) -> Result<Value, Refusal> {
        let text = |at: usize| call.params[at].as_str().unwrap_or_default();
        let account = || {
            let address: Address = text(0).parse().unwrap();
            self.state.basic_ref(address).unwrap().unwrap_or_default()
        };
        Ok(match call.method {
            "eth_chainId" => json!(format!("{:#x}", self.chain)),
            "eth_getBlockByNumber" if call.params[1] == true => self.block.clone(),
            "eth_getBlockByNumber" => {
                let number = u64::from_str_radix(&text(0)[2..], 16).unwrap();
                json!({ "number": text(0), "hash": self.state.block_hash_ref(number).unwrap() })
            }
            "eth_getBalance" => json!(account().balance),
            "eth_getTransactionCount" => json!(format!("{:#x}", account().nonce)),
            "eth_getCode" => {
                let code = account().code.unwrap_or_default();
                json!(hex::encode_prefixed(code.original_bytes()))
            }
            "eth_getStorageAt" => {
                let key: U256 = text(1).parse().unwrap();
                json!(self.state.storage_ref(text(0).parse().unwrap(), key).unwrap())
            }
            "debug_traceBlockByNumber" if self.trace.is_some() => {
                serde_json::from_str(self.trace.as_ref().unwrap()).unwrap()
            }
            method if self.lists.iter().any(|(it, _)| *it == method) => {
                return self.lists.iter().find(|(it, _)| *it == method).unwrap().1.clone();
            }
            method => return Err(Refusal::Absent(format!("{method} is not there"))),
        })
    }
}

impl Node for Sample {
    fn call(&self, calls: &[Call]) -> Vec<Result<Box<RawValue>, Refusal>> {
        let raw = |value: Value| RawValue::from_string(value.to_string()).unwrap();
        calls.iter().map(|call| self.answer(call).map(raw)).collect()
    }
}

/// A sample block as it is on disk, and behind a node.
fn sample(name: &str) -> (BlockInput, Sample) {
    let path = format!("{}/fixtures/blocks/{name}", env!("CARGO_MANIFEST_DIR"));
    let files = BlockFiles::read(path.as_ref()).unwrap();
    let input = BlockInput::parse(&files, &LoadOptions::default()).unwrap();
    let block = serde_json::from_slice(&files.block.bytes).unwrap();
    let state = input.state.clone();
    let chain = input.chain.id();
    (input, Sample { block, state, trace: None, chain, lists: vec![] })
}

fn fetcher(sample: Sample) -> Fetcher<Sample> {
    let readers = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    Fetcher::new(sample, LoadOptions::default(), readers).unwrap()
}

#[test]
fn every_sample_block_is_fetched_without_a_tracer_and_runs_to_the_same_outcome() {
    for entry in
        std::fs::read_dir(format!("{}/fixtures/blocks", env!("CARGO_MANIFEST_DIR"))).unwrap()
    {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let (input, sample) = sample(&name);
        let fetched = fetcher(sample).fetch(BlockId::Number(input.header.number)).unwrap();
        assert_eq!((fetched.way, fetched.tried.len()), (Way::OnDemand, 2), "{name}");
        assert_eq!(fetched.input.tx_hashes, input.tx_hashes, "{name}");
        assert_eq!(fetched.input.header, input.header, "{name}");
        let run = |input: &BlockInput| sequential(&input.block, &input.state).unwrap();
        assert_eq!(run(&fetched.input).first_difference(&run(&input)), None, "{name}");
    }
}

#[test]
fn a_trace_that_leads_to_another_header_is_set_aside() {
    let (input, mut sample) = sample("mixed-defi");
    let sender = input.block.transactions[0].caller;
    for (trace, reason) in [
        (json!([{ "result": { sender.to_string(): { "balance": "0x0" } } }]), "does not run"),
        (json!([{ "error": "execution timeout" }]), "execution timeout"),
        (json!({ "pre": {}, "post": {} }), "diffMode"),
    ] {
        sample.trace = Some(trace.to_string());
        let again = Sample { block: sample.block.clone(), state: sample.state.clone(), ..sample };
        let fetcher = fetcher(again);
        let fetched = fetcher.fetch(BlockId::Number(input.header.number)).unwrap();
        assert_eq!(fetched.way, Way::OnDemand, "{trace}");
        let (way, said) = &fetched.tried[0];
        assert!(*way == Way::TraceBlock && said.contains(reason), "{said}");
        sample = Sample { trace: None, ..self::sample("mixed-defi").1 };
    }
}

#[test]
fn a_trace_may_leave_out_what_the_protocol_touches() {
    let (input, mut sample) = sample("mixed-defi");
    let callers: Vec<String> =
        input.block.transactions.iter().map(|tx| tx.caller.to_string()).collect();
    let account = |address: &String| {
        let info = sample.state.basic_ref(address.parse().unwrap()).unwrap().unwrap();
        let nonce = format!("{:#x}", info.nonce);
        json!({ address: { "balance": info.balance, "nonce": nonce } })
    };
    let trace: Vec<Value> = callers.iter().map(|at| json!({ "result": account(at) })).collect();
    sample.trace = Some(json!(trace).to_string());
    let fetched = fetcher(sample).fetch(BlockId::Number(input.header.number)).unwrap();
    assert_eq!((fetched.way, fetched.tried.len()), (Way::TraceBlock, 0));
}

#[test]
fn a_block_that_does_not_reproduce_its_header_is_refused_with_what_differs() {
    let (input, mut sample) = sample("hot-pool");
    sample.block["gasUsed"] = json!("0x1");
    let error = fetcher(sample).fetch(BlockId::Number(input.header.number)).unwrap_err();
    let FetchError::Differs { mismatches, .. } = &error else { panic!("{error}") };
    assert_eq!(mismatches.len(), 1);
    assert!(error.to_string().contains("gas_used is 1 in the header"), "{error}");
}

#[test]
fn a_block_of_amsterdam_is_fetched_with_its_access_list_where_the_node_has_it() {
    const METHOD: &str = "eth_getBlockAccessList";
    let (input, _) = sample("amsterdam");
    let list = input.block.access_list.clone().unwrap();
    let json = json!(&*list);
    let rlp = json!(hex::encode_prefixed(alloy_rlp::encode(&*list)));
    let other = json!(&list[1..]);
    let fetch = |lists: Vec<(&'static str, Result<Value, Refusal>)>| {
        let (input, sample) = sample("amsterdam");
        fetcher(Sample { lists, ..sample }).fetch(BlockId::Number(input.header.number))
    };
    for lists in [
        vec![(METHOD, Ok(json.clone()))],
        vec![(METHOD, Ok(rlp))],
        vec![("debug_getBlockAccessList", Ok(json))],
    ] {
        let fetched = fetch(lists).unwrap();
        assert_eq!(fetched.input.block.access_list.as_deref(), Some(&*list));
        let again = BlockInput::parse(&fetched.files, &LoadOptions::default()).unwrap();
        assert_eq!(again.block.access_list.as_deref(), Some(&*list));
        assert_eq!(fetched.no_list, None);
    }
    let pruned = Refusal::Error("4444: pruned history unavailable".to_owned());
    for (lists, reason) in [
        (vec![], "does not offer the method"),
        (vec![(METHOD, Err(pruned))], "pruned history unavailable"),
        (vec![(METHOD, Ok(Value::Null))], "no access list of the block"),
    ] {
        let fetched = fetch(lists).unwrap();
        assert!(fetched.files.access_list.is_none());
        let said = fetched.no_list.unwrap();
        assert!(said.contains(reason), "{said}");
    }
    let error = fetch(vec![(METHOD, Ok(other))]).unwrap_err();
    assert!(matches!(error, FetchError::OtherList { .. }), "{error}");
    let broken = Refusal::Transport("the connection is refused".to_owned());
    let error = fetch(vec![(METHOD, Err(broken))]).unwrap_err();
    assert!(error.to_string().contains("eth_getBlockAccessList for block"), "{error}");
}
