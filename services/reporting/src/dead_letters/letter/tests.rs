use super::*;

#[test]
fn what_is_done_is_not_done_again_by_mistake() {
    let of = |service: &str, state, kind, force| {
        let letter = crate::testing::dead_letter(service, None);
        ListedLetter { state, ..ListedLetter::new(1, &letter) }
            .refusal(kind, force)
            .map(|refusal| refusal.code().as_str())
    };
    for state in [LetterState::Dead, LetterState::FailedAgain] {
        assert_eq!(of("ingestion", state, RequestKind::Redrive, false), None);
        assert_eq!(of("alert", state, RequestKind::Discard, false), None);
    }
    for (state, code, forced) in [
        (LetterState::Redriving, "already_redriving", None),
        (LetterState::Accepted, "already_accepted", None),
        // The stream has it no more.
        (LetterState::Discarded, "already_discarded", Some("already_discarded")),
    ] {
        assert_eq!(of("enrichment", state, RequestKind::Redrive, false), Some(code));
        assert_eq!(of("enrichment", state, RequestKind::Redrive, true), forced);
        assert_eq!(of("enrichment", state, RequestKind::Discard, false), Some(code));
    }
    assert_eq!(of("ingestion", LetterState::Accepted, RequestKind::Discard, true), Some("already_accepted"));
    assert_eq!(of("alert", LetterState::Dead, RequestKind::Redrive, true), Some("not_an_event"));
    let counted = DeadLetter { events: Events::Counted(3), ..crate::testing::dead_letter("ingestion", None) };
    let counted = ListedLetter::new(1, &counted);
    assert_eq!(counted.refusal(RequestKind::Redrive, true), Some(ActionRefusal::NotKept));
    assert_eq!((counted.refusal(RequestKind::Discard, false), counted.count), (None, 3));
}
