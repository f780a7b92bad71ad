# What this machine is, one fact a line. $1: folder of llama.cpp, or nothing. Nothing is started or written.
fact() { printf '%s %s\n' "$M" "$*"; }
first() { { IFS= read -r R <"$1"; } 2>/dev/null || R=; }

fact begin
fact os "$(uname -s) $(uname -r)"
fact arch "$(uname -m)"
fact name "$(uname -n)"
first /etc/machine-id
fact machine "$(printf %s "$R.$(uname -n)" | cksum | tr -d ' ')"
first /proc/sys/kernel/random/boot_id
fact boot "$R"
fact libc "$(getconf GNU_LIBC_VERSION 2>/dev/null || { ldd --version 2>&1 | head -n 1; })"
fact user "$(id -un)"
fact clock "$(date +%s)"
fact home "$HOME"
fact cpus "$(getconf _NPROCESSORS_ONLN 2>/dev/null)"
fact cpu "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)"
fact memory_kib "$(awk '/^MemTotal/{t=$2} /^MemAvailable/{a=$2} END{print t, a}' /proc/meminfo 2>/dev/null)"

# The least that a group of processes above us may take.
{ IFS= read -r R </proc/self/cgroup; } 2>/dev/null || R=
place=${R##*:}
while [ -n "$place" ]; do
    first "/sys/fs/cgroup$place/memory.max"
    case $R in '' | max) ;; *)
        first_limit=$R
        first "/sys/fs/cgroup$place/memory.current"
        fact limit_bytes "$first_limit $R"
        ;;
    esac
    place=${place%/*}
done

cache=${XDG_CACHE_HOME:-$HOME/.cache}
look_at=$cache
[ -d "$look_at" ] || look_at=$HOME
fact disk_kib "$(df -Pk "$look_at" 2>/dev/null | awk 'NR == 2 {print $4}')"
fact cache_kib "$(du -sk "$cache/hettui" 2>/dev/null | awk '{print $1}')"
for tool in setsid nvidia-smi rocm-smi rsync systemd-run; do
    command -v "$tool" >/dev/null 2>&1 && fact has "$tool"
done

if find_server "$1"; then
    fact server "$PROGRAM"
    build_sum
    fact build "$B"
    # An unknown device makes it print its devices and end (b10068 to b11549): no port is taken, nothing runs.
    env LD_LIBRARY_PATH="$LIBS${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" CUDA_DEVICE_ORDER=PCI_BUS_ID \
        "$PROGRAM" -d none-such -p 1 </dev/null 2>&1 | head -n 60 | while IFS= read -r R; do fact said "$R"; done
    both=${real%/*}/llama-server
    [ -x "$both" ] && env LD_LIBRARY_PATH="$LIBS${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "$both" --version </dev/null 2>&1 |
        grep -m 1 version | while IFS= read -r R; do fact version "$R"; done
else
    fact missing "$LOOKED"
fi

if command -v nvidia-smi >/dev/null 2>&1; then
    nvidia-smi --query-gpu=uuid,pci.bus_id,name,driver_version,memory.total,memory.free,temperature.gpu,pcie.link.gen.current,pcie.link.width.current \
        --format=csv,noheader,nounits 2>&1 | head -n 32 | while IFS= read -r R; do fact nvidia "$R"; done
fi
for card in /sys/class/drm/card[0-9]*/device; do
    [ -r "$card/vendor" ] || continue
    real=$(readlink -f "$card")
    first "$card/vendor"; vendor=$R
    first "$card/device"; device=$R
    first "$card/mem_info_vram_total"; total=$R
    first "$card/mem_info_vram_used"; used=$R
    driver=$(readlink -f "$card/driver")
    fact card "${real##*/} $vendor $device ${driver##*/} ${total:-–} ${used:-–}"
done

# Workers that live here, whoever's they are among this user's.
if workers_folder 2>/dev/null; then
    for rec in "$W"/*.pid; do
        { read -r pid born warden <"$rec"; } 2>/dev/null && is "$pid" "$born" || continue
        own=${rec%.pid}
        first "$own.port"; port=${R%% *}
        first "$own.what"
        fact worker "${own##*/} $pid ${port:-–} $R"
    done
    for rec in "$W"/*.log; do
        [ -e "$rec" ] && fact log "${rec##*/}"
    done
fi
fact end
