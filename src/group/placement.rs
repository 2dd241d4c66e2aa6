//! Which partition of `__consumer_offsets` has a group.

/// The partition of a group. Source: Kafka's `GroupCoordinatorService.partitionFor`.
pub fn partition_of(group: &str, partitions: i32) -> i32 {
    // `Integer.MIN_VALUE` has no absolute value: Kafka's `Utils.abs` has zero there.
    java_hash(group).checked_abs().unwrap_or(0) % partitions.max(1)
}

/// Java's `String.hashCode`, which counts UTF-16 units.
fn java_hash(text: &str) -> i32 {
    let add = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    text.encode_utf16().fold(0, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_that_of_java_also_beyond_ascii() {
        for (text, hash) in [
            ("", 0),
            ("hello", 99_162_322),
            ("payments-workers", -126_905_835),
            ("polygenelubricants", i32::MIN),
            ("группа", 1_749_938_458),
            // Two UTF-16 units.
            ("😀", 1_772_899),
        ] {
            assert_eq!(java_hash(text), hash, "{text:?}");
        }
    }

    #[test]
    fn partition_is_the_absolute_value_of_the_hash_modulo_their_number() {
        assert_eq!(partition_of("hello", 50), 22);
        assert_eq!(partition_of("payments-workers", 50), 35);
        assert_eq!(partition_of("polygenelubricants", 50), 0);
        assert_eq!(partition_of("hello", 0), 0, "no count of partitions divides by zero");
    }
}
