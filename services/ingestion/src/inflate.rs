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
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::{config::LimitsConfig, limits::Limits};

    const ENCODINGS: [Encoding; 3] = [Encoding::Gzip, Encoding::Zstd, Encoding::Lz4];

    fn deflate(encoding: Encoding, body: &[u8]) -> Vec<u8> {
        match encoding {
            Encoding::Identity => body.to_vec(),
            Encoding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
                encoder.write_all(body).and_then(|()| encoder.finish()).expect("writes to memory")
            }
            Encoding::Zstd => zstd::encode_all(body, 3).expect("writes to memory"),
            Encoding::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(body).expect("writes to memory");
                encoder.finish().expect("writes to memory")
            }
        }
    }

    fn inflated(encoding: Encoding, body: impl Into<Bytes>, limit: usize) -> Result<Bytes, Error> {
        let mut admission = Limits::new(&LimitsConfig::default()).admit().expect("a place");
        inflate(encoding, body.into(), limit, &mut admission)
    }

    #[test]
    fn a_bomb_is_cut_off_at_the_limit() {
        let zeros = vec![b' '; 10 << 20];
        for encoding in ENCODINGS {
            let bomb = deflate(encoding, &zeros);
            assert!(bomb.len() < 100 << 10);
            assert_eq!(inflated(encoding, bomb.clone(), 1 << 20), Err(Error::InflatedTooLarge { limit: 1 << 20 }));
            assert_eq!(inflated(encoding, bomb.clone(), zeros.len()).map(|b| b.len()), Ok(zeros.len()));
            let mut small = Limits::new(&LimitsConfig { in_flight_bytes: 1 << 20, ..LimitsConfig::default() })
                .admit()
                .expect("a place");
            assert_eq!(inflate(encoding, bomb.into(), zeros.len(), &mut small), Err(Error::Busy));
        }
    }

    #[test]
    fn a_zstd_frame_may_not_ask_for_all_the_memory() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
        encoder.window_log(27).expect("a window");
        encoder.write_all(b"small").expect("writes to memory");
        let frame = encoder.finish().expect("writes to memory");
        assert!(matches!(inflated(Encoding::Zstd, frame, 1 << 20), Err(Error::MalformedEncoding(_))));
    }

    #[test]
    fn several_frames_are_one_body() {
        for encoding in ENCODINGS {
            let body = [deflate(encoding, b"one "), deflate(encoding, b"two")].concat();
            assert_eq!(inflated(encoding, body, 100), Ok("one two".into()), "{encoding:?}");
        }
    }

    #[test]
    fn frames_that_hold_nothing_come_to_an_end() {
        for encoding in ENCODINGS {
            let empty = deflate(encoding, b"");
            let last = deflate(encoding, b"x");
            let most = [empty.repeat(MAX_FRAMES - 1), last.clone()].concat();
            assert_eq!(inflated(encoding, most, 100), Ok("x".into()), "{encoding:?}");
            let more = [empty.repeat(MAX_FRAMES), last].concat();
            let error = inflated(encoding, more, 100).expect_err("too many");
            assert_eq!(error, Error::MalformedEncoding(format!("more than {MAX_FRAMES} frames")), "{encoding:?}");
        }
    }

    #[test]
    fn one_encoding_is_understood() {
        let of = |values: &[&str]| {
            let name = header::CONTENT_ENCODING;
            let values = values.iter().map(|value| (name.clone(), value.parse().expect("a value")));
            let mut headers = HeaderMap::new();
            values.for_each(|(name, value)| _ = headers.append(name, value));
            Encoding::of(&headers)
        };
        assert_eq!(of(&[]), Ok(Encoding::Identity));
        assert_eq!(of(&["GZip"]), Ok(Encoding::Gzip));
        for refused in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"]] {
            assert!(of(refused).is_err(), "{refused:?}");
        }
    }

    proptest! {
        #[test]
        fn a_body_comes_back_whole_or_not_at_all(
            body in proptest::collection::vec(any::<u8>(), 0..5000), cut in any::<proptest::sample::Index>(),
        ) {
            for encoding in ENCODINGS {
                let deflated = deflate(encoding, &body);
                prop_assert_eq!(inflated(encoding, deflated.clone(), 5000), Ok(body.clone().into()));
                let cut = 1 + cut.index(deflated.len() - 1);
                prop_assert!(inflated(encoding, deflated[..cut].to_vec(), 5000).is_err(), "{:?} at {}", encoding, cut);
            }
        }

        #[test]
        fn noise_is_no_fault_of_ours(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            for encoding in ENCODINGS {
                for magic in [&[][..], &[0x1f, 0x8b, 8], &[0x28, 0xb5, 0x2f, 0xfd], &[0x04, 0x22, 0x4d, 0x18]] {
                    if let Err(error) = inflated(encoding, [magic, &body].concat(), 5000) {
                        prop_assert!(error.problem().status < 500);
                    }
                }
            }
        }
    }
}
