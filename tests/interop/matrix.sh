# The close matrix (matrix.py): what both ends see of each way to close, directly and through the proxy, cell by cell.
. "$(dirname "$0")/lib.sh"
need python3

# matrix NAME FLAGS…
matrix() {
    local name=$1 upstream
    shift
    upstream=$(free_port)
    serve "$name" proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$upstream" "$@"
    check "$name" within 100 python3 tests/interop/matrix.py "$upstream" "$PORT"
}

matrix "all cells equal"
grep -v '^+' "$TMP/check.log"
matrix "all cells equal with --splice off" --splice off
