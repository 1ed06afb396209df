use super::*;

#[test]
fn letters_leave_room_for_counts_and_both_for_the_stages_behind() {
    let room = LetterRoom::default();
    assert!(room.has_room(), "nothing is known yet");
    for (bytes, letters, counts) in [(74, true, true), (75, false, true), (79, false, true), (80, false, false)] {
        room.look(Usage { bytes, max_bytes: 100 });
        assert_eq!((room.has_room(), room.has_room_for_counts()), (letters, counts), "{bytes}");
    }
    room.look(Usage { bytes: 74, max_bytes: 100 });
    room.took(1);
    assert!(!room.has_room(), "what was written since counts too");
    room.look(Usage { bytes: 0, max_bytes: u64::MAX });
    assert!(room.has_room());
}
