# Ends every worker that lives here, and takes away what hettui left: records, logs, the cache of tensors, llama.cpp.
# $1: all, or the ids of the workers that are meant, after `only`.
workers_folder || exit 70
for rec in "$W"/*.pid; do
    { read -r pid born warden <"$rec"; } 2>/dev/null || continue
    own=${rec%.pid}
    if is "$pid" "$born"; then
        echo asked >"$own.why"
        if finish "$pid" "$born"; then say ended "${own##*/}"; else say problem "pid $pid does not end"; continue; fi
    fi
    for n in 1 2 3 4 5 6 7 8; do
        [ -e "$rec" ] || break
        sleep 0.25 2>/dev/null || sleep 1
    done
    rm -f "$own".*
done
for f in "$W"/*; do
    [ -f "$f" ] && rm -f "$f" && say removed "${f##*/}"
done
rmdir "$W" "${W%/*}" "${W%/*/*}" 2>/dev/null
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hettui
for kind in rpc engine; do
    [ -d "$cache/$kind" ] || continue
    size=$(du -sk "$cache/$kind" 2>/dev/null | awk '{print $1}')
    rm -rf "$cache/$kind" && if [ "$kind" = rpc ]; then say cache "${size:-0}"; else say engine "${size:-0}"; fi
done
rm -f "$cache/rpc.sizes"
rmdir "$cache" 2>/dev/null
say done
