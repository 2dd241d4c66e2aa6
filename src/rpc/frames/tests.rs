//! Frames, however a stream cuts them.

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::*;

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
}

fn framed(frames: &[Vec<u8>]) -> Vec<u8> {
    let with_length = frames.iter().map(|frame| {
        let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(frame);
        bytes
    });
    with_length.flatten().collect()
}

#[test]
fn a_stream_that_ends_between_frames_ends_well_and_inside_one_it_does_not() {
    run(async {
        let bytes = framed(&[vec![1, 2, 3]]);
        for cut in 0..=bytes.len() {
            let mut frames = Frames::new(&bytes[..cut], 100);
            let read = frames.next().await;
            match cut {
                0 => assert!(read.unwrap().is_none()),
                7 => {
                    assert_eq!(read.unwrap().unwrap()[..], [1, 2, 3]);
                    assert!(frames.next().await.unwrap().is_none());
                }
                _ => {
                    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
                }
            }
        }
    });
}

#[test]
fn a_length_that_is_negative_or_too_large_is_refused_by_name() {
    run(async {
        for (length, name) in [(-1i32, "-1 bytes"), (101, "101 bytes"), (i32::MAX, "2147483647")] {
            let bytes = length.to_be_bytes();
            let error = Frames::new(&bytes[..], 100).next().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(Frames::new(&[0, 0, 0, 0][..], 0).next().await.unwrap().unwrap().is_empty());
    });
}

#[test]
fn a_claim_of_a_hundred_megabytes_takes_one() {
    run(async {
        let mut bytes = (100u32 << 20).to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0; 100]);
        let mut frames = Frames::new(&bytes[..], 200 << 20);
        assert!(frames.next().await.is_err());
        assert!(frames.buffer.capacity() <= 2 * TRUSTED);
    });
}

#[test]
fn a_reader_that_is_dropped_midway_loses_nothing() {
    run(async {
        let (mut out, stream) = tokio::io::duplex(64);
        let mut frames = Frames::new(stream, 100);
        for byte in framed(&[vec![7; 20], vec![8; 5]]) {
            tokio::select! {
                biased;
                _ = frames.next() => {}
                () = std::future::ready(()) => {}
            }
            out.write_all(&[byte]).await.unwrap();
            if frames.buffer.len() == 23 {
                let frame = frames.next().await.unwrap().unwrap();
                assert_eq!(frame[..], [7; 20]);
            }
        }
        assert_eq!(frames.next().await.unwrap().unwrap()[..], [8; 5]);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn frames_come_out_as_they_went_in_however_the_stream_cuts_them(
        lens in proptest::collection::vec(0usize..40_000, 0..8),
        window in 1usize..30_000,
    ) {
        let given: Vec<Vec<u8>> = lens.iter().map(|len| vec![*len as u8; *len]).collect();
        let bytes = framed(&given);
        run(async {
            let (mut out, stream) = tokio::io::duplex(window);
            let write = async {
                out.write_all(&bytes).await.unwrap();
                drop(out);
            };
            let read = async {
                let (mut read, mut frames) = (Vec::new(), Frames::new(stream, 50_000));
                while let Some(frame) = frames.next().await.unwrap() {
                    read.push(frame.to_vec());
                }
                read
            };
            let ((), read) = tokio::join!(write, read);
            assert!(read == given);
        });
    }

    #[test]
    fn any_bytes_are_frames_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        run(async {
            let mut frames = Frames::new(&bytes[..], 1000);
            while let Ok(Some(_)) = frames.next().await {}
        });
    }
}
