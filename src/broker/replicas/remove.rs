//! Logs that go: of deleted topics, damaged ones, and strays.

use rand_chacha::rand_core::Rng;

use super::{Found, Replicas};
use crate::base::{TopicId, TopicPartition};
use crate::broker::dirs::Home;
use crate::broker::partition::Partition;
use crate::io::{Disk, World};
use crate::log::LogError;

impl<W: World> Replicas<W> {
    /// Gives up a damaged log that no other replica relies on. Its files go after
    /// `file.delete.delay.ms`; an empty log takes its place, and fetches all from the leader.
    pub(super) async fn give_up(&self, damaged: &Partition<W>) -> Result<(), LogError> {
        let name = &damaged.name;
        tracing::warn!(partition = %name, "a damaged log is given up and fetched again");
        self.hosted.write().remove(&(damaged.topic_id, name.partition));
        drop(damaged.retire());
        let home = damaged.home();
        self.spare(home, self.remove(home, name).await).map(drop)
    }

    /// Takes a log out of its directory at once, and removes its files later.
    pub(super) async fn remove(
        &self,
        home: &Home<W::Disk>,
        name: &TopicPartition,
    ) -> Result<(), LogError> {
        let remove = home.dir.delete_partition(name, self.draw_unique()).await?;
        let (world, name) = (self.site.world().clone(), name.clone());
        let delay = self.topic_defaults.file_delete_delay_ms;
        self.site.world().spawn("file deletion", async move {
            world.sleep_until(world.now() + delay).await;
            if let Err(error) = remove() {
                tracing::warn!(partition = %name, %error, "can't remove a deleted log");
            }
            world.disk().settle().await;
        });
        Ok(())
    }

    /// Removes all replicas of a deleted topic.
    pub(super) async fn delete(&self, topic: TopicId) -> Result<(), LogError> {
        let gone: Vec<_> = {
            let mut hosted = self.hosted.write();
            let keys: Vec<_> =
                hosted.range((topic, 0)..=(topic, i32::MAX)).map(|(key, _)| *key).collect();
            keys.into_iter().filter_map(|key| hosted.remove(&key)).collect()
        };
        for (name, logs) in self.found.unusable_of(topic) {
            for found in logs {
                self.spare(&found.home, self.remove(&found.home, &name).await)?;
            }
        }
        for partition in gone {
            drop(partition.retire());
            // In a failed directory it is found, and removed, at the next start.
            let home = partition.home();
            if home.is_online() {
                self.spare(home, self.remove(home, &partition.name).await)?;
            }
        }
        Ok(())
    }

    /// Keeps logs aside that no topic claims: their topics were deleted while this broker was down,
    /// or belong to another cluster.
    pub(super) async fn set_strays_aside(&self) -> Result<(), LogError> {
        for (name, strays) in self.found.strays() {
            for stray in strays {
                self.set_aside(&name, stray, "no topic has this log").await?;
            }
        }
        Ok(())
    }

    pub(super) async fn set_aside(
        &self,
        name: &TopicPartition,
        stray: Found<W>,
        why: &'static str,
    ) -> Result<(), LogError> {
        drop(stray.log);
        let aside = stray.home.dir.set_stray_aside(name, self.draw_unique()).await;
        if let Some(Some(path)) = self.spare(&stray.home, aside)? {
            let path = path.display();
            tracing::warn!(partition = %name, %path, why, "a log is kept aside");
        }
        Ok(())
    }

    fn draw_unique(&self) -> TopicId {
        let mut unique = [0; 16];
        self.unique.lock().fill_bytes(&mut unique);
        TopicId(unique)
    }
}
