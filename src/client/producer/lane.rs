//! Carries the orders for one broker out: they enter the stream in order, several are in flight.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::core::{Input, Order};
use super::outcome::Outcome;
use crate::io::World;
use crate::rpc::{Pool, Purpose};

/// Before this version of Produce, topics go by name (KIP-516).
const LAST_VERSION_BY_NAME: i16 = 12;

/// From the version after this one on, leaders add partitions to transactions (KIP-890).
const LAST_VERSION_WITHOUT_ADDING: i16 = 11;

type Running = Pin<Box<dyn Future<Output = Input> + Send>>;

enum Event {
    Done(Input),
    New(Order),
    End,
}

/// Carries orders out until their sender is dropped. Calls are polled in their order, so that they
/// reach the stream in that order, whichever way an executor runs its tasks.
pub(super) async fn lane<W: World>(
    pool: Pool<W>,
    mut orders: UnboundedReceiver<Order>,
    done: UnboundedSender<Input>,
) {
    let mut running: VecDeque<Running> = VecDeque::new();
    loop {
        let event = poll_fn(|context| {
            for place in 0..running.len() {
                if let Poll::Ready(input) = running[place].as_mut().poll(context) {
                    drop(running.remove(place));
                    return Poll::Ready(Event::Done(input));
                }
            }
            orders.poll_recv(context).map(|order| order.map_or(Event::End, Event::New))
        });
        match event.await {
            Event::Done(input) => drop(done.send(input)),
            Event::New(order) => running.push_back(Box::pin(carry_out(pool.clone(), order))),
            Event::End => return,
        }
    }
}

async fn carry_out<W: World>(pool: Pool<W>, order: Order) -> Input {
    let Order { request, to, message, by_name, explicit, deadline } = order;
    let max_version = match (explicit, by_name) {
        (true, _) => Some(LAST_VERSION_WITHOUT_ADDING),
        (false, true) => Some(LAST_VERSION_BY_NAME),
        (false, false) => None,
    };
    let records = Purpose::Records;
    let outcome = if message.acks == 0 {
        let sent = pool.send_only(&to, records, &message, max_version, deadline).await;
        sent.map(|()| Outcome::Written)
    } else {
        let answer = pool.call(&to, records, &message, max_version, deadline).await;
        answer.map(|answer| Outcome::Answered(Box::new(answer)))
    };
    let outcome = outcome.unwrap_or_else(|error| match error.is_final() {
        true => Outcome::Unsupported,
        false => Outcome::Lost { may_have_reached: error.may_have_reached() },
    });
    Input::Produced { request, outcome }
}
