//! A value that is exchanged as a whole while others read it.

use std::sync::{Arc, PoisonError, RwLock};

/// A value that may be exchanged at any time; clones share it. Who has read it keeps what was
/// read. It is held for no longer than it takes to copy a pointer, or to change it.
#[derive(Debug, Default)]
pub struct Exchanged<T>(Arc<RwLock<Arc<T>>>);

impl<T> Exchanged<T> {
    /// Begins with this.
    pub fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(value))))
    }

    /// The value of now.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Readers have this from now on.
    pub fn exchange(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }

    /// Changes the value, in place where nobody has it in hand.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R
    where
        T: Clone,
    {
        change(Arc::make_mut(&mut self.0.write().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl<T> Clone for Exchanged<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_read_it_keeps_what_was_read() {
        let shared = Exchanged::new(vec![1]);
        let (other, read) = (shared.clone(), shared.current());
        other.change(|value| value.push(2));
        assert_eq!((&*read, &*shared.current()), (&vec![1], &vec![1, 2]));
        other.exchange(vec![3]);
        assert_eq!((&*read, &*shared.current()), (&vec![1], &vec![3]));
    }

    #[test]
    fn a_change_that_panics_ends_nobody_else() {
        let shared = Exchanged::new(1);
        let changed = std::thread::spawn({
            let shared = shared.clone();
            move || shared.change(|_| panic!("in the middle"))
        });
        assert!(changed.join().is_err());
        assert_eq!(*shared.current(), 1);
        shared.exchange(2);
        assert_eq!(*shared.current(), 2);
    }
}
