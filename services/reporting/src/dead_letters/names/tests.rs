use super::*;

#[test]
fn names_are_those_of_json() {
    for state in [
        LetterState::Dead,
        LetterState::Redriving,
        LetterState::Accepted,
        LetterState::FailedAgain,
        LetterState::Discarded,
    ] {
        assert_eq!(serde_json::to_value(state).expect("JSON"), state.as_str());
        assert_eq!(state.as_str().parse(), Ok(state));
    }
    let known = "must be dead, redriving, accepted, failed_again or discarded";
    assert_eq!("mended".parse::<LetterState>(), Err(known));
}
