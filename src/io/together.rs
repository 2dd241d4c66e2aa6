//! Futures that wait side by side in one task.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Runs futures side by side, at most `limit` at a time, and returns their results in order.
///
/// They are polled in order, so a simulation stays deterministic. For waits that overlap, as syncs
/// do: work of the processor is not shared between threads.
pub async fn together<F: Future>(limit: usize, futures: Vec<F>) -> Vec<F::Output> {
    let mut results: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    let mut waiting = futures.into_iter().enumerate();
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::with_capacity(limit.min(results.len()));
    poll_fn(|context| {
        loop {
            let free = limit.max(1) - running.len();
            running.extend(waiting.by_ref().take(free).map(|(at, future)| (at, Box::pin(future))));
            let before = running.len();
            running.retain_mut(|(at, future)| match future.as_mut().poll(context) {
                Poll::Ready(result) => {
                    results[*at] = Some(result);
                    false
                }
                Poll::Pending => true,
            });
            match running.len() {
                0 if waiting.len() == 0 => return Poll::Ready(()),
                after if after == before => return Poll::Pending,
                _ => {}
            }
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn results_come_in_order_and_at_most_so_many_run_at_once() {
        let (running, most) = (Cell::new(0), Cell::new(0));
        let bells: Vec<Notify> = (0..10).map(|_| Notify::new()).collect();
        let wait = |at: usize| {
            let (running, most, bells) = (&running, &most, &bells);
            async move {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                bells[at].notified().await;
                running.set(running.get() - 1);
                at
            }
        };
        let all = async {
            // The last of those that run ends first.
            for at in [2, 1, 0, 5, 4, 3, 8, 7, 6, 9] {
                bells[at].notify_one();
                tokio::task::yield_now().await;
            }
        };
        let (results, ()) = tokio::join!(together(3, (0..10).map(wait).collect()), all);
        assert_eq!(results, (0..10).collect::<Vec<_>>());
        assert_eq!(most.get(), 3);
    }

    #[tokio::test]
    async fn nothing_to_wait_for_ends_at_once() {
        let none: Vec<std::future::Ready<()>> = Vec::new();
        assert!(together(3, none).await.is_empty());
        assert_eq!(together(1, vec![std::future::ready(7)]).await, [7]);
    }
}
