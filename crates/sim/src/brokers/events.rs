//! The model event by event, for every setting.
//!
//! A calendar of events, earliest first; of equal times, arrivals at a broker go by pass, then by the order in which they
//! were scheduled. Stages that work on one message at a time need no events of their own: what enters a queue first leaves it
//! first, so the time of leaving is known on entry.

use super::outcome::Tally;
use super::settings::{Balancing, Discipline, Phase, Plan, Settings, Spread, Workers};
use super::sources::{OTHERS, phases};
use crate::chance::Chance;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Passes there can be: to the fog, to the node, and the notice.
const PASSES: usize = 3;

/// What happens. The order matters for equal times: an arrival sees the broker as it was before anything ended then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// A message reaches the brokers.
    Arrival,
    /// The fog gets a message.
    Fog,
    /// The node gets a message.
    Node,
    /// A broker has done a service.
    Done,
    /// A source publishes.
    Publication,
}

/// Compared by its fields from the first on; the serial number decides at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at_ns: u64,
    what: What,
    /// 0, 1 or 2; 0 where it says nothing.
    pass: usize,
    serial: u64,
    source: u32,
    /// Of an ended service.
    broker: usize,
    born_ns: u64,
}

/// A message in a broker.
#[derive(Clone, Copy, Debug)]
struct Message {
    arrival: u64,
    source: u32,
    born_ns: u64,
}

/// One broker: a queue for each pass, and who is served.
#[derive(Debug, Default)]
struct Broker {
    waiting: [VecDeque<Message>; PASSES],
    serving: bool,
    /// Start tags of fair queueing, in nanoseconds of service: of each pass's next, and of what is served.
    tags_ns: [u64; PASSES],
    virtual_ns: u64,
}

impl Broker {
    fn load(&self) -> usize {
        self.waiting.iter().map(VecDeque::len).sum::<usize>() + usize::from(self.serving)
    }

    /// Takes who is served next, and its pass.
    fn take(&mut self, discipline: Discipline, service_ns: u64) -> Option<(usize, Message)> {
        let heads = self.waiting.iter().zip(&self.tags_ns).enumerate();
        let heads = heads.filter_map(|(pass, (queue, tag))| queue.front().map(|head| (pass, head.arrival, *tag)));
        let (pass, _, tag_ns) = match discipline {
            Discipline::Fifo => heads.min_by_key(|(_, arrival, _)| *arrival),
            Discipline::Fair => heads.min_by_key(|(pass, _, tag)| (self.virtual_ns.max(*tag), Reverse(*pass))),
            // the passes after the first in the order of coming, before any first
            Discipline::SecondFirst => heads.min_by_key(|(pass, arrival, _)| (*pass == 0, *arrival)),
        }?;
        self.virtual_ns = self.virtual_ns.max(tag_ns);
        if let Some(tag) = self.tags_ns.get_mut(pass) {
            *tag = self.virtual_ns + service_ns;
        }
        self.waiting.get_mut(pass)?.pop_front().map(|message| (pass, message))
    }
}

/// A run that is going on.
struct Run<'a> {
    settings: &'a Settings,
    plan: &'a Plan,
    calendar: BinaryHeap<Reverse<Event>>,
    /// Numbers events in the order of scheduling.
    serial: u64,
    /// Numbers arrivals at the brokers.
    arrivals: u64,
    brokers: Vec<Broker>,
    turn: usize,
    fog_free_ns: u64,
    node_free_ns: u64,
    times: Chance,
    choices: Chance,
    tally: Tally,
}

/// Runs the model.
pub(super) fn run(settings: &Settings, plan: &Plan) -> Tally {
    let mut run = Run {
        settings,
        plan,
        calendar: BinaryHeap::new(),
        serial: 0,
        arrivals: 0,
        brokers: (0..settings.brokers).map(|_| Broker::default()).collect(),
        turn: 0,
        fog_free_ns: 0,
        node_free_ns: 0,
        times: Chance::new(settings.seed, OTHERS),
        choices: Chance::new(settings.seed, OTHERS + 1),
        tally: Tally::default(),
    };
    for (source, first_ns) in (0..).zip(phases(settings, plan)) {
        let at_ns = if settings.phase == Phase::Poisson { run.times.exponential_ns(plan.period_ns as f64) } else { first_ns };
        run.schedule(at_ns, What::Publication, 0, source, 0, at_ns);
    }
    while let Some(Reverse(event)) = run.calendar.pop() {
        run.happen(&event);
    }
    run.tally
}

impl Run<'_> {
    /// Writes an event down, unless it is after the end.
    fn schedule(&mut self, at_ns: u64, what: What, pass: usize, source: u32, broker: usize, born_ns: u64) {
        if at_ns <= self.plan.end_ns {
            self.calendar.push(Reverse(Event { at_ns, what, pass, serial: self.serial, source, broker, born_ns }));
            self.serial += 1;
        }
    }

    fn delay_ns(&mut self, mean_ns: u64) -> u64 {
        match self.settings.delays {
            Spread::Constant => mean_ns,
            Spread::Exponential => self.times.exponential_ns(mean_ns as f64),
        }
    }

    fn happen(&mut self, event: &Event) {
        let Event { at_ns, what, pass, source, broker, born_ns, .. } = *event;
        match what {
            What::Publication => {
                let way_ns = self.way_ns(2, true);
                self.schedule(at_ns + way_ns, What::Arrival, 0, source, 0, at_ns);
                let gap_ns = match self.settings.phase {
                    Phase::Poisson => self.times.exponential_ns(self.plan.period_ns as f64),
                    _ => self.plan.period_ns,
                };
                self.schedule(at_ns + gap_ns, What::Publication, 0, source, 0, at_ns);
            }
            What::Arrival => {
                let number = self.choose(source);
                let message = Message { arrival: self.arrivals, source, born_ns };
                self.arrivals += 1;
                if let Some(queue) = self.brokers.get_mut(number).and_then(|broker| broker.waiting.get_mut(pass)) {
                    queue.push_back(message);
                }
                self.serve(number, at_ns);
            }
            What::Done => self.done(at_ns, pass, source, broker, born_ns),
            What::Fog => {
                let work_ns = self.delay_ns(self.plan.elaboration_ns);
                let done_ns = leave_ns(self.settings.fog, &mut self.fog_free_ns, at_ns, work_ns);
                let way_ns = self.way_ns(1, false);
                self.schedule(done_ns.saturating_add(way_ns), What::Arrival, 1, source, 0, born_ns);
            }
            What::Node => {
                let work_ns = self.delay_ns(self.plan.elaboration_ns) + self.delay_ns(self.plan.pow_ns);
                let done_ns = leave_ns(self.settings.node, &mut self.node_free_ns, at_ns, work_ns);
                self.tally.publish(born_ns, done_ns, self.plan);
                if self.settings.notices {
                    let way_ns = self.way_ns(1, false);
                    self.schedule(done_ns.saturating_add(way_ns), What::Arrival, 2, source, 0, born_ns);
                }
            }
        }
    }

    /// So many links, and the gateway if it is on the way.
    fn way_ns(&mut self, links: u8, gateway: bool) -> u64 {
        let links_ns: u64 = (0..links).map(|_| self.delay_ns(self.plan.channel_ns)).sum();
        links_ns + if gateway { self.delay_ns(self.plan.elaboration_ns) } else { 0 }
    }

    fn done(&mut self, at_ns: u64, pass: usize, source: u32, broker: usize, born_ns: u64) {
        self.tally.services += 1;
        let way_ns = self.way_ns(1, false);
        match pass {
            0 => self.schedule(at_ns + way_ns, What::Fog, 0, source, 0, born_ns),
            1 => self.schedule(at_ns + way_ns, What::Node, 0, source, 0, born_ns),
            _ => (),
        }
        if let Some(broker) = self.brokers.get_mut(broker) {
            broker.serving = false;
        }
        self.serve(broker, at_ns);
    }

    /// Which broker a message of this source goes to.
    fn choose(&mut self, source: u32) -> usize {
        let count = self.brokers.len().max(1);
        match self.settings.balancing {
            Balancing::BySource => source as usize % count,
            Balancing::RoundRobin => {
                self.turn = (self.turn + 1) % count;
                self.turn
            }
            Balancing::Random => usize::try_from(self.choices.below(count as u64)).unwrap_or_default(),
            Balancing::Shortest => {
                let loads = self.brokers.iter().enumerate().map(|(number, broker)| (broker.load(), number));
                loads.min().map_or(0, |(_, number)| number)
            }
        }
    }

    /// Begins a service if the broker is free and somebody waits.
    fn serve(&mut self, number: usize, now_ns: u64) {
        let Some(broker) = self.brokers.get_mut(number) else { return };
        if broker.serving {
            return;
        }
        let Some((pass, message)) = broker.take(self.settings.discipline, self.plan.service_ns) else { return };
        broker.serving = true;
        let service_ns = match self.settings.services {
            Spread::Constant => self.plan.service_ns,
            Spread::Exponential => self.times.exponential_ns(self.plan.service_ns as f64),
        };
        self.schedule(now_ns + service_ns, What::Done, pass, message.source, number, message.born_ns);
    }
}

/// When a stage is done with what enters it now. A queue of long work may last beyond all times that can be written: the end of the
/// run is long before that.
fn leave_ns(workers: Workers, free_ns: &mut u64, now_ns: u64, work_ns: u64) -> u64 {
    match workers {
        Workers::Parallel => now_ns + work_ns,
        Workers::Serial => {
            *free_ns = now_ns.max(*free_ns).saturating_add(work_ns);
            *free_ns
        }
    }
}
