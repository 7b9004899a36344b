//! Links: cut, restored, slow, lossy, narrow.

use crate::world::World;
use commonware_p2p::simulated::Link;
use commonware_runtime::Clock as _;

impl World {
    /// Makes the network's links those that are neither cut nor denied.
    pub(crate) async fn relink(&mut self) {
        let total = self.book.len();
        for i in 0..total {
            for j in (0..total).filter(|j| *j != i) {
                let wanted = !self.cut.contains(&(i, j)) && !self.denied.contains(&(i, j));
                let (from, to) = (self.book[i].clone(), self.book[j].clone());
                if wanted && self.linked.insert((i, j)) {
                    self.oracle.add_link(from, to, self.link.clone()).await.unwrap();
                } else if !wanted && self.linked.remove(&(i, j)) {
                    self.oracle.remove_link(from, to).await.unwrap();
                }
            }
        }
    }

    /// Gives every link other properties.
    pub async fn set_link(&mut self, link: Link) {
        self.link = link;
        for (i, j) in std::mem::take(&mut self.linked) {
            self.oracle.remove_link(self.book[i].clone(), self.book[j].clone()).await.unwrap();
        }
        self.relink().await;
    }

    /// Cuts the links between a group and the rest, both ways.
    pub async fn part(&mut self, group: &[usize]) {
        let total = self.book.len();
        for i in 0..total {
            for j in (0..total).filter(|j| group.contains(&i) != group.contains(j)) {
                self.cut.insert((i, j));
            }
        }
        self.relink().await;
    }

    /// Cuts the links between two groups of honest nodes, both ways; everybody else still reaches both.
    pub async fn divide(&mut self, one: &[usize], other: &[usize]) {
        for i in one {
            for j in other {
                self.cut.extend([(*i, *j), (*j, *i)]);
            }
        }
        self.relink().await;
    }

    /// Cuts what `from` says to the others: it still hears them.
    pub async fn mute(&mut self, from: usize) {
        let total = self.book.len();
        self.cut.extend((0..total).filter(|j| *j != from).map(|j| (from, j)));
        self.relink().await;
    }

    /// Never lets two places speak to each other again.
    pub async fn deny(&mut self, i: usize, j: usize) {
        self.denied.extend([(i, j), (j, i)]);
        self.relink().await;
    }

    /// Restores every link that was cut, and notes how high the chain is.
    pub async fn heal(&mut self) {
        let mut height = 0;
        for i in self.running() {
            height = height.max(self.status(i).await.height);
        }
        self.cut.clear();
        self.relink().await;
        self.healed = Some((self.context.current(), height));
    }

    /// Lets node `i` send and take this many bytes per second; `None` for any number.
    pub async fn narrow(&mut self, i: usize, bytes_per_second: Option<usize>) {
        self.oracle.limit_bandwidth(self.book[i].clone(), bytes_per_second, bytes_per_second).await.unwrap();
    }
}
