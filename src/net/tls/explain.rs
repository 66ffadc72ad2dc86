//! Why TLS failed, in words.

use crate::text::escape::Escaped;
use jiff::{Timestamp, tz::TimeZone};
use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved,
    pki_types::{ServerName, UnixTime},
};
use std::fmt::Write;

/// Of the names in a certificate, as many as are told.
const NAMES_TOLD_MAX: usize = 8;

/// Why no authority vouches for a certificate. rustls tells neither from the other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerFault {
    #[error("the certificate is self-signed")]
    SelfSigned,
    /// With the authority's name.
    #[error("the certificate is signed by an unknown authority, \"{0}\"")]
    Unknown(String),
}

/// What went wrong, as one lower-case sentence. "The certificate" is the peer's.
pub fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(fault) => explain_certificate(fault),
        Error::NoCertificatesPresented => "the peer has sent no certificate".to_owned(),
        Error::AlertReceived(alert) => explain_alert(*alert),
        Error::PeerIncompatible(fault) => explain_incompatible(fault),
        Error::NoApplicationProtocol => "no protocol (ALPN) that both sides speak".to_owned(),
        Error::InvalidMessage(fault) if is_no_tls(*fault) => "what the peer sends is no TLS".to_owned(),
        Error::InvalidMessage(fault) => format!("a message of the peer is damaged ({fault:?})"),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "the peer sent a message out of turn".to_owned()
        }
        Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments) => {
            "the peer sends empty records without end".to_owned()
        }
        Error::PeerMisbehaved(fault) => format!("the peer broke the rules of TLS ({fault:?})"),
        Error::PeerSentOversizedRecord => "the peer sent a record longer than TLS allows".to_owned(),
        Error::DecryptError => "a record cannot be decrypted: its bytes were changed on the way".to_owned(),
        other => other.to_string(),
    }
}

/// What is read first of a peer that speaks something else.
fn is_no_tls(fault: InvalidMessage) -> bool {
    matches!(
        fault,
        InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload
    )
}

fn explain_certificate(fault: &CertificateError) -> String {
    match fault {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the certificate expired on {}", date(*not_after))
        }
        CertificateError::Expired => "the certificate expired".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the certificate is not valid before {}", date(*not_before))
        }
        CertificateError::NotValidYet => "the certificate is not valid yet".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => wrong_name(expected, presented),
        CertificateError::NotValidForName => "wrong name: the certificate is for another".to_owned(),
        CertificateError::UnknownIssuer => "the certificate is signed by an unknown authority".to_owned(),
        CertificateError::BadSignature => {
            "the certificate is not signed by the authority that it names".to_owned()
        }
        CertificateError::BadEncoding => "the certificate cannot be read".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the certificate is for another purpose (extended key usage)".to_owned()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the certificate is signed in a way that is not supported".to_owned()
        }
        CertificateError::Other(other) => match other.0.downcast_ref::<IssuerFault>() {
            Some(fault) => fault.to_string(),
            None => format!("the certificate is of no use ({other})"),
        },
        other => format!("the certificate is of no use ({other})"),
    }
}

fn wrong_name(expected: &ServerName<'_>, presented: &[String]) -> String {
    let expected = expected.to_str();
    if presented.is_empty() {
        return format!("wrong name: the certificate has none in subjectAltName, not {expected}");
    }
    let told: Vec<String> = presented.iter().take(NAMES_TOLD_MAX).map(|name| plain(name)).collect();
    let mut text = format!("wrong name: the certificate has {}", listed(&told));
    if let Some(more @ 1..) = presented.len().checked_sub(NAMES_TOLD_MAX) {
        let _ = write!(text, " and {more} more");
    }
    text + &format!(", not {expected}")
}

/// A name as it stands in the certificate: rustls tells its kind too, `DnsName("a.test")`, `IpAddress(10.0.0.1)`. The peer
/// may have put any byte in it.
fn plain(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    Escaped(inner.trim_matches('"').as_bytes()).to_string()
}

fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}

fn explain_alert(alert: AlertDescription) -> String {
    let meaning = match alert {
        AlertDescription::UnknownCA => ": it does not know the authority of our certificate",
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            ": it does not take our certificate"
        }
        AlertDescription::CertificateExpired => ": our certificate is out of date to it",
        AlertDescription::CertificateRequired => ": it wants a certificate of us",
        AlertDescription::ProtocolVersion => ": it speaks another version of TLS",
        AlertDescription::HandshakeFailure => {
            ": it has no suite in common with us, or wants something else of us"
        }
        AlertDescription::NoApplicationProtocol => ": it speaks none of our protocols (ALPN)",
        AlertDescription::UnrecognisedName => ": it does not know the name that it was asked for",
        _ => "",
    };
    format!("the peer sent the alert {}{meaning}", alert_name(alert))
}

/// As RFC 8446 §6 spells it.
fn alert_name(alert: AlertDescription) -> String {
    let name = match alert {
        AlertDescription::UnrecognisedName => return "unrecognized_name".to_owned(),
        AlertDescription::UserCanceled => return "user_canceled".to_owned(),
        other => other.as_str().map_or_else(|| u8::from(other).to_string(), str::to_owned),
    };
    let mut text = String::new();
    let mut after_small = false;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && after_small {
            text.push('_');
        }
        after_small = letter.is_ascii_lowercase();
        text.push(letter.to_ascii_lowercase());
    }
    // Two words of capitals on end.
    text.replace("pskidentity", "psk_identity")
}

fn explain_incompatible(fault: &PeerIncompatible) -> String {
    match fault {
        PeerIncompatible::NoCipherSuitesInCommon => "no cipher suite that both sides know".to_owned(),
        PeerIncompatible::NoKxGroupsInCommon => "no key exchange that both sides know".to_owned(),
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            "no kind of signature that both sides know".to_owned()
        }
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => {
            "no version that both sides speak: the peer has neither TLS 1.2 nor 1.3".to_owned()
        }
        other => format!("the peer's TLS lacks what is needed ({other:?})"),
    }
}

fn date(moment: UnixTime) -> String {
    let seconds = i64::try_from(moment.as_secs()).unwrap_or(i64::MAX);
    let moment = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    moment.to_zoned(TimeZone::UTC).date().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_has_the_name_of_its_standard() {
        let names = [
            (AlertDescription::HandshakeFailure, "handshake_failure"),
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::BadRecordMac, "bad_record_mac"),
            (AlertDescription::UnrecognisedName, "unrecognized_name"),
            (AlertDescription::UnknownPSKIdentity, "unknown_psk_identity"),
            (AlertDescription::Unknown(200), "200"),
        ];
        names.into_iter().for_each(|(alert, name)| assert_eq!(alert_name(alert), name));
        let text = explain(&Error::AlertReceived(AlertDescription::InternalError));
        assert_eq!(text, "the peer sent the alert internal_error");
    }

    #[test]
    fn names_of_a_peer_are_few_and_harmless() {
        let expected = ServerName::try_from("c.test").unwrap();
        let presented = ["DnsName(\"a\u{1b}[2J.test\")".to_owned(), "IpAddress(10.0.0.1)".to_owned()];
        let text = "wrong name: the certificate has a\\x1b[2J.test and 10.0.0.1, not c.test";
        assert_eq!(wrong_name(&expected, &presented), text);
        let many: Vec<String> = (0..10).map(|at| format!("DnsName(\"{at}.test\")")).collect();
        assert!(wrong_name(&expected, &many).contains("6.test and 7.test and 2 more, not c.test"));
        assert!(wrong_name(&expected, &many[..8]).contains("6.test and 7.test, not c.test"));
    }

    #[test]
    fn what_two_sides_lack_in_common_is_told() {
        let version = PeerIncompatible::ServerDoesNotSupportTls12Or13;
        assert!(explain(&version.into()).contains("neither TLS 1.2 nor 1.3"));
        assert_eq!(
            explain(&PeerIncompatible::NoCipherSuitesInCommon.into()),
            "no cipher suite that both sides know"
        );
    }
}
