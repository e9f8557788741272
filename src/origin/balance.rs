//! Which server is asked: by connections or in turn, by weight, backups last, and never nobody.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::server::Server;
use super::settings::Balance;

#[derive(Debug)]
pub struct Balancer {
    servers: Vec<Arc<Server>>,
    rule: Balance,
    /// The standing of each server in the weighted round.
    round: Mutex<Vec<i64>>,
}

impl Balancer {
    pub fn new(servers: Vec<Arc<Server>>, rule: Balance) -> Self {
        let round = Mutex::new(vec![0; servers.len()]);
        Self { servers, rule, round }
    }

    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// The server to ask next, of those that were not `tried`. When all that are left are ejected or down, one of them is
    /// asked all the same: an answer is more likely there than from nobody.
    pub fn pick(&self, tried: &[usize], now: Instant) -> Option<usize> {
        let left = |is_backup: bool, must_be_available: bool| -> Vec<usize> {
            (0..self.servers.len())
                .filter(|at| !tried.contains(at))
                .filter(|&at| self.servers[at].settings.is_backup == is_backup)
                .filter(|&at| !must_be_available || self.servers[at].is_available(now))
                .collect()
        };
        if self.servers.len() == 1 {
            return tried.is_empty().then_some(0);
        }
        [(false, true), (true, true), (false, false), (true, false)]
            .into_iter()
            .map(|(is_backup, must_be_available)| left(is_backup, must_be_available))
            .find(|candidates| !candidates.is_empty())
            .map(|candidates| self.choose(candidates))
    }

    fn choose(&self, mut candidates: Vec<usize>) -> usize {
        if self.rule == Balance::LeastConnections {
            let load = |at: usize| (self.servers[at].under_way() as u64, u64::from(self.weight(at)));
            let loads: Vec<(u64, u64)> = candidates.iter().map(|&at| load(at)).collect();
            // `a / wa <= b / wb`, without the divisions.
            let is_least = |(a, wa): (u64, u64)| {
                loads.iter().all(|&(b, wb)| a.saturating_mul(wb) <= b.saturating_mul(wa))
            };
            let mut keep = loads.iter().map(|&load| is_least(load));
            candidates.retain(|_| keep.next().unwrap_or_default());
        }
        self.next_in_round(&candidates)
    }

    /// The smooth weighted round of nginx: each gains its weight, the foremost is taken and falls back by the sum.
    fn next_in_round(&self, candidates: &[usize]) -> usize {
        let mut round = self.round.lock().unwrap_or_else(PoisonError::into_inner);
        let sum: i64 = candidates.iter().map(|&at| i64::from(self.weight(at))).sum();
        let mut chosen = candidates[0];
        for &at in candidates {
            round[at] += i64::from(self.weight(at));
            if round[at] > round[chosen] {
                chosen = at;
            }
        }
        round[chosen] -= sum;
        chosen
    }

    fn weight(&self, at: usize) -> u32 {
        self.servers[at].settings.weight.max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::uri::{Authority, Scheme};

    use super::super::pool::Pool;
    use super::super::settings::{Base, EjectionSettings, ServerSettings};
    use super::*;

    fn balancer(rule: Balance, servers: &[(u32, bool)]) -> Balancer {
        let ejection =
            EjectionSettings { failures: 1, time: Duration::from_secs(10), time_max: Duration::from_mins(1) };
        let servers = servers.iter().map(|&(weight, is_backup)| {
            let base = Base {
                scheme: Scheme::HTTP,
                authority: Authority::from_static("127.0.0.1:1"),
                prefix: String::new(),
            };
            Arc::new(Server::new(ServerSettings { base, weight, is_backup }, Pool::default(), ejection))
        });
        Balancer::new(servers.collect(), rule)
    }

    fn picks(balancer: &Balancer, count: usize) -> Vec<usize> {
        (0..count).map(|_| balancer.pick(&[], Instant::now()).unwrap()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_keeps_to_the_weights_and_is_smooth() {
        let balancer = balancer(Balance::RoundRobin, &[(5, false), (1, false), (1, false)]);
        assert_eq!(picks(&balancer, 14), [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_fewest_requests_under_way_for_the_weight_are_preferred() {
        let balancer = balancer(Balance::LeastConnections, &[(2, false), (1, false)]);
        let mut work = Vec::new();
        let mut counts = [0, 0];
        for _ in 0..30 {
            let at = balancer.pick(&[], Instant::now()).unwrap();
            counts[at] += 1;
            work.push(balancer.servers()[at].begin());
        }
        assert_eq!(counts, [20, 10]);
        work.retain(|_| false);
        let _busy: Vec<_> = (0..3).map(|_| balancer.servers()[0].begin()).collect();
        assert_eq!(picks(&balancer, 3), [1, 1, 1], "3/2 under way against none");
    }

    #[tokio::test(start_paused = true)]
    async fn a_backup_is_asked_only_while_no_other_can_be() {
        let balancer = balancer(Balance::LeastConnections, &[(1, false), (1, true), (1, false)]);
        assert!(!picks(&balancer, 6).contains(&1));
        for at in [0, 2] {
            balancer.servers()[at].begin().fail();
        }
        assert_eq!(picks(&balancer, 2), [1, 1]);
        assert_ne!(balancer.pick(&[1], Instant::now()), Some(1), "it was tried");
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_out_all_are_asked() {
        let balancer = balancer(Balance::RoundRobin, &[(1, false), (1, false)]);
        for server in balancer.servers() {
            server.begin().fail();
        }
        assert_eq!(picks(&balancer, 4), [0, 1, 0, 1]);
        assert_eq!(balancer.pick(&[0, 1], Instant::now()), None, "but none twice for one request");
    }

    #[tokio::test(start_paused = true)]
    async fn an_ejected_server_is_left_out_and_comes_back() {
        let balancer = balancer(Balance::RoundRobin, &[(1, false), (1, false)]);
        balancer.servers()[0].begin().fail();
        assert_eq!(picks(&balancer, 3), [1, 1, 1]);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(picks(&balancer, 2).contains(&0));
    }
}
