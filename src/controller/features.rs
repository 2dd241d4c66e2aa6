//! UpdateFeatures: a feature is used at another level from now on (KIP-584).
//!
//! Source: Kafka's `FeatureControlManager.updateFeatures`.

use super::machine::{Controller, Decision, FEATURES, METADATA_FEATURE, SupportedFeature};
use super::record::{FeatureLevel, Record};
use crate::base::Instant;
use crate::wire::ErrorCode;
use crate::wire::messages::update_features_request::FeatureUpdateKey;
use crate::wire::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse, message};

/// Kinds of updates, as on the wire.
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

impl Controller {
    /// UpdateFeatures, as version 2 has it. All updates are made, or none.
    pub fn update_features(
        &self,
        _now: Instant,
        request: &UpdateFeaturesRequest,
    ) -> Decision<UpdateFeaturesResponse> {
        let mut records = Vec::new();
        for update in &request.feature_updates {
            match self.check_update(update) {
                Ok(record) => records.extend(record),
                Err(reason) => {
                    let (level, name) = (update.max_version_level, &update.feature);
                    let text = format!(
                        "The update failed for all features since the following feature had an \
                         error: Invalid update version {level} for feature {name}. {reason}"
                    );
                    return Decision::only(message!(UpdateFeaturesResponse {
                        error_code: ErrorCode::InvalidUpdateVersion.code(),
                        error_message: Some(text.into()),
                    }));
                }
            }
        }
        if request.validate_only {
            records.clear();
        }
        Decision::new(records, UpdateFeaturesResponse::default())
    }

    /// The record of an update; none if the feature has that level already. `Err` says why not.
    fn check_update(&self, update: &FeatureUpdateKey) -> Result<Option<Record>, String> {
        let (name, level) = (&*update.feature, update.max_version_level);
        let may_fall = match update.upgrade_type {
            UPGRADE => false,
            SAFE_DOWNGRADE | UNSAFE_DOWNGRADE => true,
            _ => return Err("The controller does not support the given upgrade type.".into()),
        };
        let Some(known) = FEATURES.iter().find(|one| *one.name == *name) else {
            return Err(format!("This cluster does not have the feature {name}."));
        };
        let SupportedFeature { min, max, .. } = *known;
        if !(min..=max).contains(&level) {
            return Err(format!("This cluster supports levels from {min} to {max}."));
        }
        let current = self.image().feature(name);
        if level < current && !may_fall {
            return Err("Can't downgrade the version of this feature without setting the upgrade \
                        type to either safe or unsafe downgrade."
                .into());
        }
        if level > current && may_fall {
            return Err("Can't downgrade to a newer version.".into());
        }
        if level == current {
            return Ok(None);
        }
        // Another metadata version has other records, which this controller does not write.
        if name == METADATA_FEATURE {
            return Err(format!("This cluster stays at level {current}."));
        }
        Ok(Some(Record::FeatureLevel(FeatureLevel { name: name.to_owned(), level })))
    }
}
