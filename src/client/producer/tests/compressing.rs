//! Batches that are filled by their size on the wire.

use super::*;

/// The sizes on the wire of the batches in orders, and the numbers of their records.
fn batches(stage: &mut Stage) -> Vec<(usize, i32)> {
    let mut batches = Vec::new();
    while let Some(order) = stage.orders.pop_front() {
        let size = order.message.topic_data[0].partition_data[0].records.as_ref().unwrap().len();
        batches.push((size, batch(&order).count));
        stage.stored(&order, 0);
    }
    batches
}

/// Fills a number of batches with records that compress well, but not below an eighth.
fn filled(stage: &mut Stage, wanted: usize) -> Vec<(usize, i32)> {
    let mut sent = Vec::new();
    for n in 0..1_000_000_u64 {
        let noise = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let value = format!("{noise:016x} {}", "x".repeat(82));
        drop(stage.hand_over(ProducerRecord::new("orders", value)));
        if n % 10 == 0 {
            stage.step(Input::Tick);
            sent.extend(batches(stage));
        }
        if sent.len() >= wanted {
            return sent;
        }
    }
    panic!("{sent:?}");
}

#[test]
fn batches_fill_up_to_their_size_on_the_wire() {
    let settings = [("compression.type", "gzip"), ("batch.size", "4096"), ("linger.ms", "1000")];
    let mut stage = Stage::new(&settings);
    let sent = filled(&mut stage, 250);
    let (first, last) = (sent[0], sent[249]);
    assert!(first.1 < 45, "nothing is known yet: {first:?}");
    assert!(last.1 > 4 * first.1, "{first:?} {last:?}");
    assert!((2500..=4096).contains(&last.0), "{last:?}");
    assert!(sent.iter().all(|(size, _)| *size <= 4096));
}

#[test]
fn batches_without_a_codec_are_not_estimated() {
    let mut stage = Stage::new(&[("batch.size", "4096"), ("linger.ms", "1000")]);
    let sent = filled(&mut stage, 50);
    assert!(sent.iter().all(|batch| *batch == sent[0]), "{sent:?}");
}

#[test]
fn batch_that_is_too_large_for_its_topic_makes_the_next_ones_smaller() {
    let settings = [("compression.type", "gzip"), ("batch.size", "4096"), ("linger.ms", "1000")];
    let mut stage = Stage::new(&settings);
    let before = filled(&mut stage, 100)[99].1;
    while stage.orders.is_empty() {
        drop(stage.hand_over(ProducerRecord::new("orders", "x".repeat(90))));
        stage.step(Input::Tick);
    }
    let order = stage.order();
    stage.refuse(&order, ErrorCode::MessageTooLarge);
    drop(batches(&mut stage));
    // One was begun before the refusal.
    let next = filled(&mut stage, 2)[1].1;
    assert!(before > 60 && next < 45, "{before} {next}");
}
