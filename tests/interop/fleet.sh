# A fleet: three instances behind an haproxy that asks their agents and /readyz, under 1,000 connects a second. One is drained
# and started again, one is killed, one is upgraded (fleet.py). The manifests for Kubernetes, by the published schema.
. "$(dirname "$0")/lib.sh"
need python3

manifests() {
    "$SWITCHBOARD" print kubernetes >"$TMP/manifests.yaml"
    within 60 python3 -m kubernetes_validate --strict --no-warn "$TMP/manifests.yaml"
}

if python3 -c 'import kubernetes_validate' 2>/dev/null; then
    check "the manifests are valid by the schema of Kubernetes" manifests
else
    result skip "kubernetes-validate (PyPI) is not installed"
fi

need haproxy unshare ip
for way in "" "--map-root-user"; do
    # A network of its own: its ports and its addresses are its own.
    if unshare $way --net true 2>/dev/null; then NETWORK=(unshare $way --net); break; fi
done
[ -n "${NETWORK:-}" ] || { skip "needs a network namespace"; exit 0; }
check "one drained, one killed, one upgraded: only the kill's sessions end, by RST" \
    within 100 "${NETWORK[@]}" sh -c 'ip link set lo up && exec "$@"' sh python3 tests/interop/fleet.py "$SWITCHBOARD" "$TMP"
grep '^measured ' "$TMP/check.log" || true
