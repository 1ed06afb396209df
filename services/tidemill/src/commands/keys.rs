//! `tidemill keys`: makes keys, and the entries that services keep of them.

use std::{io::Read, process::ExitCode};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tidemill_service::access::{Entries, Hash};

use super::ended::Ended;
use crate::arguments::{KeysArguments, KeysCommand};

/// Keys begin with it, so that a key found in a file or a log is recognised.
const PREFIX: &str = "tm_";

pub(crate) fn keys(arguments: KeysArguments) -> Ended {
    match arguments.command {
        KeysCommand::New { name } => {
            let key = new_key(rand::random());
            checked(&name, &key)?;
            say!("key    {key}");
            say!("entry  {name} {}", Hash::of(&key));
            tell!("The key is shown this once. What follows `entry` is a line for the file write, read or operate.");
        }
        KeysCommand::Hash { name } => {
            let mut text = String::new();
            // Not an argument, which everybody on the machine could read.
            std::io::stdin().take(1 << 16).read_to_string(&mut text)?;
            let key = text.trim();
            checked(&name, key)?;
            say!("{name} {}", Hash::of(key));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a service would take them.
fn checked(name: &str, key: &str) -> Result<(), String> {
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err("a key's name is one word".into());
    }
    let wrong = |told: &str| told.trim_start_matches("entry 1 ").to_owned();
    Entries::from_iter([format!("{name} {key}")]).check().map_err(|told| format!("this {}", wrong(told)))
}

fn new_key(random: [u8; 32]) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_key_that_no_service_takes_is_refused() {
        for (name, key) in [("", "key-of-the-shop-1"), ("my shop", "key-of-the-shop-1"), ("a/b", "key-of-the-shop-1")]
            .into_iter()
            .chain([("a", "short"), ("a", "k\u{e9}y-k\u{e9}y-k\u{e9}y-k\u{e9}y"), ("a", "key-of,the-shop-1")])
        {
            let told = checked(name, key).expect_err("no service takes it");
            assert!(!told.is_empty() && (key.is_empty() || !told.contains(key)), "{name:?}: {told}");
        }
        assert_eq!(checked("shop", "key-of-the-shop-1"), Ok(()));
    }

    #[test]
    fn a_new_key_is_a_right_entry_and_so_is_its_hash() {
        let key = new_key([7; 32]);
        assert_eq!(key, "tm_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc");
        let entries = |text: String| Entries::from_iter([text]);
        assert_eq!(entries(format!("shop {key}")), entries(format!("shop {}", Hash::of(&key))));
    }
}
