//! The names of the library without default features, against a list that people read: a name
//! that comes or goes shows in the same change.

use std::{collections::BTreeSet, fs, path::Path};

use syn::{Attribute, Item, UseTree, Visibility};

/// What `src/lib.rs` makes public whatever the features are.
fn names_of_facade() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let file = syn::parse_file(&fs::read_to_string(path).unwrap()).unwrap();
    let mut names = BTreeSet::new();
    for item in &file.items {
        let (attributes, visibility) = match item {
            Item::Use(item) => (&item.attrs, &item.vis),
            Item::Mod(item) => (&item.attrs, &item.vis),
            // The pages whose snippets are compiled.
            Item::Struct(item) if has_cfg(&item.attrs) => continue,
            _ => panic!("the facade holds modules and re-exports and nothing else"),
        };
        if !matches!(visibility, Visibility::Public(_)) || has_cfg(attributes) {
            continue;
        }
        match item {
            Item::Use(item) => add_names(&item.tree, &mut names),
            Item::Mod(item) => drop(names.insert(item.ident.to_string())),
            _ => {}
        }
    }
    names
}

fn has_cfg(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident("cfg"))
}

/// The names that a `use` brings in, renamed ones as they are called here.
fn add_names(tree: &UseTree, names: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => add_names(&path.tree, names),
        UseTree::Group(group) => group.items.iter().for_each(|tree| add_names(tree, names)),
        UseTree::Name(name) => drop(names.insert(name.ident.to_string())),
        UseTree::Rename(rename) => drop(names.insert(rename.rename.to_string())),
        UseTree::Glob(_) => panic!("a glob hides which names there are"),
    }
}

#[test]
fn the_library_has_these_names_and_no_others() {
    let listed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public_names.txt");
    let listed = fs::read_to_string(listed).unwrap();
    let listed: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    let names = names_of_facade();
    let added: Vec<_> = names.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&names).collect();
    assert!(
        added.is_empty() && gone.is_empty(),
        "tests/public_names.txt lacks {added:?} and has {gone:?} too many"
    );
    assert!(names.len() <= 60, "{} names are more than one learns in ten minutes", names.len());
}
