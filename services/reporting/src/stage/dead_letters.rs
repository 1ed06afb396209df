//! Dead letters, for the books and the list.

use tidemill_events::DeadLetter;

use super::recipe::Recipe;
use crate::{
    books::BookEntry,
    dead_letters::ListedLetter,
    error::Error,
    state::Reporting,
    store::Folded,
    unit::{SequenceRange, StreamUnit},
};

pub(super) struct DeadLettersRecipe;

impl Recipe for DeadLettersRecipe {
    const UNIT: StreamUnit = StreamUnit::DeadLetters;
    type Message = DeadLetter;

    async fn fold(
        reporting: &Reporting,
        range: SequenceRange,
        messages: Vec<(u64, DeadLetter)>,
    ) -> Result<Folded<()>, Error> {
        let entries: Vec<BookEntry> =
            messages.iter().map(|(sequence, letter)| BookEntry::of_letter(*sequence, letter)).collect();
        let letters: Vec<ListedLetter> =
            messages.iter().map(|(sequence, letter)| ListedLetter::new(*sequence, letter)).collect();
        let folded = reporting.store.fold_dead_letters(range, &entries, &letters, reporting.now()).await?;
        reporting.news.books_changed();
        Ok(folded)
    }
}
