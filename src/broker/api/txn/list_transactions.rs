//! ListTransactions: the transactional ids that this broker coordinates (KIP-664, KIP-994, KIP-1152).
//!
//! Source: Kafka's `TransactionStateManager.listTransactionStates`.

use std::sync::Arc;

use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::txn::Filters;
use crate::wire::ErrorCode;
use crate::wire::messages::{ListTransactionsRequest, ListTransactionsResponse, message};

pub(in crate::broker) struct ListTransactions;

impl<W: World> Handler<Broker<W>> for ListTransactions {
    type Request = ListTransactionsRequest;
    type Response = ListTransactionsResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: ListTransactionsRequest,
        _: Context<'_>,
    ) -> ListTransactionsResponse {
        let refuse =
            |error: ErrorCode| message!(ListTransactionsResponse { error_code: error.code() });
        let filters = Filters::new(
            &request.producer_id_filters,
            &request.state_filters,
            request.duration_filter,
            request.transactional_id_pattern.as_deref(),
        );
        let (filters, unknown) = match filters {
            Ok(filters) => filters,
            Err(error) => {
                tracing::debug!(%error, "can't list transactions");
                return refuse(ErrorCode::InvalidRegularExpression);
            }
        };
        let wall = broker.world.wall_clock();
        match broker.txns.read_all(|transactions| transactions.list(&filters, wall)) {
            Ok(listed) => message!(ListTransactionsResponse {
                unknown_state_filters: unknown,
                transaction_states: listed.into_iter().flatten().collect(),
            }),
            Err(error) => refuse(error),
        }
    }
}
