#!/usr/bin/env bash
# Holds many connections on several processes of examples/server, and serves each
# connection one broadcast:
#
#   examples/load/hold.sh [PROCESSES] [CONNECTIONS_PER_PROCESS] [TRANSPORT]
#
# The defaults, 8, 18750 and sse, are 150,000 connections. It prints the memory of the
# servers per connection, and who received the broadcast; it fails unless all did. The
# broadcasts go out once all connections of all processes are there.
set -euo pipefail
processes=${1:-8} connections=${2:-18750} transport=${3:-sse}
ramp=${RAMP:-500} # connections per second of each process

ulimit -n "$(ulimit -Hn)"
if [ "$(ulimit -n)" != unlimited ] && [ "$(ulimit -n)" -lt $((connections + 100)) ]; then
	echo "hold.sh: $connections connections per process need as many descriptors, and ulimit -Hn is $(ulimit -n)" >&2
	exit 2
fi

work=$(mktemp -d)
pids=()
cleanup() {
	exec 3>&- || true
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait
	rm -rf "$work"
}
trap cleanup EXIT
fail() {
	echo "hold.sh: $1" >&2
	tail -n 5 "$work"/*.err >&2
	exit 1
}

# until_all PATTERN SUFFIX: waits until the pattern is in the file of each process.
until_all() {
	local i
	for ((i = 0; i < processes; i++)); do
		until grep -q "$1" "$work/$i.$2" 2>/dev/null; do
			kill -0 "${loads[i]:-${servers[i]}}" 2>/dev/null || fail "a process ended early"
			sleep 0.2
		done
	done
}

# memory FIELD: KiB of all servers together, by smaps_rollup (Pss, Rss).
memory() {
	local sum=0 pid
	for pid in "${servers[@]}"; do
		sum=$((sum + $(awk -v field="$1:" '$1 == field {print $2}' "/proc/$pid/smaps_rollup")))
	done
	echo "$sum"
}

cd "$(dirname "$0")/../.."
go build -o "$work/" ./examples/server ./examples/load

servers=() loads=()
for ((i = 0; i < processes; i++)); do
	"$work/server" -addr 127.0.0.1:0 >"$work/$i.address" 2>"$work/$i.server.err" &
	servers+=($!) pids+=($!)
done
until_all listening address
before_pss=$(memory Pss) before_rss=$(memory Rss)

# All generators wait for the end of this pipe, which is when descriptor 3 is closed.
mkfifo "$work/go"
exec 3<>"$work/go"
for ((i = 0; i < processes; i++)); do
	url=$(sed 's/listening on //' "$work/$i.address")/realtime
	"$work/load" -url "$url" -transport "$transport" -subscribers "$connections" -ramp "$ramp" \
		-hold -drain 60s -duration 60s -json <"$work/go" >"$work/$i.json" 2>"$work/$i.load.err" 3>&- &
	loads+=($!) pids+=($!)
done
until_all '^holding' load.err
grep -h '^holding' "$work"/*.load.err | sort | uniq -c

total=$((processes * connections))
report() { # NAME BEFORE AFTER, in KiB
	awk -v name="$1" -v before="$2" -v after="$3" -v n="$total" \
		'BEGIN {printf "%s: %.0f MiB in all, %.2f KiB per connection (%.0f MiB before)\n", name, after/1024, (after-before)/n, before/1024}'
}
report "PSS, held" "$before_pss" "$(memory Pss)"
report "RSS, held" "$before_rss" "$(memory Rss)"

exec 3>&-
code=0
for pid in "${loads[@]}"; do wait "$pid" || code=1; done
report "PSS, after the broadcast" "$before_pss" "$(memory Pss)"
received=$(cat "$work"/*.json | sed -n 's/.*"deliveries":\([0-9]*\).*/\1/p' | awk '{sum += $1} END {print sum + 0}')
slowest=$(cat "$work"/*.json | sed -n 's/.*"deliveryMicros":{[^}]*"max":\([0-9]*\).*/\1/p' | sort -n | tail -n 1)
echo "received: $received of $total, the last after $((${slowest:-0} / 1000)) ms"
[ "$code" = 0 ] && [ "$received" = "$total" ] || fail "not all connections were held and served"
