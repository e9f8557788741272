//! What a secure link's signature is taken over: literals and variables in the order of the signer, as nginx writes them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::HeaderName;
use zeroize::Zeroizing;

use crate::domain::token::key::Secret;
use crate::domain::token::presented::Head;
use crate::domain::uri::query;

/// `$secret$uri$expires`, say: literals stand as they are, variables as `$name` or `${name}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Variable(Variable),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Variable {
    Secret,
    Uri,
    Expires,
    Address,
    Host,
    Scheme,
    Argument(String),
    Header(HeaderName),
}

/// The values of one request.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    pub uri: &'a str,
    pub expires: &'a str,
    pub client: IpAddr,
    pub head: Head<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    #[error(
        "${0} is no variable; there are $secret, $uri, $expires, $remote_addr, $host, $scheme, $arg_NAME and $http_NAME"
    )]
    Unknown(String),
    #[error("a $ has no name after it, or its }} is missing")]
    NoName,
    #[error("it holds no $secret: everybody could sign")]
    NoSecret,
    #[error("it holds no $uri: one signature would open everything")]
    NoUri,
}

impl Expression {
    /// The bytes to hash; wiped when dropped, since the secret is among them.
    pub(super) fn hashed(&self, secret: &Secret, values: &Values<'_>) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(256));
        self.put(&mut out, secret.expose(), values);
        out
    }

    /// The same for people, with the secret as `<secret>`.
    pub fn shown(&self, values: &Values<'_>) -> String {
        let mut out = Vec::new();
        self.put(&mut out, b"<secret>", values);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn put(&self, out: &mut Vec<u8>, secret: &[u8], values: &Values<'_>) {
        let head = &values.head;
        for part in &self.0 {
            match part {
                Part::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Part::Variable(variable) => match variable {
                    Variable::Secret => out.extend_from_slice(secret),
                    Variable::Uri => out.extend_from_slice(values.uri.as_bytes()),
                    Variable::Expires => out.extend_from_slice(values.expires.as_bytes()),
                    Variable::Address => {
                        out.extend_from_slice(values.client.to_canonical().to_string().as_bytes());
                    }
                    Variable::Host => out.extend_from_slice(host(head.authority).as_bytes()),
                    Variable::Scheme => out.extend_from_slice(head.scheme.as_bytes()),
                    Variable::Argument(name) => {
                        let value = query::values(head.query(), name).next();
                        out.extend_from_slice(value.unwrap_or_default().as_bytes());
                    }
                    Variable::Header(name) => {
                        let value = head.headers.get(name).map(http::HeaderValue::as_bytes);
                        out.extend_from_slice(value.unwrap_or_default());
                    }
                },
            }
        }
    }

    pub fn has_expires(&self) -> bool {
        self.has(&Variable::Expires)
    }

    pub fn has_address(&self) -> bool {
        self.has(&Variable::Address)
    }

    /// Whether the path and the end stand side by side, so that digits can be moved from one to the other: a signature for
    /// `/a1` until 2000000000 is one for `/a` until 12000000000 as well.
    pub fn is_ambiguous(&self) -> bool {
        let is =
            |part: &Part, variable: &Variable| matches!(part, Part::Variable(found) if found == variable);
        self.0.windows(2).any(|pair| {
            is(&pair[0], &Variable::Uri) && is(&pair[1], &Variable::Expires)
                || is(&pair[0], &Variable::Expires) && is(&pair[1], &Variable::Uri)
        })
    }

    fn has(&self, variable: &Variable) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Variable(found) if found == variable))
    }
}

/// nginx's `$host`: in lower case, without the port.
fn host(authority: &str) -> String {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => authority,
    };
    name.to_ascii_lowercase()
}

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            if at > 0 {
                parts.push(Part::Literal(rest[..at].to_owned()));
            }
            rest = &rest[at + 1..];
            let name = if let Some(braced) = rest.strip_prefix('{') {
                let (name, after) = braced.split_once('}').ok_or(ExpressionError::NoName)?;
                rest = after;
                name
            } else {
                let end = rest
                    .find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
                    .unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                rest = after;
                name
            };
            if name.is_empty() {
                return Err(ExpressionError::NoName);
            }
            parts.push(Part::Variable(variable(name)?));
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        let expression = Self(parts);
        if !expression.has(&Variable::Secret) {
            return Err(ExpressionError::NoSecret);
        }
        if !expression.has(&Variable::Uri) {
            return Err(ExpressionError::NoUri);
        }
        Ok(expression)
    }
}

fn variable(name: &str) -> Result<Variable, ExpressionError> {
    let unknown = || ExpressionError::Unknown(name.to_owned());
    match name {
        "secret" => Ok(Variable::Secret),
        "uri" => Ok(Variable::Uri),
        "expires" | "secure_link_expires" => Ok(Variable::Expires),
        "remote_addr" => Ok(Variable::Address),
        "host" => Ok(Variable::Host),
        "scheme" => Ok(Variable::Scheme),
        _ => match (name.strip_prefix("arg_"), name.strip_prefix("http_")) {
            (Some(argument), _) if !argument.is_empty() => Ok(Variable::Argument(argument.to_owned())),
            (_, Some(header)) => HeaderName::from_bytes(header.replace('_', "-").as_bytes())
                .map(Variable::Header)
                .map_err(|_| unknown()),
            (Some(_) | None, None) => Err(unknown()),
        },
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Literal(text) => f.write_str(text)?,
                Part::Variable(Variable::Secret) => f.write_str("${secret}")?,
                Part::Variable(Variable::Uri) => f.write_str("${uri}")?,
                Part::Variable(Variable::Expires) => f.write_str("${expires}")?,
                Part::Variable(Variable::Address) => f.write_str("${remote_addr}")?,
                Part::Variable(Variable::Host) => f.write_str("${host}")?,
                Part::Variable(Variable::Scheme) => f.write_str("${scheme}")?,
                Part::Variable(Variable::Argument(name)) => write!(f, "${{arg_{name}}}")?,
                Part::Variable(Variable::Header(name)) => {
                    write!(f, "${{http_{}}}", name.as_str().replace('-', "_"))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_read_as_nginx_writes_it() {
        for text in [
            "$secret$uri$expires",
            "$secure_link_expires$uri$remote_addr $secret",
            "${expires}x${uri}/${secret}-${host}${scheme}${arg_id}${http_user_agent}",
        ] {
            let expression: Expression = text.parse().expect(text);
            assert_eq!(expression.to_string().parse(), Ok(expression), "{text}");
        }
    }

    #[test]
    fn an_expression_without_secret_or_uri_is_refused() {
        assert_eq!("$uri$expires".parse::<Expression>(), Err(ExpressionError::NoSecret));
        assert_eq!("$secret$expires".parse::<Expression>(), Err(ExpressionError::NoUri));
        assert_eq!("$secret$uri$".parse::<Expression>(), Err(ExpressionError::NoName));
        assert_eq!("$secret${uri".parse::<Expression>(), Err(ExpressionError::NoName));
        let unknown = Err(ExpressionError::Unknown("request_uri".to_owned()));
        assert_eq!("$secret$uri$request_uri".parse::<Expression>(), unknown);
    }

    #[test]
    fn digits_that_could_be_moved_are_noticed() {
        let is_ambiguous = |text: &str| text.parse::<Expression>().unwrap().is_ambiguous();
        assert!(is_ambiguous("$secret$uri$expires"));
        assert!(is_ambiguous("$expires$uri$secret"));
        assert!(!is_ambiguous("$expires $uri $secret"));
        assert!(!is_ambiguous("$uri$secret$expires"));
    }
}
