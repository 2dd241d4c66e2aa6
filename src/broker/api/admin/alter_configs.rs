//! AlterConfigs and IncrementalAlterConfigs (KIP-339): settings of topics, brokers and groups, set by the
//! controller. A broker checks its own settings first, as only it knows its file (KIP-226).

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::base::Instant;
use crate::base::config::NodeConfig;
use crate::broker::api::forward::pass_on;
use crate::broker::context::Broker;
use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Context, Handler, Outcome};
use crate::controller::{ConfigRecord, Controller, Decision};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, KafkaRequest, RequestResponsePair, StrBytes,
    alter_configs_request, alter_configs_response, incremental_alter_configs_request,
    incremental_alter_configs_response, message,
};

pub(in crate::broker) type AlterConfigs = Altering<AlterConfigsRequest>;
pub(in crate::broker) type IncrementalAlterConfigs = Altering<IncrementalAlterConfigsRequest>;

/// The handler of a request that changes settings.
pub(in crate::broker) struct Altering<R>(PhantomData<R>);

/// A request that changes settings of resources.
pub(in crate::broker) trait Alteration:
    RequestResponsePair<Response: Default + Send + 'static> + KafkaRequest + Send + Sync + 'static
{
    type Resource: Send;

    fn resources(&mut self) -> &mut Vec<Self::Resource>;

    /// Type and name.
    fn name(of: &Self::Resource) -> (i8, &str);

    /// The settings that a resource is to have, of those that it has.
    fn after(of: &Self::Resource, before: &BTreeMap<String, String>) -> BTreeMap<String, String>;

    fn decide(&self, controller: &Controller, now: Instant) -> Decision<Self::Response>;

    /// Adds a refused resource to a response, in the order of the request.
    fn refuse(
        response: &mut Self::Response,
        at: usize,
        of: Self::Resource,
        error: ErrorCode,
        text: StrBytes,
    );
}

impl<W: World, R: Alteration> Handler<Broker<W>> for Altering<R> {
    type Request = R;
    type Response = R::Response;

    async fn handle(broker: &Arc<Broker<W>>, mut request: R, _: Context<'_>) -> R::Response {
        let (mut fine, mut refused) = (Vec::new(), Vec::new());
        for (at, resource) in std::mem::take(request.resources()).into_iter().enumerate() {
            match check_own::<W, R>(broker, &resource) {
                Ok(()) => fine.push(resource),
                Err(text) => refused.push((at, resource, text)),
            }
        }
        let mut response = R::Response::default();
        if !fine.is_empty() {
            *request.resources() = fine;
            let patience = broker.config.node.controller_socket_timeout;
            response = pass_on(broker, request, patience, |mut request, code, text| {
                let mut response = R::Response::default();
                let error = ErrorCode::from_code(code);
                for (at, of) in std::mem::take(request.resources()).into_iter().enumerate() {
                    R::refuse(&mut response, at, of, error, text.clone());
                }
                response
            })
            .await;
        }
        for (at, of, text) in refused {
            R::refuse(&mut response, at, of, ErrorCode::InvalidRequest, text.into());
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
    match config.check() {
        // What does not fit already is not the fault of this request.
        Err(error) if before.check().is_ok() => Err(error.to_string()),
        _ => Ok(()),
    }
}

impl<W: World, R: Alteration> Handler<ControllerShell<W>> for Altering<R> {
    type Request = R;
    type Response = Outcome<R::Response>;

    async fn handle(
        controller: &Arc<ControllerShell<W>>,
        request: R,
        _: Context<'_>,
    ) -> Outcome<R::Response> {
        controller.decide(|machine, now, _| request.decide(machine, now)).await.into()
    }
}

impl Alteration for AlterConfigsRequest {
    type Resource = alter_configs_request::AlterConfigsResource;

    fn resources(&mut self) -> &mut Vec<Self::Resource> {
        &mut self.resources
    }

    fn name(of: &Self::Resource) -> (i8, &str) {
        (of.resource_type, &of.resource_name)
    }

    fn after(of: &Self::Resource, _: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let pairs = of.configs.iter();
        let pairs =
            pairs.filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?)));
        pairs.map(|(name, value)| (name, value.to_string())).collect()
    }

    fn decide(&self, controller: &Controller, now: Instant) -> Decision<AlterConfigsResponse> {
        controller.alter_configs(now, self)
    }

    fn refuse(
        response: &mut AlterConfigsResponse,
        at: usize,
        of: Self::Resource,
        error: ErrorCode,
        text: StrBytes,
    ) {
        use alter_configs_response::AlterConfigsResourceResponse;
        let refused = message!(AlterConfigsResourceResponse {
            resource_type: of.resource_type,
            resource_name: of.resource_name,
            error_code: error.code(),
            error_message: Some(text),
        });
        response.responses.insert(at.min(response.responses.len()), refused);
    }
}

impl Alteration for IncrementalAlterConfigsRequest {
    type Resource = incremental_alter_configs_request::AlterConfigsResource;

    fn resources(&mut self) -> &mut Vec<Self::Resource> {
        &mut self.resources
    }

    fn name(of: &Self::Resource) -> (i8, &str) {
        (of.resource_type, &of.resource_name)
    }

    /// Lists are left to the controller: no two settings of a broker are compared that are lists.
    fn after(of: &Self::Resource, before: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        const SET: i8 = 0;
        const DELETE: i8 = 1;
        let mut after = before.clone();
        for config in &of.configs {
            match (config.config_operation, &config.value) {
                (SET, Some(value)) => {
                    after.insert(config.name.to_string(), value.to_string());
                }
                (DELETE, _) => {
                    after.remove(config.name.as_str());
                }
                _ => {}
            }
        }
        after
    }

    fn decide(
        &self,
        controller: &Controller,
        now: Instant,
    ) -> Decision<IncrementalAlterConfigsResponse> {
        controller.incremental_alter_configs(now, self)
    }

    fn refuse(
        response: &mut IncrementalAlterConfigsResponse,
        at: usize,
        of: Self::Resource,
        error: ErrorCode,
        text: StrBytes,
    ) {
        use incremental_alter_configs_response::AlterConfigsResourceResponse;
        let refused = message!(AlterConfigsResourceResponse {
            resource_type: of.resource_type,
            resource_name: of.resource_name,
            error_code: error.code(),
            error_message: Some(text),
        });
        response.responses.insert(at.min(response.responses.len()), refused);
    }
}
