//! What happens: one short file each.

mod crash;
mod healthy;
mod lossy;
mod partition;
mod restart;
mod single;

use crate::world::{World, play, seeds};

/// Plays a scenario on each seed, twice: the same seed must give the same course of events to the last bit.
fn each_seed<Fut>(few: u64, n: usize, scenario: fn(World) -> Fut)
where
    Fut: Future<Output = World> + Send + 'static,
{
    for seed in seeds(few) {
        eprintln!("seed {seed}");
        let first = play(seed, n, scenario);
        // replaying costs as much as playing: every eighth seed shows that events are determined
        if seed % 8 == 0 {
            assert_eq!(first, play(seed, n, scenario), "diverged: seed {seed} played twice");
        }
    }
}
