//! The URL of a node, and what of it may be shown: neither path nor query nor user, each of
//! which may hold a key.

use core::fmt;

use ureq::http::Uri;

/// Parts of a path or query that are shorter are words, not keys.
const SECRET_CHARS_MIN: usize = 6;

/// What stands for what is not shown.
const HIDDEN: &str = "…";

/// A URL that no node is behind. It says nothing of the URL, which may hold a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::cli) enum NodeUrlError {
    /// Not a URL.
    #[error("the value of --rpc-url is no URL such as http://localhost:8545")]
    Malformed,
    /// Another scheme.
    #[error(
        "the value of --rpc-url begins with neither http:// nor https://; websockets and \
             sockets of the file system are not supported"
    )]
    Scheme,
}

/// The URL of a node. Shown, it is its scheme and host.
#[derive(Clone)]
pub(in crate::cli) struct NodeUrl {
    whole: String,
    shown: String,
    secrets: Vec<String>,
}

impl NodeUrl {
    pub(in crate::cli) fn parse(text: &str) -> Result<Self, NodeUrlError> {
        if !text.contains("://") {
            return Err(NodeUrlError::Malformed);
        }
        let uri: Uri = text.parse().map_err(|_| NodeUrlError::Malformed)?;
        let scheme = uri.scheme_str().ok_or(NodeUrlError::Malformed)?;
        if !matches!(scheme, "http" | "https") {
            return Err(NodeUrlError::Scheme);
        }
        let authority = uri.authority().ok_or(NodeUrlError::Malformed)?.as_str();
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        if host.is_empty() {
            return Err(NodeUrlError::Malformed);
        }
        let rest = uri.path_and_query().map_or("", |rest| rest.as_str());
        let hidden = if rest.trim_matches('/').is_empty() { "" } else { "/…" };
        let mut secrets: Vec<String> = [rest, user].map(str::to_owned).into();
        let parts = rest.split(['/', '?', '&', '=']).chain(user.split(':'));
        secrets.extend(parts.map(str::to_owned));
        secrets.retain(|secret| secret.len() >= SECRET_CHARS_MIN);
        // A part must not be hidden before the whole of it is looked for.
        secrets.sort_by_key(|secret| core::cmp::Reverse(secret.len()));
        Ok(Self { whole: text.to_owned(), shown: format!("{scheme}://{host}{hidden}"), secrets })
    }

    /// With all that is secret, for requests.
    pub(super) fn whole(&self) -> &str {
        &self.whole
    }

    /// A text without what of it is the URL's secret.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        let hide = |text: String, secret: &String| text.replace(secret.as_str(), HIDDEN);
        self.secrets.iter().fold(text.replace(&self.whole, &self.shown), hide)
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_host_are_shown_and_nothing_that_may_be_a_key() {
        let cases = [
            ("http://localhost:8545", "http://localhost:8545"),
            ("http://localhost:8545/", "http://localhost:8545"),
            ("https://eth.example.com/v2/s3cr3tkey", "https://eth.example.com/…"),
            ("https://example.com/?apikey=s3cr3tkey", "https://example.com/…"),
            ("https://anna:s3cr3tkey@example.com", "https://example.com"),
        ];
        for (text, shown) in cases {
            let url = NodeUrl::parse(text).unwrap();
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.into(), shown.into()));
            let said = url.without_secrets(&format!("invalid key s3cr3tkey in {text}"));
            let has_key = text.contains("s3cr3tkey");
            assert_eq!(said.contains("s3cr3tkey"), !has_key, "{said}");
            assert!(!has_key || said.contains("invalid key … in"), "{said}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_node_is_refused_without_repeating_it() {
        for (url, error) in [
            ("localhost:8545", NodeUrlError::Malformed),
            ("http://", NodeUrlError::Malformed),
            ("wss://example.com/s3cr3tkey", NodeUrlError::Scheme),
            ("/tmp/geth.ipc", NodeUrlError::Malformed),
        ] {
            assert_eq!(NodeUrl::parse(url).unwrap_err(), error, "{url}");
            assert!(!error.to_string().contains("s3cr3tkey"));
        }
    }
}
