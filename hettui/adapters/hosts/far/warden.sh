# The warden of one worker: its parent, in a session of its own, so that it outlives every line. Its arguments: record,
# lease in seconds (0: for ever), marker of this run, then the worker's command line. Its output is the worker's log.
# `C` is the folder of its cache of tensors; empty: it has none.
rec=$1 lease=$2 m=$3
shift 3
trap '' HUP PIPE INT
# Ignored signals are handed down: the worker does not die of a client that vanishes.
"$@" 2>&1 &
pid=$!
# What a shell says of the end of its children.
exec 2>/dev/null
trap 'kill -TERM "$pid"' TERM
look "$pid" || S=gone
start=$S
# The start that came last is followed, unless it was asked to end.
wanted() { { IFS= read -r said <"$rec.turn"; } 2>/dev/null && [ "$said" = "$m" ] && ! given_up "$m"; }
# The record of another one is not overwritten by a start that is too late.
wanted && printf '%s %s %s\n' "$pid" "$start" "$$" >"$rec.$$" && mv "$rec.$$" "$rec.pid"
# Whoever ends a worker leaves word of it, and then looks for the process: one of the two sees the other.
if ! wanted; then
    given_up "$m" && forget_end "$m"
    echo asked >"$rec.why"
    finish "$pid" "$start"
fi

# While the lease file says something new from time to time, somebody is there. Counted, not compared with a clock: the
# time during which this machine slept does not count.
keep() {
    trap - TERM
    seen= still=0 round=0 odd=
    while is "$pid" "$start"; do
        sleep 2
        round=$((round + 1))
        if [ -n "$C" ] && [ $((round % 15)) = 0 ]; then
            sweep "$C/rpc" "$odd"
            odd=$ODD
        fi
        { IFS= read -r beat <"$rec.lease"; } 2>/dev/null || beat=
        if [ "$beat" = "$seen" ]; then still=$((still + 2)); else seen=$beat still=0; fi
        if [ "$lease" != 0 ] && [ "$still" -ge "$lease" ]; then
            echo "hettui: nothing was heard from the machine that started this worker for $lease s: it is ended"
            echo lease >"$rec.why"
            finish "$pid" "$start"
            hang_up
        fi
    done
}
# The sshd of a line that is lost lives on for hours, and holds the worker's client and our own session.
hang_up() {
    { read -r line born <"$rec.line"; } 2>/dev/null && is "$line" "$born" && kill -TERM "$line" 2>/dev/null
}
keep &
keeper=$!
while :; do
    wait "$pid"
    code=$?
    is "$pid" "$start" || break
done
kill "$keeper" 2>/dev/null
why=
{ read -r why <"$rec.why"; } 2>/dev/null
if [ "$code" = 137 ] && [ -z "$why" ]; then
    dmesg 2>/dev/null | tail -n 200 | grep "Killed process $pid " | tail -n 1
fi
# Unless the next worker of that name has its records there already.
{ read -r p run <"$rec.port"; } 2>/dev/null || run=
if [ "$run" = "$m" ]; then
    rm -f "$rec.pid" "$rec.lease" "$rec.line" "$rec.why" "$rec.port" "$rec.what" "$rec.sh"
    { IFS= read -r said <"$rec.turn"; } 2>/dev/null && [ "$said" = "$m" ] && rm -f "$rec.turn"
fi
# Before the line that tells of it: whoever reads that may start anew at once.
printf '%s exit %s %s\n' "$m" "$code" "${why:-itself}"
