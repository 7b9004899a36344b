//! FIFO brokers with constant delays, without a calendar.
//!
//! Sources keep to their brokers, so each broker is a world of its own. What arrives there are two or three streams, each in
//! order of time already: publications; first passes, a constant time after they were served; notices likewise. The server
//! takes the earliest head (of equal ones, that of the earlier pass), begins when it is free and something is there, and so
//! on: `begin = max(free, arrival)`, `free = begin + service`. In overload the run ends with what the server can do, not with
//! what sources say: what waits for a first pass is never written down.

use super::outcome::Tally;
use super::settings::{Plan, Settings, Spread};
use super::sources::{OTHERS, Publications, phases};
use crate::chance::Chance;
use std::collections::VecDeque;

/// Something on its way back to the broker: when it arrives, and when its reading was born.
type Returning = VecDeque<(u64, u64)>;

/// Runs the model. The settings must be such that [`Settings::recursive`] holds.
pub(super) fn run(settings: &Settings, plan: &Plan) -> Tally {
    let phases = phases(settings, plan);
    let mut tally = Tally::default();
    let brokers = settings.brokers as usize;
    for broker in 0..brokers {
        let own: Vec<u64> = phases.iter().skip(broker).step_by(brokers).copied().collect();
        if !own.is_empty() {
            let stream = OTHERS + 2 * broker as u64;
            let sources = Publications::new(own, settings, plan, Chance::new(settings.seed, stream));
            one_broker(settings, plan, sources, Chance::new(settings.seed, stream + 1), &mut tally);
        }
    }
    tally
}

fn one_broker(settings: &Settings, plan: &Plan, mut sources: Publications, mut chance: Chance, tally: &mut Tally) {
    let (lead_ns, loop_ns, tail_ns) = (plan.lead_ns(), plan.loop_ns(), plan.tail_ns());
    let mut second: Returning = VecDeque::new();
    let mut notices: Returning = VecDeque::new();
    let mut free_ns = 0u64;
    loop {
        let (mut pass, mut arrival_ns) = (1, sources.next_ns().saturating_add(lead_ns));
        for (number, returning) in [(2, &second), (3, &notices)] {
            if let Some(&(at_ns, _)) = returning.front()
                && at_ns < arrival_ns
            {
                (pass, arrival_ns) = (number, at_ns);
            }
        }
        let service_ns = match settings.services {
            Spread::Constant => plan.service_ns,
            Spread::Exponential => chance.exponential_ns(plan.service_ns as f64),
        };
        let done_ns = free_ns.max(arrival_ns).saturating_add(service_ns);
        if done_ns > plan.end_ns {
            return;
        }
        free_ns = done_ns;
        tally.services += 1;
        match pass {
            1 => {
                second.push_back((done_ns + loop_ns, sources.next_ns()));
                sources.advance();
            }
            2 => {
                if let Some((_, born_ns)) = second.pop_front() {
                    tally.publish(born_ns, done_ns + tail_ns, plan);
                    if settings.notices {
                        notices.push_back((done_ns + tail_ns + plan.channel_ns, born_ns));
                    }
                }
            }
            _ => {
                let _ = notices.pop_front();
            }
        }
    }
}
