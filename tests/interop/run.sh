#!/usr/bin/env bash
# Runs real programs through the built binary: every subject beside this file, or those named (`run.sh echo http`).
# Each has a time limit, and so has the whole run. The last line counts the checks; the exit code is 1 where one failed.
set -euo pipefail

cd "$(dirname "$0")/../.."
SWITCHBOARD=$(realpath -m "${SWITCHBOARD:-${CARGO_TARGET_DIR:-target}/release/switchboard}")
[ -x "$SWITCHBOARD" ] || { echo "$SWITCHBOARD is not there: make build makes it" >&2; exit 1; }
SUBJECTS=(make echo client http socat redis wrk load iperf3 tls postgres proxy-protocol haproxy fleet discovery matrix audit splice toxiproxy default_upstream)
SUBJECT_LIMIT_SECONDS=120
RUN_LIMIT_SECONDS=480

INTEROP_RESULTS=$(mktemp)
export INTEROP_RESULTS SWITCHBOARD
trap 'rm -f "$INTEROP_RESULTS"' EXIT
trap 'kill -TERM "$RUNNING"; wait "$RUNNING" || true; exit 130' INT TERM

[ $# -gt 0 ] || set -- "${SUBJECTS[@]}"
for subject; do
    began=$SECONDS status=0 limit=$((RUN_LIMIT_SECONDS - SECONDS))
    limit=$((limit < 1 ? 1 : limit > SUBJECT_LIMIT_SECONDS ? SUBJECT_LIMIT_SECONDS : limit))
    timeout -k 10 "$limit" bash "tests/interop/$subject.sh" </dev/null &
    RUNNING=$!
    wait "$RUNNING" || status=$?
    [ "$status" = 0 ] || echo "FAIL $subject: ended early, status $status" | tee -a "$INTEROP_RESULTS"
    echo "---- $subject took $((SECONDS - began)) s"
done

count() { grep -c "^$1 " "$INTEROP_RESULTS" || true; }
failed=$(count FAIL)
echo "$(count ok) passed, $failed failed, $(count skip) skipped"
[ "$failed" = 0 ]
