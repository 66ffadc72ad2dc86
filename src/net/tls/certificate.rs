//! What a certificate says of itself (RFC 5280): names, end, issuer. All text of it may be a peer's, so it comes out escaped.

use crate::{net::tls::provider, text::escape::Escaped};
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use std::net::IpAddr;
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, parse_x509_certificate, x509::X509Name,
};

/// Of a name that is shown: that of a host has at most 253 characters (RFC 1035 §2.3.4).
const SHOWN_CHARACTERS_MAX: usize = 253;

/// A certificate that can be read.
pub struct ReadCertificate<'a>(X509Certificate<'a>);

impl<'a> ReadCertificate<'a> {
    pub fn read(der: &'a CertificateDer<'_>) -> Option<Self> {
        parse_x509_certificate(der).ok().map(|(_, certificate)| ReadCertificate(certificate))
    }

    /// The host names and IP addresses that it is for. Only subjectAltName counts (RFC 6125 §6.4.4).
    pub fn names(&self) -> Vec<String> {
        let extension = self.0.subject_alternative_name().ok().flatten();
        let names = extension.map(|extension| &extension.value.general_names);
        names.into_iter().flatten().filter_map(name).collect()
    }

    /// A certificate is good to the end of this second (RFC 5280 §4.1.2.5).
    pub fn ends(&self) -> Timestamp {
        moment(self.0.validity().not_after.timestamp())
    }

    pub fn begins(&self) -> Timestamp {
        moment(self.0.validity().not_before.timestamp())
    }

    /// Who it is for, for people: the common name, or else the first host name.
    pub fn subject(&self) -> Option<String> {
        common_name(self.0.subject()).or_else(|| self.names().into_iter().next())
    }

    /// Who signed it, for people: the common name, or else the whole name.
    pub fn issuer(&self) -> String {
        common_name(self.0.issuer()).unwrap_or_else(|| shown(&self.0.issuer().to_string()))
    }

    pub fn is_self_signed(&self) -> bool {
        let signed = &self.0.tbs_certificate;
        let key = &signed.subject_pki.subject_public_key.data;
        // Only one of the algorithms fits the key and the signature; which one is not worth a table.
        signed.subject.as_raw() == signed.issuer.as_raw()
            && provider().signature_verification_algorithms.all.iter().any(|algorithm| {
                algorithm.verify_signature(key, signed.as_ref(), &self.0.signature_value.data).is_ok()
            })
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(shown(&name.to_ascii_lowercase())),
        GeneralName::IPAddress(bytes) => {
            let address = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = address.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

fn common_name(name: &X509Name<'_>) -> Option<String> {
    let text = name.iter_common_name().next()?.as_str().ok()?;
    (!text.is_empty()).then(|| shown(text))
}

fn shown(text: &str) -> String {
    let text: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
    Escaped(text.as_bytes()).to_string()
}

fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
