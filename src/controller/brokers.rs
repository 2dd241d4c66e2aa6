//! BrokerRegistration (KIP-631), and whether a broker came back with all records that it had
//! acknowledged (KIP-966).

use std::collections::BTreeSet;

use super::election::Cause;
use super::image::Broker;
use super::machine::{Controller, Decision, Effect};
use super::record::{Feature, Record, RegisterBroker};
use crate::base::{
    Address, BrokerEpoch, BrokerId, DirectoryId, Instant, Listener, Offset, SecurityProtocol,
};
use crate::wire::ErrorCode;
use crate::wire::messages::broker_registration_request::{
    Feature as ToldFeature, Listener as RequestListener,
};
use crate::wire::messages::{BrokerRegistrationRequest, BrokerRegistrationResponse};

/// Most listeners, features or log directories of a registration.
const MOST_LISTED: usize = 1000;
/// Longest name or host of a registration: all of them are stored in every node's log.
const LONGEST_TEXT: usize = 1000;

impl Controller {
    /// Registers a start of a broker.
    ///
    /// `next_offset` is where the metadata log ends, and so the offset of this decision's first
    /// record. The broker's epoch is the offset of its registration, which only the shell can know:
    /// control batches take offsets too.
    pub fn register_broker(
        &self,
        now: Instant,
        next_offset: Offset,
        request: &BrokerRegistrationRequest,
    ) -> Decision<BrokerRegistrationResponse> {
        let mut response = BrokerRegistrationResponse::default();
        response.broker_epoch = BrokerEpoch::NONE.0;
        match self.registered(now, next_offset, request) {
            Ok((epoch, records)) => {
                response.broker_epoch = epoch.0;
                // From now on: a registration of an earlier start may still be under way.
                let broker = BrokerId(request.broker_id);
                let metadata = self.sessions().metadata(broker, epoch).unwrap_or(Offset::NONE);
                let heard = Effect::Heard { broker, epoch, metadata };
                Decision::new(records, response).with(heard)
            }
            Err(error) => {
                response.error_code = error.code();
                Decision::only(response)
            }
        }
    }

    fn registered(
        &self,
        now: Instant,
        next_offset: Offset,
        request: &BrokerRegistrationRequest,
    ) -> Result<(BrokerEpoch, Vec<Record>), ErrorCode> {
        if *request.cluster_id != *self.settings().cluster_id {
            return Err(ErrorCode::InconsistentClusterId);
        }
        let id = BrokerId(request.broker_id);
        check_shape(request)?;
        let existing = self.image().broker(id);
        let again = existing.filter(|known| known.incarnation == request.incarnation_id);
        if existing.is_some() && again.is_none() && self.lives(now, id) {
            return Err(ErrorCode::DuplicateBrokerRegistration);
        }
        self.check_directories(id, request)?;
        self.check_features(request)?;
        let mut plan = self.plan();
        let mut record = RegisterBroker {
            broker: id,
            incarnation: request.incarnation_id,
            epoch: BrokerEpoch::NONE,
            listeners: listeners(request),
            features: features(request),
            rack: request.rack.as_ref().map(ToString::to_string),
            fenced: true,
            in_controlled_shutdown: false,
            log_dirs: request.log_dirs.iter().map(|id| (*id).into()).collect(),
        };
        if let Some(known) = again {
            // The same start registers again; the first answer may have been lost.
            record.epoch = known.epoch;
            record.fenced = known.fenced;
            record.in_controlled_shutdown = known.shutting_down.is_some();
        } else {
            if let Some(known) = existing {
                let cause = match is_clean(known, request) {
                    true => Cause { leaving: Some(id), lost: None },
                    false => Cause { leaving: Some(id), lost: Some(id) },
                };
                let in_sync = self.image().in_sync_on(id);
                // A set: a broker may be in the ISR of a partition and in the ELR of another.
                let concerned: BTreeSet<_> = in_sync.chain(self.image().eligible_on(id)).collect();
                plan.reelect(self.settings(), cause, concerned);
            }
            record.epoch = BrokerEpoch(next_offset.plus(plan.len() as i64).0);
        }
        let epoch = record.epoch;
        plan.push(Record::RegisterBroker(record));
        Ok((epoch, plan.into_records()))
    }

    fn check_directories(
        &self,
        id: BrokerId,
        request: &BrokerRegistrationRequest,
    ) -> Result<(), ErrorCode> {
        let dirs: BTreeSet<DirectoryId> = request.log_dirs.iter().map(|id| (*id).into()).collect();
        let reserved = dirs.iter().any(|dir| dir.is_reserved());
        let mut others = self.image().brokers().filter(|(other, _)| *other != id);
        let taken = others.any(|(_, other)| other.log_dirs.iter().any(|dir| dirs.contains(dir)));
        if reserved || taken || dirs.len() != request.log_dirs.len() {
            return Err(ErrorCode::InvalidRegistration);
        }
        Ok(())
    }

    /// A broker must support the levels of all features in use, as far as it lists the feature.
    fn check_features(&self, request: &BrokerRegistrationRequest) -> Result<(), ErrorCode> {
        let fits = |(name, level): (&str, i16)| {
            let told = request.features.iter().find(|feature| *feature.name == *name);
            told.is_none_or(|f| {
                (f.min_supported_version..=f.max_supported_version).contains(&level)
            })
        };
        if !self.image().features().filter(|(_, level)| *level > 0).all(fits) {
            return Err(ErrorCode::UnsupportedVersion);
        }
        Ok(())
    }
}

/// KIP-966: a broker that shut down cleanly knows the epoch that it had. With any other value,
/// including `-1`, it may have lost unsynced records.
fn is_clean(known: &Broker, request: &BrokerRegistrationRequest) -> bool {
    request.previous_broker_epoch == known.epoch.0
}

/// Rejects registrations that are incomplete or would not fit into a record.
fn check_shape(request: &BrokerRegistrationRequest) -> Result<(), ErrorCode> {
    let listeners = request.listeners.iter().flat_map(|l| [l.name.len(), l.host.len()]);
    let features = request.features.iter().map(|feature| feature.name.len());
    let rack = request.rack.as_ref().map(|rack| rack.len());
    let longest = listeners.chain(features).chain(rack).max().unwrap_or(0);
    let counts = [request.listeners.len(), request.features.len(), request.log_dirs.len()];
    let oversized = longest > LONGEST_TEXT || counts.iter().any(|count| *count > MOST_LISTED);
    if request.broker_id < 0 || request.listeners.is_empty() || oversized {
        return Err(ErrorCode::InvalidRegistration);
    }
    Ok(())
}

fn listeners(request: &BrokerRegistrationRequest) -> Vec<Listener> {
    let listener = |listener: &RequestListener| Listener {
        name: listener.name.to_string(),
        address: Address::new(listener.host.as_str(), listener.port),
        protocol: SecurityProtocol(listener.security_protocol),
    };
    request.listeners.iter().map(listener).collect()
}

fn features(request: &BrokerRegistrationRequest) -> Vec<Feature> {
    let feature = |feature: &ToldFeature| Feature {
        name: feature.name.to_string(),
        min: feature.min_supported_version,
        max: feature.max_supported_version,
    };
    request.features.iter().map(feature).collect()
}
