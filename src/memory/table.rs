//! Tables of what is remembered: each is bounded, and grows only as it fills.

use std::hash::Hash;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

/// A table that forgets what was not used for longest, or nearly.
pub(super) type Table<Key, Value, Weigher = Each> = Cache<Key, Value, Weigher>;

/// What the index of a table takes for each entry, in bytes: five for a place, of which between a quarter and nearly all
/// are taken.
pub(super) const INDEX: u64 = 23;

/// Says of each entry that it takes so many bytes.
#[derive(Debug, Clone)]
pub(super) struct Each(pub(super) u64);

impl<Key, Value> Weighter<Key, Value> for Each {
    fn weight(&self, _: &Key, _: &Value) -> u64 {
        self.0
    }
}

/// How much of a table is for what was used again, where most is used once or twice within a minute, and never again.
pub(super) const USED_AGAIN: f64 = 0.5;

/// A table of at most so many bytes, in which an entry takes at least so many of them, and which gives this share to what
/// was used again. What is larger than that share is not remembered.
pub(super) fn new<Key, Value, Weigher>(
    max: u64,
    entry: u64,
    used_again: f64,
    weigher: Weigher,
) -> Table<Key, Value, Weigher>
where
    Key: Eq + Hash,
    Value: Clone,
    Weigher: Weighter<Key, Value> + Clone,
{
    let options = OptionsBuilder::new()
        .estimated_items_capacity(usize::try_from(max / entry).unwrap_or(usize::MAX))
        .weight_capacity(max)
        .hot_allocation(used_again)
        // It would keep the places of what was forgotten, which are as large as those of what is remembered.
        .ghost_allocation(0.0)
        .build()
        .expect("it has both capacities");
    Cache::with_options(options, weigher, DefaultHashBuilder::default(), DefaultLifecycle::default())
}
