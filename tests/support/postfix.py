"""A Postfix of our own, where Debian's is installed: private configuration, queue and ports.

It hands every mail to a relay, so that a test sees what came through, and resolves no names.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.smtp import Certificate
from tests.support.workers import wait_until

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
_MAIN = """
compatibility_level = 2
queue_directory = {folder}/spool
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.example.com
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.1/32
relayhost = [127.0.0.1]:{relay_port}
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtputf8_enable = yes
message_size_limit = 100000
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_recipient_restrictions = check_recipient_access inline:{{
    {{ nobody@example.net = 550 5.1.1 No such user }},
    {{ busy@example.net = 450 4.2.1 Mailbox busy }} }}, permit_mynetworks, reject
"""
_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
127.0.0.1:{tls_port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""


@dataclass(frozen=True)
class Postfix:
    """Where a running one listens."""

    #: Plain text and STARTTLS.
    port: int
    #: TLS from the first byte.
    tls_port: int


def missing() -> str:
    """Return why there can be no Postfix here; empty if there can."""
    if shutil.which("postfix", path=_PATH) is None or shutil.which("postconf", path=_PATH) is None:
        return "Postfix is not installed (apt-get install postfix)"
    if os.geteuid() != 0:
        return "Postfix starts as root only"
    try:
        pwd.getpwnam("postfix")
    except KeyError:
        return "there is no user named postfix"
    return ""


@contextmanager
def running_postfix(certificate: Certificate, *, relay_port: int) -> Iterator[Postfix]:
    """Run one that hands its mail to a server on this host, as long as the block lasts."""
    # Not below pytest's folder, which nobody but its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="postfix-"))
    folder.chmod(0o755)
    ports = Postfix(*_free_ports(2))
    try:
        _write_configuration(folder, certificate, ports, relay_port)
        _postfix(folder, "start")
        try:
            wait_until(lambda: all(map(_answers, (ports.port, ports.tls_port))), seconds=20)
            yield ports
        finally:
            with suppress(subprocess.SubprocessError):
                _postfix(folder, "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_configuration(
    folder: Path, certificate: Certificate, ports: Postfix, relay_port: int
) -> None:
    owner = pwd.getpwnam("postfix")
    (folder / "data").mkdir(mode=0o700)
    os.chown(folder / "data", owner.pw_uid, -1)
    (folder / "spool").mkdir(mode=0o755)
    conf = folder / "conf"
    conf.mkdir(mode=0o755)
    for source, name in ((certificate.path, "cert.pem"), (certificate.key_path, "key.pem")):
        shutil.copyfile(source, conf / name)
    (conf / "key.pem").chmod(0o600)
    main = _MAIN.format(
        folder=folder,
        relay_port=relay_port,
        certificate=conf / "cert.pem",
        key=conf / "key.pem",
    )
    # Where the distribution keeps its programs.
    for name in ("command_directory", "daemon_directory", "meta_directory", "shlib_directory"):
        main += f"{name} = {_default(name)}\n"
    (conf / "main.cf").write_text(main)
    (conf / "master.cf").write_text(_MASTER.format(port=ports.port, tls_port=ports.tls_port))


def _default(name: str) -> str:
    postconf = shutil.which("postconf", path=_PATH) or "postconf"
    found = subprocess.run(
        [postconf, "-d", "-h", name], check=True, capture_output=True, text=True, timeout=20
    )
    return found.stdout.strip()


def _postfix(folder: Path, command: str) -> None:
    postfix = shutil.which("postfix", path=_PATH) or "postfix"
    done = subprocess.run(
        [postfix, "-c", str(folder / "conf"), command],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PATH": _PATH},
    )
    if done.returncode:
        log = folder / "mail.log"
        told = log.read_text() if log.exists() else ""
        raise subprocess.SubprocessError(f"postfix {command}: {done.stdout}{done.stderr}{told}")


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
