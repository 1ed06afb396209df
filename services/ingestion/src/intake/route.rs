//! The addresses that events are sent to.

/// Which address a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) path: &'static str,
    pub(super) takes: Takes,
}

/// What an address takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Events in any format but Segment's.
    Events,
    /// One of Segment's calls: of this kind, where it does not say itself.
    Call(&'static str),
    /// Many of them.
    Calls,
}

impl Route {
    pub(crate) const EVENTS: Self = Self { path: "/v1/events", takes: Takes::Events };
    pub(crate) const TRACK: Self = Self::call("/v1/track", "track");
    pub(crate) const PAGE: Self = Self::call("/v1/page", "page");
    pub(crate) const BATCH: Self = Self { path: "/v1/batch", takes: Takes::Calls };
    /// The other calls, each with the call whose description it shares. Segment's
    /// library in the browser sends a call to its first letter.
    pub(crate) const LIKE: [(Self, Self); 11] = [
        (Self::call("/v1/screen", "screen"), Self::PAGE),
        (Self::call("/v1/identify", "identify"), Self::PAGE),
        (Self::call("/v1/group", "group"), Self::PAGE),
        (Self::call("/v1/alias", "alias"), Self::PAGE),
        (Self::call("/v1/t", "track"), Self::TRACK),
        (Self::call("/v1/p", "page"), Self::PAGE),
        (Self::call("/v1/s", "screen"), Self::PAGE),
        (Self::call("/v1/i", "identify"), Self::PAGE),
        (Self::call("/v1/g", "group"), Self::PAGE),
        (Self::call("/v1/a", "alias"), Self::PAGE),
        (Self { path: "/v1/b", takes: Takes::Calls }, Self::BATCH),
    ];

    const fn call(path: &'static str, kind: &'static str) -> Self {
        Self { path, takes: Takes::Call(kind) }
    }

    /// What it takes, in words.
    pub(crate) fn taken(self) -> String {
        match self.takes {
            Takes::Events => "events".into(),
            Takes::Call(kind) => format!("one Segment call, `{kind}` where it does not say itself"),
            Takes::Calls => "a batch of Segment calls".into(),
        }
    }

    /// The one with this path.
    pub(crate) fn at(path: &str) -> Option<Self> {
        let all = [Self::EVENTS, Self::TRACK, Self::PAGE, Self::BATCH].into_iter();
        all.chain(Self::LIKE.map(|(route, _)| route)).find(|route| route.path == path)
    }
}
