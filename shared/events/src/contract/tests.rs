use super::*;

#[test]
fn a_form_of_an_id_is_a_pattern() {
    assert_eq!(pattern_of(&["raw-<batch id>"]), "^raw-.+$");
    assert_eq!(pattern_of(&["a-<b>-<c>", "a-<b>-d"]), "^a-.+-.+$|^a-.+-d$");
}
