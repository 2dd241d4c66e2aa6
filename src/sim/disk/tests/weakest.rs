//! What only the weakest file system does.

use super::*;

#[test]
fn torn_rename_leaves_two_names_of_one_file_or_none() {
    let mut seen = [false; 2];
    for seed in 0..50 {
        let rig = Rig::new(seed);
        let disk = rig.boot();
        durable(&disk, "/old", b"1");
        disk.rename(path("/old"), path("/new")).unwrap();
        rig.disk.power_loss(&Survival::Weakest);
        let disk = rig.boot();
        match [disk.exists(path("/old")).unwrap(), disk.exists(path("/new")).unwrap()] {
            [true, true] => {
                assert!(rig.disk.is_same("/old", "/new").unwrap());
                let file = disk.open(path("/old"), Open::Existing).unwrap();
                file.write_at(b"2", 0).unwrap();
                assert_eq!(read(&disk, "/new").unwrap(), b"2");
                // As rename(2) has it: both names stay.
                disk.rename(path("/old"), path("/new")).unwrap();
                assert!(disk.exists(path("/old")).unwrap());
                seen[0] = true;
            }
            [false, false] => seen[1] = true,
            _ => {}
        }
    }
    assert_eq!(seen, [true; 2]);
}
