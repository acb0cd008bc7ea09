//! A count by client, of a bounded number of clients.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// How often something happened, by client. Those who come once there is no more room are counted together.
#[derive(Debug)]
pub(super) struct Clients {
    most: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Those that connect to a Unix socket have no address, and are one.
    clients: HashMap<Option<IpAddr>, u64>,
    others: u64,
}

impl Clients {
    /// Counts at most so many clients one by one.
    pub(super) fn new(most: usize) -> Self {
        Self { most, counts: Mutex::default() }
    }

    /// Counts once more for this client.
    pub(super) fn count(&self, client: Option<IpAddr>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { clients, others } = &mut *counts;
        let has_room = clients.len() < self.most;
        match clients.get_mut(&client) {
            Some(count) => *count += 1,
            None if has_room => drop(clients.insert(client, 1)),
            None => *others += 1,
        }
    }

    /// The counts of all clients, the largest first, and that of all others together.
    pub(super) fn counts(&self) -> (Vec<(Option<IpAddr>, u64)>, u64) {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut clients, others) = (Vec::from_iter(counts.clients.clone()), counts.others);
        drop(counts);
        clients.sort_by_key(|(client, count)| (Reverse(*count), *client));
        (clients, others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_when_there_is_no_more_room_is_one_of_the_others() {
        let clients = Clients::new(2);
        let [first, second, third] =
            [[203, 0, 113, 1], [203, 0, 113, 2], [203, 0, 113, 3]].map(|ip| Some(IpAddr::from(ip)));
        for client in [first, second, third, second, first, second, third] {
            clients.count(client);
        }
        assert_eq!(clients.counts(), (vec![(second, 3), (first, 2)], 2));
    }
}
