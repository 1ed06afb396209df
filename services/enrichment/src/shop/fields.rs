//! Members of events, as a definition names them.

use tidemill_definitions::Field;

use super::members::MemberPath;

/// Members that a list names at most: each of them is looked for in every event.
const MAX_MEMBERS: usize = 16;
/// Names that lead to a member at most.
const MAX_DEPTH: usize = 8;
/// Bytes of a name.
const MAX_NAME_BYTES: usize = 64;

pub(super) fn check(fields: &[Field]) -> Result<(), String> {
    if fields.len() > MAX_MEMBERS {
        return Err(format!("names more than {MAX_MEMBERS} members"));
    }
    for field in fields {
        let (Field::Data(names) | Field::Item(names)) = field else { continue };
        if names.len() > MAX_DEPTH {
            return Err(format!("a member lies at most {MAX_DEPTH} names deep"));
        }
        names.iter().try_for_each(|name| check_name(name))?;
    }
    Ok(())
}

pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(format!("a name has 1 to {MAX_NAME_BYTES} bytes and no control characters"));
    }
    Ok(())
}

pub(super) fn member_paths(fields: &[Field], roots: &[&str]) -> Result<Vec<MemberPath>, String> {
    let path = |field: &Field| match field {
        Field::Data(names) if roots.contains(&"data") => Some(MemberPath::Data(names.clone())),
        Field::Item(names) if roots.contains(&"item") => Some(MemberPath::Item(names.clone())),
        Field::Subject if roots.contains(&"subject") => Some(MemberPath::Subject),
        Field::Source if roots.contains(&"source") => Some(MemberPath::Source),
        _ => None,
    };
    let paths: Option<Vec<_>> = fields.iter().map(path).collect();
    paths.ok_or_else(|| {
        let forms = roots.iter().map(|root| match *root {
            "subject" | "source" => format!("`{root}`"),
            _ => format!("`{root}.…`"),
        });
        format!("its members are written {}", forms.collect::<Vec<String>>().join(" or "))
    })
}
