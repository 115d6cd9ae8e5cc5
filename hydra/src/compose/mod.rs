//! Defaults lists: from a primary configuration and the groups that were chosen on the command
//! line to the files that make the configuration, in their order.
//!
//! | module | what it does |
//! |---|---|
//! | `item` | one entry of a defaults list, and the group and package that it stands for |
//! | `read` | `defaults:` of a file to items, and the `# @package` header |
//! | `choices` | what the command line and `override` items choose |
//! | `tree` | [`DefaultsTree`]: every file with the files that it names |
//! | `list` | [`DefaultsList`]: the tree, flattened |

mod choices;
mod item;
mod list;
mod read;
mod tree;

pub(crate) use choices::Choices;
pub(crate) use item::Item;
pub(crate) use list::flatten;
pub use list::{DefaultsEntry, DefaultsList};
pub(crate) use read::{header_package, take_defaults};
pub use tree::DefaultsTree;
pub(crate) use tree::{NO_CONFIG, grow};
