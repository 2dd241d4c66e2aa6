//! `uniform` for members that all subscribe to the same topics.

use super::{Subscribers, shares};
use crate::group::consumer::partitions::Target;

/// Balance first: any two members differ by one partition at most. Then stickiness: a member keeps
/// what it holds up to its share, and the larger shares go to those that hold more.
pub(super) fn assign(group: &Subscribers<'_>) -> Vec<Target> {
    let mut kept = group.kept();
    let total: usize = group.partitions.values().map(|count| *count as usize).sum();
    let (least, mut larger) = shares(total, kept.len());
    let mut quota = vec![least; kept.len()];
    let by_need = kept.iter().map(|held| held.len() > least);
    let (holding, others): (Vec<_>, Vec<_>) = by_need.enumerate().partition(|(_, more)| *more);
    for (member, _) in holding.into_iter().chain(others) {
        if larger == 0 {
            break;
        }
        quota[member] += 1;
        larger -= 1;
    }
    for (held, quota) in kept.iter_mut().zip(&quota) {
        held.truncate(*quota);
    }
    let mut free = group.free(&kept).into_iter();
    for (held, quota) in kept.iter_mut().zip(quota) {
        let missing = quota.saturating_sub(held.len());
        held.extend(free.by_ref().take(missing));
    }
    debug_assert!(free.next().is_none(), "shares add up to all partitions");
    kept.into_iter().map(Target::from_iter).collect()
}
