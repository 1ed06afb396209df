//! Why a request is not let in.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use tidemill_domain::Code;

use super::Role;
use crate::Problem;

/// A request that is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It brings no key, or none that is known.
    #[error("no valid key")]
    Unknown {
        /// The role that is needed.
        needs: Role,
    },
    /// Its key is for something else.
    #[error("{held}, and this needs one that may {needs}")]
    Role {
        /// What it brings.
        held: String,
        /// The role that is needed.
        needs: Role,
    },
}

impl Denied {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Unknown { .. } => Code::Unauthorized,
            Self::Role { .. } => Code::ForbiddenRole,
        }
    }

    pub(super) const fn needs(&self) -> Role {
        match self {
            Self::Unknown { needs } | Self::Role { needs, .. } => *needs,
        }
    }

    /// What the caller is told.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Unknown { needs } => {
                let in_the_body = match needs {
                    Role::Write => "; a `writeKey` in the body is read by the routes of Segment's calls alone",
                    Role::Read | Role::Operate => "",
                };
                Problem::new(StatusCode::UNAUTHORIZED, self.code()).detail(format!(
                    "a key that may {needs}; send it as `Authorization: Bearer KEY`, `X-Write-Key: KEY` or as the \
                     user name of Basic{in_the_body}"
                ))
            }
            Self::Role { .. } => Problem::new(StatusCode::FORBIDDEN, self.code()).detail(self.to_string()),
        }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let mut response = self.problem().into_response();
        if matches!(self, Self::Unknown { .. }) {
            let bearer = HeaderValue::from_static("Bearer realm=\"tidemill\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}
