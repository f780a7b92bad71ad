"""Some machines on one: namespaces with their own network, process table, host name, users and homes, with sshd.

    desk ── 10.79.N.1, fd79:N::1 ══ cable ══ 10.79.N.2, fd79:N::2 ── attic      and likewise cellar, with N + 50

On the desk there are two accounts, `me` and `you`: for a host they are two desks.

Needs root, Linux, iproute2, util-linux and openssh-server; nothing outside the namespaces is changed, and all of it
ends with its process 1. Everybody is root there under several names: no file of this machine has to be given away.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.patience import patience, until

TOOLS = ("unshare", "nsenter", "ip", "mount", "ssh", "ssh-keygen", "sshd")
DESK = {"me": "/bin/bash", "you": "/bin/bash"}
SHELLS = {"me": "/bin/bash", "noisy": "/bin/bash", "slow": "/bin/bash", "locked": "/bin/bash"}
SHELLS |= {name: path for name, path in (("fishy", "/usr/bin/fish"), ("cshy", "/bin/tcsh")) if Path(path).exists()}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SETUP = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /home
mkdir -p /run/sshd /run/user
mount --bind {folder}/passwd /etc/passwd
mount --bind {folder}/hosts /etc/hosts
cp -r {folder}/home/. /home/
chmod -R go-rwx /home
hostname {name}
ip link set lo up
{more}
echo ready >{folder}/ready
while :; do sleep 3600 || :; done
"""
_SSHD = """
Port 22
HostKey {folder}/host_key
UsePAM no
PasswordAuthentication yes
KbdInteractiveAuthentication no
PermitRootLogin yes
PrintMotd no
StrictModes no
SetEnv PATH={path}
PidFile /run/sshd.pid
UseDNS no
MaxStartups 100
"""


def missing() -> str | None:
    """Why there can be no bed here."""
    if os.geteuid() != 0:
        return "only root can make namespaces with users of their own"
    search = f"{os.environ['PATH']}:{_PATH}"
    lacking = [tool for tool in TOOLS if shutil.which(tool, path=search) is None]
    if lacking:
        return f"{', '.join(lacking)} is not installed"
    tried = subprocess.run(["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "true"], capture_output=True)
    return None if tried.returncode == 0 else "this machine makes no namespaces"


@dataclass
class Box:
    """One machine."""

    name: str
    folder: Path
    process: subprocess.Popen[bytes]
    user: str = "me"
    pid: int = 0
    """Of its process 1, as this machine counts."""
    env: dict[str, str] = field(default_factory=dict)

    def enter(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> list[str]:
        home = f"/home/{self.user}"
        said = {
            "HOME": home,
            "USER": self.user,
            "PATH": _PATH,
            "XDG_RUNTIME_DIR": f"/run/user/{self.user}",
            "LANG": "C.UTF-8",
        }
        pairs = [f"{key}={value}" for key, value in {**said, **self.env, **(env or {})}.items()]
        inside = 'mkdir -p -m 700 "$XDG_RUNTIME_DIR"; cd "$HOME"; exec "$@"'
        return [
            "nsenter", "-t", str(self.pid), "-m", "-p", "-n", "-u", "-i", "env", "-i", *pairs,
            "sh", "-c", inside, "sh", *argv,
        ]  # fmt: skip

    def run(self, *argv: str, seconds: float = 60.0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.enter(argv), input=stdin, capture_output=True, text=True, timeout=patience(seconds), errors="replace"
        )

    def write(self, path: str, text: str) -> None:
        assert self.run("sh", "-c", 'cat >"$1"', "sh", path, stdin=text).returncode == 0

    def processes(self) -> list[str]:
        """Command lines of all that runs there but for what looks, what waits, and a login that is ending."""
        lines = self.run("ps", "-eo", "pid=,args=", "-ww").stdout.splitlines()
        known = ("ps -eo", "sleep 3600", "sshd: /usr/sbin/sshd")
        return [line for line in lines if not any(words in line for words in known) and line.split()[0] != "1"]

    def ports(self) -> list[str]:
        """All at which somebody listens."""
        return sorted(line.split()[3] for line in self.run("ss", "-Hltn").stdout.splitlines())

    def as_user(self, user: str) -> Box:
        """The same machine, somebody else's."""
        return replace(self, user=user)

    def workers(self) -> list[int]:
        return [int(line.split()[0]) for line in self.processes() if "rpc-server" in line]


@dataclass
class Bed:
    """The machines and the cables."""

    folder: Path
    number: int
    desk: Box
    hosts: dict[str, Box]

    @property
    def attic(self) -> Box:
        return self.hosts["attic"]

    @property
    def address(self) -> str:
        """Of the attic."""
        return f"10.79.{self.number}.2"

    @property
    def boxes(self) -> tuple[Box, ...]:
        return (self.desk, *self.hosts.values())

    def cut(self, *, on: bool, name: str = "attic") -> None:
        """Frames go out and nobody takes them, at both ends, as with a cable that was pulled behind a switch."""
        number = _number(self.number, list(self.hosts).index(name))
        for box, link, end in ((self.desk, f"to-{name}", 2), (self.hosts[name], "cable", 1)):
            if not on:
                assert box.run("ip", "neigh", "flush", "dev", link, "nud", "permanent").returncode == 0
                continue
            for address in (f"10.79.{number}.{end}", f"fd79:{number}::{end}"):
                false = ("lladdr", "02:00:00:00:00:01", "nud", "permanent", "dev", link)
                assert box.run("ip", "neigh", "replace", address, *false).returncode == 0

    def end(self) -> None:
        for box in self.boxes:
            box.process.kill()
            box.process.wait()


def _number(first: int, place: int) -> int:
    return first + 50 * place


def make(folder: Path, number: int, engine: Path, names: Sequence[str] = ("attic",)) -> Bed:
    """`engine`: the folder of llama.cpp's binaries, as all machines see it."""
    keys = folder / "keys"
    keys.mkdir(parents=True)
    for name in ("id", "wrong", "host", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True)
    desk = _box(folder / "desk", "desk", _desk_home(folder / "desk" / "home", keys, number, names), "")
    link = f"mkdir -p '/home/my llama'; ln -s {engine} '/home/my llama/bin'"
    hosts = {}
    for name in names:
        (folder / name).mkdir()
        (folder / name / "host_key").write_bytes((keys / "host").read_bytes())
        (folder / name / "host_key").chmod(0o600)
        (folder / name / "sshd_config").write_text(_SSHD.format(folder=folder / name, path=_PATH))
        homes = _host_homes(folder / name / "home", (keys / "id.pub").read_text())
        sshd = f"/usr/sbin/sshd -f {folder}/{name}/sshd_config -E /run/sshd.log"
        hosts[name] = _box(folder / name, name, homes, f"{link}\n{sshd}")
    for box in (desk, *hosts.values()):
        until((box.folder / "ready").exists, said=(box.folder / "said").read_text)
        box.pid = _child(box.process.pid)
    for place, (name, box) in enumerate(hosts.items()):
        _lay_cable(desk, f"to-{name}", box, _number(number, place))
    return Bed(folder, number, desk, hosts)


def _lay_cable(desk: Box, link: str, host: Box, number: int) -> None:
    subprocess.run(
        ["ip", "link", "add", link, "netns", str(desk.pid), "type", "veth", "peer", "name", "cable", "netns",
         str(host.pid)],
        check=True,
    )  # fmt: skip
    for box, name, end in ((desk, link, 1), (host, "cable", 2)):
        for words in (
            ("addr", "add", f"10.79.{number}.{end}/24", "dev", name),
            ("addr", "add", f"fd79:{number}::{end}/64", "dev", name, "nodad"),
            ("link", "set", name, "up"),
        ):
            assert box.run("ip", *words).returncode == 0


def _box(folder: Path, name: str, homes: Path, more: str) -> Box:
    people = "".join(f"{user}:x:0:0::/home/{user}:{shell}\n" for user, shell in (SHELLS | DESK).items())
    # The first one with the number is who one is.
    (folder / "passwd").write_text(people + Path("/etc/passwd").read_text())
    (folder / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    setup = _SETUP.format(folder=folder, name=name, more=more)
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc",
             "sh", "-c", setup],
            stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True,
        )  # fmt: skip
    return Box(name, folder, process)


def _child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _host_homes(homes: Path, public: str) -> Path:
    for user in SHELLS:
        ssh = homes / user / ".ssh"
        ssh.mkdir(parents=True)
        if user != "locked":
            (ssh / "authorized_keys").write_text(public)
    (homes / "noisy" / ".bashrc").write_text("echo '*** be nice ***'\necho 'bash: warning' >&2\n")
    (homes / "slow" / ".bashrc").write_text("sleep 2\n")
    return homes


def _desk_home(homes: Path, keys: Path, number: int, names: Sequence[str]) -> Path:
    ssh = homes / "me" / ".ssh"
    ssh.mkdir(parents=True)
    host_key, other = ((keys / f"{name}.pub").read_text().rsplit(" ", 1)[0] for name in ("host", "other"))
    numbers = [_number(number, place) for place in range(len(names))]
    known = [f"127.0.0.1,{','.join(f'10.79.{n}.2,fd79:{n}::2' for n in numbers)} {host_key}", f"changed {other}"]
    (ssh / "known_hosts").write_text("\n".join(known) + "\n")
    for name in ("id", "wrong"):
        (ssh / name).write_bytes((keys / name).read_bytes())
        (ssh / name).chmod(0o600)

    def alias(name: str, user: str = "me", *more: str, address: str = f"10.79.{number}.2") -> str:
        identity = ("IdentityFile ~/.ssh/id",) if not any("Identity" in line for line in more) else ()
        said = (f"HostName {address}", f"User {user}", *identity, "IdentitiesOnly yes", *more)
        return "\n".join([f"Host {name}", *(f"    {line}" for line in said), ""])

    (ssh / "config").write_text("\n".join([
        *(alias(name, address=f"10.79.{n}.2") for name, n in zip(names, numbers, strict=True)),
        alias("six", address=f"fd79:{number}::2"),
        alias("jumped", "me", "ProxyJump attic", address="127.0.0.1"),
        *(alias(user, user) for user in SHELLS if user != "me"),
        alias("wrong", "me", "IdentityFile ~/.ssh/wrong"), alias("unknown", "me", "HostKeyAlias nobody"),
        alias("changed", "me", "HostKeyAlias changed"), alias("closed", "me", "Port 2299"),
        alias("nowhere", address=f"10.79.{number}.99"), alias("noname", address="no-such-machine.invalid"),
        alias("jumpdown", "me", "ProxyJump closed", address="127.0.0.1"),
        alias("mux", "me", "ControlMaster auto", "ControlPath ~/.ssh/mux-%C", "ControlPersist 60"),
        alias("forward", "me", "LocalForward 127.0.0.1:9999 127.0.0.1:80"),
        alias("command", "me", "RemoteCommand tmux new -A", "RequestTTY yes"),
    ]))  # fmt: skip
    shutil.copytree(ssh, homes / "you" / ".ssh")
    return homes


HETTUI = (sys.executable, "-P", "-m", "hettui")
