//! What the verdicts of an audit mean for users, and which setting of which proxy mends it. Proxies are known by their
//! behaviour.

use crate::tools::audit::{
    observation::{Beside, End},
    report::Row,
    verdict::Verdict,
};
use serde::Serialize;

/// A proxy that an audit recognizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// nginx's stream module as it comes.
    Nginx,
    /// The same with `proxy_half_close on`; rinetd does the same.
    NginxHalfClose,
    Haproxy,
    Socat,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Kind::Nginx => "nginx (stream) as it comes",
            Kind::NginxHalfClose => "nginx (stream) with proxy_half_close on, or rinetd",
            Kind::Haproxy => "HAProxy in TCP mode",
            Kind::Socat => "socat",
        }
    }
}

/// Equal findings in one: what is wrong, for whom, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// The checks that found it.
    pub checks: Vec<&'static str>,
    #[serde(serialize_with = "name")]
    pub verdict: Verdict,
    /// What breaks for users.
    pub breaks: &'static str,
    /// What mends it.
    pub mend: &'static str,
}

fn name<S: serde::Serializer>(verdict: &Verdict, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(verdict.name())
}

/// Which subject what a row shows belongs to: that is one finding.
fn subject(row: &Row) -> &'static str {
    if row.verdict == Verdict::Differs && row.through.client.end == End::Truncated {
        return "close-notify";
    }
    let check = row.check.name;
    const SUBJECTS: [(&str, &str); 13] = [
        ("half-close", "half-close"),
        ("upload-after-reply", "half-close"),
        ("early-reply", "half-close"),
        ("reset-", "reset"),
        ("client-reset", "client-reset"),
        ("truncated-", "truncated"),
        ("refused", "refused"),
        ("bulk-", "bulk"),
        ("stalled-", "stalled"),
        ("one-byte-writes", "one-byte-writes"),
        ("many", "many"),
        ("idle", "idle"),
        ("early-data", "early-data"),
    ];
    SUBJECTS.iter().find(|(begin, _)| check.starts_with(begin)).map_or("other", |(_, subject)| subject)
}

fn breaks(subject: &str) -> &'static str {
    match subject {
        "half-close" => {
            "who ends its stream first (nc, ssh, pipes, database dumps) loses what the other side still says"
        }
        "reset" => "an answer that was cut off looks complete: half a download is taken for a whole one",
        "client-reset" => "an upload that its client gave up looks complete: the server stores half of it",
        "truncated" => {
            "an upload that anybody on the way has cut off looks complete: the server stores half of it"
        }
        "close-notify" => {
            "a TLS client cannot tell a whole answer from one that was cut off on the way: it takes none for whole, or all"
        }
        "refused" => {
            "a server that is down looks like one that has nothing to say: retries and alarms do not start"
        }
        "bulk" => "the end of a large transfer is lost",
        "stalled" => "a slow reader fills the proxy's memory, or loses bytes",
        "one-byte-writes" => "keystrokes and small messages come some 40 ms late",
        "many" => "clients are sent away when many come at once",
        "idle" => "a connection that is silent for a while is closed: pools and subscriptions see errors",
        "early-data" => "what a client says before the server is reached is lost",
        _ => "an end sees something else than it would directly",
    }
}

fn mend(subject: &str, kind: Option<Kind>) -> &'static str {
    match (subject, kind) {
        ("half-close", Some(Kind::Nginx)) => "nginx: proxy_half_close on;",
        ("half-close", Some(Kind::Socat)) => {
            "socat: -t 60 waits longer for the rest than its half a second; no value waits for all"
        }
        ("idle", Some(Kind::Nginx | Kind::NginxHalfClose)) => "nginx: proxy_timeout (10m as it comes)",
        ("idle", Some(Kind::Haproxy)) => "HAProxy: timeout client, timeout server, or timeout tunnel",
        ("idle", Some(Kind::Socat)) => "socat: leave out -T",
        ("idle", None) => "a longer idle timeout of the proxy, or TCP keepalive of the ends",
        ("many", Some(Kind::Nginx | Kind::NginxHalfClose)) => {
            "nginx: worker_connections (two for each client)"
        }
        ("many", Some(Kind::Haproxy)) => "HAProxy: maxconn, and backlog",
        ("many", Some(Kind::Socat)) => "socat: backlog=128, and max-children",
        ("one-byte-writes", Some(Kind::Socat)) => "socat: nodelay on both addresses",
        ("one-byte-writes", Some(Kind::Nginx | Kind::NginxHalfClose)) => {
            "nginx: tcp_nodelay on; rinetd has no setting"
        }
        ("one-byte-writes", _) => "TCP_NODELAY on both connections of the proxy",
        ("reset" | "client-reset" | "truncated" | "refused", Some(_)) => {
            "no setting of this proxy that is known here: put a length or a mark at the end into the protocol, or use \
             a proxy that passes RST on"
        }
        ("reset" | "client-reset" | "refused", None) => "a proxy that passes RST on",
        ("truncated" | "close-notify", _) => "a proxy that tells close_notify from FIN (RFC 8446 §6.1)",
        _ => "none is known here",
    }
}

/// What is wrong, the worst first, equal ones in one.
pub fn advice(rows: &[Row]) -> Vec<Advice> {
    let kind = kind(rows);
    let mut all: Vec<(&str, Advice)> = Vec::new();
    for row in rows.iter().filter(|row| !row.verdict.is_good()) {
        let subject = subject(row);
        match all.iter_mut().find(|(known, advice)| *known == subject && advice.verdict == row.verdict) {
            Some((_, advice)) => advice.checks.push(row.check.name),
            None => {
                let advice = Advice {
                    checks: vec![row.check.name],
                    verdict: row.verdict,
                    breaks: breaks(subject),
                    mend: mend(subject, kind),
                };
                all.push((subject, advice));
            }
        }
    }
    let mut all: Vec<Advice> = all.into_iter().map(|(_, advice)| advice).collect();
    all.sort_by_key(|advice| std::cmp::Reverse(advice.verdict));
    all
}

/// The proxy that behaves like this, in words.
pub fn behaves_like(rows: &[Row]) -> Option<&'static str> {
    kind(rows).map(Kind::words)
}

/// None if the checks that tell proxies apart were not made.
fn kind(rows: &[Row]) -> Option<Kind> {
    let verdict = |name: &str| rows.iter().find(|row| row.check.name == name).map(|row| row.verdict);
    let (at_once, later) = (verdict("half-close-0s")?, verdict("half-close-1s")?);
    let resets = ["reset-at-once", "reset-before-reply", "reset-during-reply", "reset-after-reply"];
    if !resets.iter().all(|name| verdict(name) == Some(Verdict::Lies)) {
        return None;
    }
    match (at_once, later, verdict("client-reset")?) {
        (Verdict::LostData, Verdict::LostData, Verdict::Lies) => Some(Kind::Nginx),
        (Verdict::Same, Verdict::LostData, Verdict::Lies) => Some(Kind::Socat),
        (Verdict::Same, Verdict::Same, Verdict::Lies) => Some(Kind::NginxHalfClose),
        (Verdict::Same, Verdict::Same, Verdict::Same) => Some(Kind::Haproxy),
        _ => None,
    }
}

/// The whole in one line: a letter, and what it stands for.
pub fn grade(rows: &[Row]) -> String {
    let count = |verdict| rows.iter().filter(|row| row.verdict == verdict).count();
    let (lies, lost, differs, unknown) =
        (count(Verdict::Lies), count(Verdict::LostData), count(Verdict::Differs), count(Verdict::Unknown));
    let what = match (lies, lost, differs) {
        (0, 0, 0) if unknown > 0 => "B: nothing speaks against it, and not all could be compared".to_owned(),
        (0, 0, 0) => "A: neither end can tell it from a direct connection".to_owned(),
        (0, 0, differs) => format!("B: nothing is lost; an end can tell the difference in {differs}"),
        (lies, 0, _) => format!("C: nothing is lost, and what was cut off looks complete in {lies}"),
        (0, lost, _) => format!("C: bytes are lost in {lost}, and no end lies"),
        (lies, lost, _) => {
            format!("D: bytes are lost in {lost}, and what was cut off looks complete in {lies}")
        }
    };
    let total = rows.len();
    let of = if (lies, lost, differs) == (0, 0, 0) { String::new() } else { format!(" of {total} checks") };
    what + &of
}

/// Why a check has its verdict although the ends differ.
pub fn note(row: &Row) -> Option<&'static str> {
    let refused = row.direct.client.end == End::Refused && row.through.client.end == End::Reset;
    if refused && row.verdict == Verdict::Same {
        return Some(
            "the proxy had taken the client's connection before it could know that the origin refuses: RST is all it \
             has left",
        );
    }
    match &row.through.beside {
        Some(Beside::Header(Some(_))) => Some("the proxy sends a PROXY header: the origin must expect it"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::audit::{
        checks::ALL,
        observation::{Observation, Seen},
    };

    /// All checks, with these verdicts where they are not the same.
    fn rows(verdicts: &[(&str, Verdict)]) -> Vec<Row> {
        let known = |name| verdicts.iter().find(|(begin, _)| str::starts_with(name, begin));
        let row = |check| {
            let mut row = Row::new(check, Observation::default(), Observation::default());
            row.verdict = known(check.name).map_or(Verdict::Same, |(_, verdict)| *verdict);
            row
        };
        ALL.iter().map(row).collect()
    }

    const RESETS: (&str, Verdict) = ("reset-", Verdict::Lies);
    const REFUSED: (&str, Verdict) = ("refused", Verdict::Lies);
    const CLIENT: (&str, Verdict) = ("client-reset", Verdict::Lies);

    #[test]
    fn proxies_are_known_by_what_they_do() {
        let lost = |name| (name, Verdict::LostData);
        for (verdicts, like) in [
            (&[RESETS, REFUSED][..], Some("HAProxy in TCP mode")),
            (&[RESETS, REFUSED, CLIENT, lost("half-close")], Some("nginx (stream) as it comes")),
            (&[RESETS, REFUSED, CLIENT, lost("half-close-1s"), lost("half-close-5s")], Some("socat")),
            (&[RESETS, REFUSED, CLIENT], Some("nginx (stream) with proxy_half_close on, or rinetd")),
            (&[], None),
            (&[lost("half-close")], None),
        ] {
            assert_eq!(behaves_like(&rows(verdicts)), like, "{verdicts:?}");
        }
    }

    #[test]
    fn equal_findings_are_one_and_the_worst_comes_first() {
        let rows = rows(&[("half-close", Verdict::LostData), RESETS, CLIENT, ("idle", Verdict::Differs)]);
        let advice = advice(&rows);
        let found: Vec<_> = advice.iter().map(|advice| (advice.verdict, advice.checks.len())).collect();
        let expected =
            [(Verdict::Lies, 4), (Verdict::Lies, 1), (Verdict::LostData, 3), (Verdict::Differs, 1)];
        assert_eq!(found, expected);
        assert_eq!(advice[2].mend, "nginx: proxy_half_close on;");
        let grade = grade(&rows);
        assert!(
            grade
                .starts_with("D: bytes are lost in 3, and what was cut off looks complete in 5 of 25 checks"),
            "{grade}"
        );
    }

    #[test]
    fn an_end_without_close_notify_is_one_finding_in_whichever_check_it_shows() {
        let seen = |end| Observation { client: Seen { end, ..Seen::default() }, ..Observation::default() };
        let row = |check, direct| Row::new(check, seen(direct), seen(End::Truncated));
        let rows = [row(&ALL[0], End::Fin), row(&ALL[9], End::Reset), row(&ALL[20], End::Fin)];
        let [advice] = &advice(&rows)[..] else { panic!("more than one finding") };
        assert_eq!((advice.verdict, advice.checks.len()), (Verdict::Differs, 3));
        assert!(advice.breaks.starts_with("a TLS client cannot tell"), "{}", advice.breaks);
    }

    #[test]
    fn without_a_finding_there_is_no_advice() {
        assert_eq!(advice(&rows(&[])), []);
        assert_eq!(grade(&rows(&[])), "A: neither end can tell it from a direct connection");
    }

    #[test]
    fn a_refusal_that_is_seen_as_reset_is_explained() {
        let seen = |end| Observation { client: Seen { end, ..Seen::default() }, ..Observation::default() };
        let row = Row::new(&ALL[0], seen(End::Refused), seen(End::Reset));
        assert!(note(&row).is_some_and(|note| note.contains("RST is all it has left")));
        assert_eq!(note(&Row::new(&ALL[0], seen(End::Fin), seen(End::Fin))), None);
    }
}
