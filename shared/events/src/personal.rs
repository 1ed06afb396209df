//! Which members of an event are about a person.

use std::collections::BTreeSet;

/// Members that are about a person in any shop, by their names without signs.
const KNOWN: [&str; 48] = [
    "accountnumber",
    "address",
    "address1",
    "address2",
    "birthdate",
    "birthday",
    "cardnumber",
    "clientip",
    "creditcard",
    "customername",
    "cvc",
    "cvv",
    // What is encoded cannot be looked into.
    "database64",
    "dateofbirth",
    "dob",
    "email",
    "emailaddress",
    "familyname",
    "fax",
    "firstname",
    "fullname",
    "givenname",
    "iban",
    "ip",
    "ipaddress",
    "lastname",
    "mail",
    "middlename",
    "mobile",
    "name",
    "pan",
    "passport",
    "password",
    "phone",
    "phonenumber",
    "postalcode",
    "postcode",
    "ssn",
    "street",
    "streetaddress",
    "surname",
    "taxid",
    "tel",
    "telephone",
    "token",
    "username",
    "zip",
    "zipcode",
];
/// The same behind anything: `customer_email`, `billingAddress`.
const ENDINGS: [&str; 9] =
    ["address", "cardnumber", "email", "firstname", "lastname", "fullname", "phone", "postcode", "street"];

/// Names of members that are about a person, however they are spelt: `E-Mail`
/// and `e_mail` are one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members(BTreeSet<String>);

impl Members {
    /// Those known anywhere, and these.
    pub fn new(more: impl IntoIterator<Item = String>) -> Self {
        Self(more.into_iter().map(|name| plain(&name)).filter(|name| !name.is_empty()).collect())
    }

    /// Whether a member with this name is about a person.
    pub fn contains(&self, name: &str) -> bool {
        let name = plain(name);
        is_known(&name) || self.0.contains(&name)
    }

    /// Those that are not known anywhere.
    pub fn more(&self) -> Vec<String> {
        self.0.iter().filter(|name| !is_known(name)).cloned().collect()
    }
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn is_known(plain: &str) -> bool {
    KNOWN.binary_search(&plain).is_ok() || ENDINGS.iter().any(|ending| plain.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_however_it_is_spelt() {
        assert!(KNOWN.is_sorted());
        let members = Members::new(["Loyalty No".to_owned(), "E-Mail".into(), "-".into()]);
        for name in
            ["email", "E_MAIL", "customerEmail", "billing_address", "loyalty-no", "data_base64", "Straße street"]
        {
            assert!(members.contains(name), "{name}");
        }
        for name in ["order_id", "quantity", "product_id", "payment_method", "", "-", "country"] {
            assert!(!members.contains(name), "{name}");
        }
        assert_eq!(members.more(), ["loyaltyno"]);
    }
}
