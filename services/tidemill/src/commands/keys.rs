//! `tidemill keys`: makes keys, and the entries that services keep of them.

use std::{io::Read, process::ExitCode};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tidemill_service::access::{Hash, LEAST_BYTES};

use super::Outcome;
use crate::cli::{Keys, KeysCommand};

/// What keys begin with, so that one that is found somewhere is known for what
/// it is.
const PREFIX: &str = "tm_";

pub(crate) fn keys(arguments: Keys) -> Outcome {
    match arguments.command {
        KeysCommand::New { name } => {
            let key = new_key(rand::random());
            println!("key    {key}");
            println!("entry  {name} {}", Hash::of(&key));
            eprintln!("The key is shown this once. The entry is a line for the file write, read or operate.");
        }
        KeysCommand::Hash { name } => {
            let mut text = String::new();
            // Not an argument, which everybody on the machine could read.
            std::io::stdin().take(1 << 16).read_to_string(&mut text)?;
            let key = text.trim();
            if key.len() < LEAST_BYTES || key.contains(char::is_whitespace) {
                return Err(format!("a key has at least {LEAST_BYTES} bytes, and no spaces").into());
            }
            println!("{name} {}", Hash::of(key));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn new_key(random: [u8; 32]) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random))
}

#[cfg(test)]
mod tests {
    use tidemill_service::access::Entries;

    use super::*;

    #[test]
    fn a_new_key_is_a_right_entry_and_so_is_its_hash() {
        let key = new_key([7; 32]);
        assert_eq!(key, "tm_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc");
        let entries = |text: String| Entries::from_iter([text]);
        assert_eq!(entries(format!("shop {key}")), entries(format!("shop {}", Hash::of(&key))));
    }
}
