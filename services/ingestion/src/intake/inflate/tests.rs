use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::{config::RequestLimitsConfig, limits::RequestLimits};

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
    let mut admission = RequestLimits::new(&RequestLimitsConfig::default()).admit().expect("a place");
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
        let mut small =
            RequestLimits::new(&RequestLimitsConfig { in_flight_bytes: 1 << 20, ..RequestLimitsConfig::default() })
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
        let name = refused[0].to_owned();
        assert_eq!(of(refused), Err(Error::UnsupportedEncoding(name)));
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
