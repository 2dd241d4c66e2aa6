//! How the verdict on a batch reaches the tasks that wait for its records.
//!
//! All records of a batch share one cell, so a record costs no allocation of its own. The owner of
//! the [`Promise`] gives the verdict, once: by its methods, or at the latest by dropping it.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::RecordMetadata;
use crate::base::{Offset, Timestamp, TopicPartition};
use crate::client::{ProduceCause, ProduceError};

/// What became of a batch.
#[derive(Clone, Debug)]
enum Verdict {
    /// Acknowledged.
    Stored {
        partition: TopicPartition,
        base: Option<Offset>,
        append_time: Option<Timestamp>,
    },
    Failed(ProduceError),
    /// The records from each index on went to another batch.
    Moved(Vec<Heir>),
}

/// Where some of a batch's records went.
#[derive(Clone, Debug)]
struct Heir {
    /// First index in the old batch.
    from: u32,
    /// Its index in the new one.
    to: u32,
    cell: Arc<Cell>,
}

#[derive(Debug, Default)]
struct Cell {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    verdict: Option<Verdict>,
    waiting: Vec<Waiter>,
}

enum Waiter {
    Task(Waker),
    Callback(Delivery, Callback),
}

/// See [`Delivery::on_completion`].
type Callback = Box<dyn FnOnce(Result<RecordMetadata, ProduceError>) + Send>;

impl Waiter {
    /// The verdict is known.
    fn notify(self) {
        match self {
            Self::Task(waker) => waker.wake(),
            Self::Callback(delivery, callback) => delivery.call(callback),
        }
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Task(_) => "Task",
            Self::Callback(..) => "Callback",
        })
    }
}

/// The duty to give a verdict on a batch.
#[derive(Debug)]
pub(super) struct Promise {
    cell: Arc<Cell>,
    /// Whether an attempt may have stored the batch.
    may_be_stored: bool,
    kept: bool,
}

impl Promise {
    pub(super) fn new() -> Self {
        Self { cell: Arc::default(), may_be_stored: false, kept: false }
    }

    /// Whether an attempt may have stored the batch.
    pub(super) fn may_be_stored(&self) -> bool {
        self.may_be_stored
    }

    /// An attempt failed that may have stored the batch, or not.
    pub(super) fn doubt(&mut self, may_be_stored: bool) {
        self.may_be_stored |= may_be_stored;
    }

    /// The record at `index` of the batch waits for this.
    pub(super) fn delivery(&self, index: u32, timestamp: Timestamp) -> Delivery {
        Delivery { cell: Arc::clone(&self.cell), index, timestamp, place: None }
    }

    /// To wait for the batch as a whole.
    pub(super) fn settled(&self) -> Settled {
        Settled { cells: vec![Arc::clone(&self.cell)], place: None }
    }

    pub(super) fn stored(
        mut self,
        partition: TopicPartition,
        base: Option<Offset>,
        append_time: Option<Timestamp>,
    ) {
        self.give(Verdict::Stored { partition, base, append_time });
    }

    pub(super) fn failed(mut self, cause: ProduceCause) {
        let may_be_stored = self.may_be_stored;
        self.give(Verdict::Failed(ProduceError { cause, may_be_stored }));
    }

    /// The records from each first index on are now another promise's, there from an index on.
    pub(super) fn moved<'a>(mut self, heirs: impl IntoIterator<Item = (u32, u32, &'a Promise)>) {
        let heirs = heirs.into_iter();
        let heirs = heirs.map(|(from, to, heir)| Heir { from, to, cell: Arc::clone(&heir.cell) });
        self.give(Verdict::Moved(heirs.collect()));
    }

    /// Its only record is now where this delivery looks.
    pub(super) fn moved_to(mut self, delivery: &Delivery) {
        let heir = Heir { from: 0, to: delivery.index, cell: Arc::clone(&delivery.cell) };
        self.give(Verdict::Moved(vec![heir]));
    }

    fn give(&mut self, verdict: Verdict) {
        self.kept = true;
        let waiting = {
            let mut state = self.cell.state.lock();
            debug_assert!(state.verdict.is_none(), "a batch has one verdict");
            state.verdict = Some(verdict);
            mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waiter::notify);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if !self.kept {
            let may_be_stored = self.may_be_stored;
            let cause = ProduceCause::Closed;
            self.give(Verdict::Failed(ProduceError { cause, may_be_stored }));
        }
    }
}

impl Cell {
    /// The verdict, or a place among those who wait for it.
    fn poll(&self, place: &mut Option<usize>, context: &Context<'_>) -> Poll<Verdict> {
        let mut state = self.state.lock();
        if let Some(verdict) = &state.verdict {
            return Poll::Ready(verdict.clone());
        }
        match place.and_then(|place| state.waiting.get_mut(place)) {
            Some(Waiter::Task(waker)) => waker.clone_from(context.waker()),
            Some(Waiter::Callback(..)) | None => {
                *place = Some(state.waiting.len());
                state.waiting.push(Waiter::Task(context.waker().clone()));
            }
        }
        Poll::Pending
    }
}

/// The verdict on one record, to be awaited. It comes exactly once, whether awaited or not.
#[derive(Debug)]
#[must_use = "the verdict on the record"]
pub struct Delivery {
    cell: Arc<Cell>,
    index: u32,
    timestamp: Timestamp,
    place: Option<usize>,
}

impl Delivery {
    /// A record that was refused on the spot.
    pub(super) fn refused(cause: ProduceCause) -> Self {
        let promise = Promise::new();
        let delivery = promise.delivery(0, Timestamp::NONE);
        promise.failed(cause);
        delivery
    }

    /// The same record's verdict, for another one who waits for it.
    pub(super) fn again(&self) -> Self {
        let Self { index, timestamp, .. } = *self;
        Self { cell: Arc::clone(&self.cell), index, timestamp, place: None }
    }

    /// Calls `callback` with the verdict, without a task that waits for it. It runs in the middle of
    /// a step of the producer, or at once if the verdict is known, and so must not use the producer.
    pub(crate) fn on_completion(
        self,
        callback: impl FnOnce(Result<RecordMetadata, ProduceError>) + Send + 'static,
    ) {
        self.call(Box::new(callback));
    }

    /// Calls `callback` if the verdict is known, and keeps it with the batch if it is not.
    fn call(mut self, callback: Callback) {
        loop {
            let cell = Arc::clone(&self.cell);
            let mut state = cell.state.lock();
            let Some(verdict) = state.verdict.clone() else {
                return state.waiting.push(Waiter::Callback(self, callback));
            };
            drop(state);
            if let Some(outcome) = self.take(verdict) {
                return callback(outcome);
            }
        }
    }

    /// The record's part of the batch's verdict; `None` if the record went to another batch.
    fn take(&mut self, verdict: Verdict) -> Option<Result<RecordMetadata, ProduceError>> {
        match verdict {
            Verdict::Failed(error) => Some(Err(error)),
            Verdict::Stored { partition, base, append_time } => Some(Ok(RecordMetadata {
                partition,
                offset: base.map(|base| base.plus(i64::from(self.index))),
                timestamp: append_time.unwrap_or(self.timestamp),
            })),
            Verdict::Moved(heirs) => {
                let heir = heirs.into_iter().rev().find(|heir| heir.from <= self.index);
                let Some(heir) = heir else {
                    unreachable!("the first heir has the first record");
                };
                self.index = self.index - heir.from + heir.to;
                self.cell = heir.cell;
                self.place = None;
                None
            }
        }
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, ProduceError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let verdict = match this.cell.poll(&mut this.place, context) {
                Poll::Ready(verdict) => verdict,
                Poll::Pending => return Poll::Pending,
            };
            if let Some(outcome) = this.take(verdict) {
                return Poll::Ready(outcome);
            }
        }
    }
}

/// Waits for the verdict on a batch, wherever its records went.
#[derive(Debug)]
pub(super) struct Settled {
    cells: Vec<Arc<Cell>>,
    place: Option<usize>,
}

impl Future for Settled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        while let Some(cell) = this.cells.last() {
            let verdict = match cell.poll(&mut this.place, context) {
                Poll::Ready(verdict) => verdict,
                Poll::Pending => return Poll::Pending,
            };
            this.cells.pop();
            this.place = None;
            if let Verdict::Moved(heirs) = verdict {
                this.cells.extend(heirs.into_iter().map(|heir| heir.cell));
            }
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn offset(delivery: &mut Delivery) -> Option<Offset> {
        match poll(delivery) {
            Poll::Ready(Ok(metadata)) => metadata.offset,
            other => panic!("not stored: {other:?}"),
        }
    }

    #[test]
    fn records_of_a_batch_get_their_own_offset_and_timestamp() {
        let promise = Promise::new();
        let mut first = promise.delivery(0, Timestamp(7));
        let mut third = promise.delivery(2, Timestamp(9));
        assert!(poll(&mut first).is_pending());
        promise.stored(TopicPartition::new("orders", 1), Some(Offset(40)), None);
        assert_eq!(offset(&mut first), Some(Offset(40)));
        let Poll::Ready(Ok(metadata)) = poll(&mut third) else { panic!("no verdict") };
        assert_eq!((metadata.offset, metadata.timestamp), (Some(Offset(42)), Timestamp(9)));
    }

    #[test]
    fn deliveries_follow_a_split_batch() {
        let whole = Promise::new();
        let mut deliveries: Vec<_> = (0..5).map(|n| whole.delivery(n, Timestamp(0))).collect();
        assert!(deliveries.iter_mut().all(|delivery| poll(delivery).is_pending()));
        let mut settled = whole.settled();
        let (left, right) = (Promise::new(), Promise::new());
        whole.moved([(0, 0, &left), (3, 10, &right)]);
        assert!(deliveries.iter_mut().all(|delivery| poll(delivery).is_pending()));
        let partition = TopicPartition::new("orders", 1);
        left.stored(partition.clone(), Some(Offset(100)), None);
        assert!(poll(&mut settled).is_pending());
        right.stored(partition, Some(Offset(200)), None);
        let offsets: Vec<_> = deliveries.iter_mut().filter_map(offset).map(|o| o.0).collect();
        assert_eq!(offsets, [100, 101, 102, 210, 211]);
        assert!(poll(&mut settled).is_ready());
    }

    #[test]
    fn callbacks_follow_a_split_batch_and_run_once() {
        let whole = Promise::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        for index in 0..3 {
            let seen = Arc::clone(&seen);
            let delivery = whole.delivery(index, Timestamp(0));
            delivery.on_completion(move |outcome| {
                seen.lock().push((index, outcome.ok().and_then(|stored| stored.offset)));
            });
        }
        let (left, right) = (Promise::new(), Promise::new());
        whole.moved([(0, 0, &left), (2, 5, &right)]);
        assert_eq!(*seen.lock(), []);
        left.stored(TopicPartition::new("orders", 1), Some(Offset(100)), None);
        assert_eq!(*seen.lock(), [(0, Some(Offset(100))), (1, Some(Offset(101)))]);
        right.failed(ProduceCause::Closed);
        assert_eq!(seen.lock().last(), Some(&(2, None)));
        let late = Arc::clone(&seen);
        Delivery::refused(ProduceCause::Closed).on_completion(move |_| late.lock().clear());
        assert_eq!(*seen.lock(), [], "a verdict that is known is told at once");
    }

    #[test]
    fn dropped_promise_fails_its_records() {
        let mut promise = Promise::new();
        let mut delivery = promise.delivery(0, Timestamp(0));
        promise.doubt(true);
        drop(promise);
        let expected = ProduceError { cause: ProduceCause::Closed, may_be_stored: true };
        assert_eq!(poll(&mut delivery), Poll::Ready(Err(expected)));
    }
}
