//! Writes the seeds of every target: `seeds ROOT DIR` writes those of `x` to `DIR/x/`.

use std::fs;
use std::path::PathBuf;

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(root), Some(dir)) = (arguments.next(), arguments.next()) else {
        panic!("usage: seeds ROOT DIR");
    };
    for (name, _) in brokerquake_fuzz::targets::TARGETS {
        let dir = dir.join(name);
        fs::create_dir_all(&dir).expect("a directory for seeds");
        for (number, seed) in brokerquake_fuzz::seeds::of(name, &root).into_iter().enumerate() {
            fs::write(dir.join(format!("seed-{number}")), seed).expect("a seed is written");
        }
    }
}
