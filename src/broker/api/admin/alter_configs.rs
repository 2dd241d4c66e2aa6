//! AlterConfigs and IncrementalAlterConfigs (KIP-339): settings of topics, brokers and groups, set by the
//! controller. A broker checks its own settings first, as only it knows its file (KIP-226).

use std::marker::PhantomData;
use std::sync::Arc;

use crate::base::config::NodeConfig;
use crate::broker::api::forward::pass_on;
use crate::broker::context::Broker;
use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Context, Handler, Outcome};
use crate::controller::{Alteration, ConfigRecord};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::{AlterConfigsRequest, IncrementalAlterConfigsRequest, StrBytes};

pub(in crate::broker) type AlterConfigs = Altering<AlterConfigsRequest>;
pub(in crate::broker) type IncrementalAlterConfigs = Altering<IncrementalAlterConfigsRequest>;

/// The handler of a request that changes settings.
pub(in crate::broker) struct Altering<R>(PhantomData<R>);

impl<W: World, R: Alteration> Handler<Broker<W>> for Altering<R> {
    type Request = R;
    type Response = R::Response;

    async fn handle(broker: &Arc<Broker<W>>, mut request: R, _: Context<'_>) -> R::Response {
        let (mut fine, mut refused) = (Vec::new(), Vec::new());
        for (at, resource) in std::mem::take(request.resources_mut()).into_iter().enumerate() {
            match check_own::<W, R>(broker, &resource) {
                Ok(()) => fine.push(resource),
                Err(text) => refused.push((at, resource, text)),
            }
        }
        let mut response = R::Response::default();
        if !fine.is_empty() {
            *request.resources_mut() = fine;
            let patience = broker.config.node.controller_socket_timeout;
            response = pass_on(broker, request, patience, |mut request, code, text| {
                let mut response = R::Response::default();
                let error = ErrorCode::from_code(code);
                for (at, of) in std::mem::take(request.resources_mut()).into_iter().enumerate() {
                    refuse::<R>(&mut response, (at, &of), error, text.clone());
                }
                response
            })
            .await;
        }
        for (at, of, text) in refused {
            let error = ErrorCode::InvalidRequest;
            refuse::<R>(&mut response, (at, &of), error, text.into());
        }
        response
    }
}

/// Checks settings of a single broker, which has to be this one, against all others that it has.
fn check_own<W: World, R: Alteration>(
    broker: &Broker<W>,
    resource: &R::Resource,
) -> Result<(), String> {
    let (kind, name) = R::name(resource);
    if kind != ConfigRecord::BROKER {
        return Ok(());
    }
    if !name.is_empty() {
        match name.parse::<i32>() {
            Ok(id) if id == broker.me.0 => {}
            Ok(id) => {
                return Err(format!(
                    "Unexpected broker id, expected {}, but received {id}",
                    broker.me
                ));
            }
            Err(_) => return Err(format!("Node id must be an integer, but it is: {name}")),
        }
    }
    let image = broker.image();
    let [all, own] = image.broker_overrides(broker.me);
    let config = match name.is_empty() {
        true => broker.config.with(&R::after(resource, all)).with(own),
        false => broker.config.with(all).with(&R::after(resource, own)),
    };
    let before: NodeConfig = image.node_config(broker.me, &broker.config);
    check_threads(&before, &config)?;
    match config.check() {
        // What does not fit already is not the fault of this request.
        Err(error) if before.check().is_ok() => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// While a broker runs, a number of threads can at most double or halve. Source: Kafka's
/// `DynamicThreadPool` and `LogCleaner`.
fn check_threads(before: &NodeConfig, after: &NodeConfig) -> Result<(), String> {
    let cleaners = |config: &NodeConfig| config.node.log_cleaner_threads;
    let recovery = |config: &NodeConfig| config.node.num_recovery_threads_per_data_dir;
    for (key, was, will) in [
        ("log.cleaner.threads", cleaners(before), cleaners(after)),
        ("num.recovery.threads.per.data.dir", recovery(before), recovery(after)),
    ] {
        let (least, most) = ((was / 2).max(1), was.saturating_mul(2).max(1));
        if was != will && !(least..=most).contains(&will) {
            return Err(format!("`{key}={will}`: expected {least} to {most}, as it is {was} now"));
        }
    }
    Ok(())
}

impl<W: World, R: Alteration> Handler<ControllerShell<W>> for Altering<R> {
    type Request = R;
    type Response = Outcome<R::Response>;

    async fn handle(
        controller: &Arc<ControllerShell<W>>,
        request: R,
        _: Context<'_>,
    ) -> Outcome<R::Response> {
        controller.decide(|machine, now, _| machine.alter_configs(now, &request)).await.into()
    }
}

/// Adds a refused resource to a response, in the order of the request.
fn refuse<R: Alteration>(
    response: &mut R::Response,
    (at, of): (usize, &R::Resource),
    error: ErrorCode,
    text: StrBytes,
) {
    let answers = R::answers(response);
    let at = at.min(answers.len());
    answers.insert(at, R::answer(R::name(of), error.code(), Some(text)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_at_most_double_or_halve_while_a_broker_runs() {
        let with = |key: &str, number: &str| {
            let mut config = NodeConfig::default();
            config.set(key, number).unwrap();
            config
        };
        let cleaners = |was: &str, will: &str| {
            let key = "log.cleaner.threads";
            check_threads(&with(key, was), &with(key, will)).is_ok()
        };
        assert!(cleaners("1", "2") && cleaners("4", "2") && cleaners("4", "8"));
        assert!(!cleaners("1", "0") && !cleaners("1", "3") && !cleaners("4", "1"));
        assert!(cleaners("0", "0"), "one that the file has stays");
        let key = "num.recovery.threads.per.data.dir";
        assert_eq!(
            check_threads(&with(key, "2"), &with(key, "5")).unwrap_err(),
            "`num.recovery.threads.per.data.dir=5`: expected 1 to 4, as it is 2 now"
        );
    }
}
