//! What things are called in the sample blocks.

use std::path::Path;

use super::*;
use crate::{
    PredictorKind,
    input::{BlockInput, LoadOptions},
    predict,
};

fn named(block: &str, labels: &Labels) -> (BlockInput, Vec<PredictedAccess>, Names) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks").join(block);
    let input = BlockInput::load(&path, &LoadOptions::default()).unwrap();
    let predictions = predict(&input.block, &input.state, &PredictorKind::Static).unwrap();
    let predictor = PredictorKind::shared_static();
    let names = Names::new(input.chain, labels)
        .with_storage(&input.block, &input.state, &predictor, &predictions)
        .unwrap();
    (input, predictions, names)
}

/// What the slots that a transaction touches are called, without their contracts' addresses.
fn slots(predictions: &[PredictedAccess], names: &Names, tx: usize) -> Vec<String> {
    let locations = predictions[tx].set().locations();
    let storage = locations.iter().filter(|it| matches!(it, Location::Storage(..)));
    storage.map(|location| names.location(location)).collect()
}

#[test]
fn a_token_s_slots_are_called_after_its_getters() {
    let (input, predictions, names) = named("approve-transfer-from", &Labels::default());
    let all: Vec<String> =
        (0..predictions.len()).flat_map(|tx| slots(&predictions, &names, tx)).collect();
    let to = |tx: usize| names.transaction(&input.block.transactions[tx]);
    assert!(all.iter().any(|name| name.contains(".balanceOf[0x")), "{all:?}");
    assert!(all.iter().any(|name| name.contains(".allowance[0x")), "{all:?}");
    assert!((0..predictions.len()).any(|tx| to(tx).ends_with(".approve")), "{}", to(0));
}

#[test]
fn labels_come_before_all_other_names() {
    let (input, ..) = named("nonce-chain", &Labels::default());
    let caller = input.block.transactions[0].caller;
    let labels = Labels::parse(format!(r#"{{"{caller}": "me"}}"#).as_bytes()).unwrap();
    let (_, predictions, names) = named("nonce-chain", &labels);
    assert_eq!(names.address(caller), "me");
    let locations = predictions[0].set().locations();
    let words: Vec<String> = locations.iter().map(|location| names.location(location)).collect();
    assert!(words.contains(&"balance of me".to_owned()), "{words:?}");
}

#[test]
fn what_has_no_name_is_called_by_the_ends_of_its_address() {
    let names = Names::new(Chain::Mainnet, &Labels::default());
    let address = Address::repeat_byte(0xab);
    let cases = [
        (Location::Balance(address), "balance of 0xABaBaB…ABaB"),
        (Location::Storage(address, U256::from(8)), "0xABaBaB…ABaB slot 8"),
        (Location::Storage(address, U256::MAX), "0xABaBaB…ABaB slot 0xffffffff…ffffff"),
        (
            Location::Storage(
                address,
                "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"
                    .parse()
                    .unwrap(),
            ),
            "0xABaBaB…ABaB slot eip1967.proxy.implementation",
        ),
    ];
    for (location, words) in cases {
        assert_eq!(names.location(&location), words);
    }
    assert_eq!(
        names.scope(&Scope::Mapping { address, slot: U256::from(2) }),
        "any entry of 0xABaBaB…ABaB mapping(slot 2)"
    );
}
