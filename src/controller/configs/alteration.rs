//! AlterConfigs and IncrementalAlterConfigs (KIP-339) as one request: operations on single settings.

use std::collections::BTreeMap;

use super::operation::{Change, DELETE, SET};
use crate::wire::messages::{
    AlterConfigsRequest, IncrementalAlterConfigsRequest, KafkaRequest, RequestResponsePair,
    StrBytes, alter_configs_request, alter_configs_response, incremental_alter_configs_request,
    incremental_alter_configs_response, message,
};

/// A request that changes settings of resources.
pub trait Alteration:
    RequestResponsePair<Response: Default + Send + 'static> + KafkaRequest + Send + Sync + 'static
{
    /// A resource, and what is to become of it.
    type Resource: Send;
    /// What became of a resource.
    type Answer;

    /// Whether settings that are not named return to their defaults.
    const REPLACES: bool;

    fn resources(&self) -> &[Self::Resource];

    fn resources_mut(&mut self) -> &mut Vec<Self::Resource>;

    fn validates_only(&self) -> bool;

    /// Type and name.
    fn name(of: &Self::Resource) -> (i8, &str);

    fn changes(of: &Self::Resource) -> Vec<Change<'_>>;

    fn answers(response: &mut Self::Response) -> &mut Vec<Self::Answer>;

    fn answer(resource: (i8, &str), error: i16, text: Option<StrBytes>) -> Self::Answer;

    /// The settings that a resource is to have, of those that it has. Lists are left to the controller.
    fn after(of: &Self::Resource, before: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut after = if Self::REPLACES { BTreeMap::new() } else { before.clone() };
        for (name, operation, value) in Self::changes(of) {
            match (operation, value) {
                (SET, Some(value)) => {
                    after.insert(name.to_owned(), value.to_owned());
                }
                (DELETE, _) => {
                    after.remove(name);
                }
                _ => {}
            }
        }
        after
    }
}

macro_rules! alteration {
    ($request:ident, $asked:ident, $answered:ident, $replaces:literal, $operation:expr) => {
        impl Alteration for $request {
            type Resource = $asked::AlterConfigsResource;
            type Answer = $answered::AlterConfigsResourceResponse;

            const REPLACES: bool = $replaces;

            fn resources(&self) -> &[Self::Resource] {
                &self.resources
            }

            fn resources_mut(&mut self) -> &mut Vec<Self::Resource> {
                &mut self.resources
            }

            fn validates_only(&self) -> bool {
                self.validate_only
            }

            fn name(of: &Self::Resource) -> (i8, &str) {
                (of.resource_type, &of.resource_name)
            }

            fn changes(of: &Self::Resource) -> Vec<Change<'_>> {
                let configs = of.configs.iter();
                configs.map(|one| (&*one.name, $operation(one), one.value.as_deref())).collect()
            }

            fn answers(response: &mut Self::Response) -> &mut Vec<Self::Answer> {
                &mut response.responses
            }

            fn answer(
                (kind, name): (i8, &str),
                error: i16,
                text: Option<StrBytes>,
            ) -> Self::Answer {
                message!($answered::AlterConfigsResourceResponse {
                    resource_type: kind,
                    resource_name: name.into(),
                    error_code: error,
                    error_message: text,
                })
            }
        }
    };
}

alteration!(
    AlterConfigsRequest,
    alter_configs_request,
    alter_configs_response,
    true,
    |_: &alter_configs_request::AlterableConfig| SET
);
alteration!(
    IncrementalAlterConfigsRequest,
    incremental_alter_configs_request,
    incremental_alter_configs_response,
    false,
    |one: &incremental_alter_configs_request::AlterableConfig| one.config_operation
);
