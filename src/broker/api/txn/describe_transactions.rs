//! DescribeTransactions: the state of transactional ids (KIP-664).
//!
//! Source: Kafka's `TransactionCoordinator.handleDescribeTransactions`.

use std::sync::Arc;

use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::txn::{described, unknown_id};
use crate::wire::ErrorCode;
use crate::wire::messages::describe_transactions_response::TransactionState;
use crate::wire::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse, message};

pub(in crate::broker) struct DescribeTransactions;

impl<W: World> Handler<Broker<W>> for DescribeTransactions {
    type Request = DescribeTransactionsRequest;
    type Response = DescribeTransactionsResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: DescribeTransactionsRequest,
        _: Context<'_>,
    ) -> DescribeTransactionsResponse {
        let describe = |id| describe(broker, id);
        let ids = request.transactional_ids.iter();
        message!(DescribeTransactionsResponse {
            transaction_states: ids.map(|id| describe(id)).collect(),
        })
    }
}

fn describe<W: World>(broker: &Broker<W>, id: &str) -> TransactionState {
    if id.is_empty() {
        return unknown_id(id, ErrorCode::InvalidRequest);
    }
    let found = broker.txns.read(id, |transactions| transactions.describe(id));
    let mut state = match found {
        Ok(state) => state,
        Err(error) => return unknown_id(id, error),
    };
    // While markers travel, the partitions are those that still wait for theirs.
    let left = broker.txns.see(id, |machine| machine.waits_for(id)).ok().flatten();
    if let Some(left) = left
        && state.transaction_state.starts_with("Prepare")
    {
        state.topics = described(&left);
    }
    state
}
