//! Compressed bodies, inflated up to a limit.

use std::io::{self, Read};

use axum::http::{HeaderMap, header};
use bytes::Bytes;

use crate::{error::Error, limits::Admission};

/// Memory that a zstd frame may ask for, as a power of two: 8 MiB, what
/// RFC 9659 has every decoder of HTTP content support.
const ZSTD_WINDOW_LOG: u32 = 23;
const STEP: usize = 64 << 10;
/// Members of gzip, frames of zstd and lz4 that make one body: as many as the
/// blocks of 64 KiB that parallel compressors cut twice the largest body into.
/// Each costs work of its own, also an empty one.
const MAX_FRAMES: usize = 1024;
/// What a decoder itself takes, the largest: lz4 with blocks of 4 MiB.
const DECODER: usize = 12 << 20;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
    Lz4,
}

impl Encoding {
    /// By `Content-Encoding`; one at most.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let mut names = headers.get_all(header::CONTENT_ENCODING).iter();
        let (first, second) = (names.next(), names.next());
        let Some(name) = first else { return Ok(Self::Identity) };
        let name = String::from_utf8_lossy(name.as_bytes()).trim().to_ascii_lowercase();
        match (name.as_str(), second) {
            ("identity" | "", None) => Ok(Self::Identity),
            ("gzip" | "x-gzip", None) => Ok(Self::Gzip),
            ("zstd", None) => Ok(Self::Zstd),
            ("lz4", None) => Ok(Self::Lz4),
            _ => Err(Error::UnsupportedEncoding(crate::error::clip(&name))),
        }
    }
}

/// The body behind its encoding. Never makes more than `limit` bytes, and
/// charges `admission` for what it makes as it goes.
pub(crate) fn inflate(
    encoding: Encoding,
    body: Bytes,
    limit: usize,
    admission: &mut Admission,
) -> Result<Bytes, Error> {
    match encoding {
        Encoding::Identity if body.len() > limit => return Err(Error::InflatedTooLarge { limit }),
        Encoding::Identity => return Ok(body),
        Encoding::Gzip | Encoding::Zstd | Encoding::Lz4 => {}
    }
    let mut scratch = admission.scratch();
    scratch.cover(DECODER.min(limit))?;
    let mut output = Output { bytes: Vec::new(), limit, admission };
    let mut rest = &*body;
    for _ in 0..MAX_FRAMES {
        if rest.is_empty() {
            return Ok(output.bytes.into());
        }
        rest = output.frame(encoding, rest)?;
    }
    match rest.is_empty() {
        true => Ok(output.bytes.into()),
        false => Err(Error::MalformedEncoding(format!("more than {MAX_FRAMES} frames"))),
    }
}

struct Output<'a> {
    bytes: Vec<u8>,
    limit: usize,
    admission: &'a mut Admission,
}

impl Output<'_> {
    /// Inflates one frame; answers what is behind it.
    fn frame<'b>(&mut self, encoding: Encoding, mut rest: &'b [u8]) -> Result<&'b [u8], Error> {
        match encoding {
            Encoding::Identity => Ok(&[]),
            Encoding::Gzip => {
                self.take(&mut flate2::bufread::GzDecoder::new(&mut rest))?;
                Ok(rest)
            }
            Encoding::Zstd => {
                let mut frame = zstd::Decoder::with_buffer(rest).map_err(malformed)?.single_frame();
                frame.window_log_max(ZSTD_WINDOW_LOG).map_err(malformed)?;
                self.take(&mut frame)?;
                Ok(frame.finish())
            }
            Encoding::Lz4 => {
                let mut frame = lz4_flex::frame::FrameDecoder::new(Whole(rest));
                self.take(&mut frame)?;
                Ok(frame.into_inner().0)
            }
        }
    }

    fn take(&mut self, decoder: &mut impl Read) -> Result<(), Error> {
        loop {
            let before = self.bytes.len();
            let step = STEP.min(self.limit - before + 1);
            decoder.take(step as u64).read_to_end(&mut self.bytes).map_err(malformed)?;
            let made = self.bytes.len() - before;
            if self.bytes.len() > self.limit {
                return Err(Error::InflatedTooLarge { limit: self.limit });
            }
            self.admission.charge(made)?;
            // The decoder's end, which is not to be asked for twice: the lz4
            // one would begin another frame.
            if made < step {
                return Ok(());
            }
        }
    }
}

fn malformed(error: io::Error) -> Error {
    Error::MalformedEncoding(crate::error::clip(&error.to_string()))
}

/// A body that may not be read beyond its end: the lz4 decoder takes an end
/// in the middle of a frame for the frame's end.
struct Whole<'a>(&'a [u8]);

impl Read for Whole<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() && !buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the body is cut off"));
        }
        self.0.read(buffer)
    }
}

#[cfg(test)]
mod tests;
