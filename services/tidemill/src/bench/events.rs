//! Reads server-sent events (WHATWG HTML, section 9.2), as far as reporting
//! writes them: by lines that end with LF.

/// Bytes of an event that are read; a longer one is left out.
const LONGEST: usize = 16 << 20;

/// What is read of one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ServerEvent {
    pub(super) name: String,
    pub(super) data: String,
}

/// Puts events together out of the pieces that come.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    line: Vec<u8>,
    event: ServerEvent,
}

impl EventReader {
    /// Takes a piece; answers the events that it completes.
    pub(super) fn take(&mut self, piece: &[u8]) -> Vec<ServerEvent> {
        let mut complete = Vec::new();
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.line);
            complete.extend(self.take_line(&String::from_utf8_lossy(&line)));
        }
        if self.line.len() + rest.len() <= LONGEST {
            self.line.extend_from_slice(rest);
        }
        complete
    }

    fn take_line(&mut self, line: &str) -> Option<ServerEvent> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return (event != ServerEvent::default()).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.to_owned(),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // Comments keep the connection open; ids and waits are for who comes back.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = ": ping\n\nid: a-1\nretry: 1000\n\nevent: metrics\ndata: {\"a\":1}\nid: a-2\n\ndata: x\ndata:y\n\n";
        let expected = [("metrics", "{\"a\":1}"), ("", "x\ny")];
        for size in 1..text.len() {
            let mut reader = EventReader::default();
            let events: Vec<_> = text.as_bytes().chunks(size).flat_map(|piece| reader.take(piece)).collect();
            let told: Vec<_> = events.iter().map(|event| (event.name.as_str(), event.data.as_str())).collect();
            assert_eq!(told, expected, "{size}");
        }
    }
}
